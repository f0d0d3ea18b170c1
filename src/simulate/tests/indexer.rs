//! The indexer beside the node.

use serde_json::json;

use super::*;

const QUERY: &str = "query($c:String!,$o:Int!){current_collections_v2(where:{creator_address:{_eq:$c}},\
    order_by:{collection_id:asc},limit:100,offset:$o){collection_id collection_name creator_address current_supply \
    max_supply total_minted_v2 description uri token_standard table_handle_v1 mutable_uri mutable_description \
    last_transaction_version last_transaction_timestamp}}";

impl Served {
    async fn rows(&self, creator: &str, offset: usize) -> Vec<Value> {
        let body = json!({"query": QUERY, "variables": {"c": creator, "o": offset}});
        let answer = self.post("/v1/graphql", &body).await;
        assert_eq!(answer.status, 200);
        answer.json()["data"]["current_collections_v2"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn pages_have_all_collections_of_both_standards() {
    let served = Served::new(Config { events: 900, collections: 230, tokens: 1_000, ..Config::default() }).await;
    let history = served.node.history();
    let event = history.iter().find(|event| event.stream == "collection_created_events").unwrap();
    let member = text(&serde_json::from_str::<Value>(&event.data).unwrap()["creator"]);
    for account in [address::bytes(CREATOR), address::bytes(&member)].map(|account| address::padded(&account)) {
        let mut rows = served.rows(&account, 0).await;
        loop {
            let page = served.rows(&account, rows.len()).await;
            if page.is_empty() {
                break;
            }
            rows.extend(page);
        }
        assert!(rows.is_sorted_by_key(|row| text(&row["collection_id"])));
        let mut created = served.node.created_by(&account);
        created.retain(|one| one.token.is_none());
        assert_eq!(rows.len(), created.len());
        for one in created {
            let is_it =
                |row: &&Value| row["collection_name"] == one.collection && row["token_standard"] == one.standard;
            let row = rows.iter().find(is_it).unwrap();
            assert_eq!((text(&row["uri"]), text(&row["description"])), (one.uri, one.description));
            assert_eq!(text(&row["creator_address"]), account);
            assert_eq!(row["current_supply"].as_u64(), Some(one.supply.unwrap_or(0)));
            assert_eq!(row["max_supply"].as_u64().unwrap_or(0), one.maximum.unwrap());
            assert!(row["last_transaction_version"].as_u64().unwrap() >= one.version);
            assert_eq!(row["table_handle_v1"].is_null(), one.standard == "v2");
            assert!(one.object.is_none_or(|object| row["collection_id"] == object));
        }
    }
    let night_owl = <sha2::Sha256 as sha2::Digest>::digest(format!("{CREATOR}::Night Owl"));
    let is_it = |row: &Value| row["collection_id"] == format!("0x{}", hex::encode(night_owl));
    let pages = [0, 100, 200].map(|offset| served.rows(CREATOR, offset));
    let mut found = 0;
    for page in pages {
        found += page.await.iter().filter(|row| is_it(row)).count();
    }
    assert_eq!(found, 1);
}

#[tokio::test]
async fn only_padded_addresses_and_only_that_query() {
    let served = Served::new(Config { events: 10, ..Config::default() }).await;
    assert_eq!(served.rows(CREATOR, 0).await.len(), 24);
    assert!(served.rows(&CREATOR.replacen("0x0", "0x", 1), 0).await.is_empty());
    assert!(served.rows(&format!("0x{}", "7".repeat(64)), 0).await.is_empty());
    for body in [
        json!({"query": "{ events { data } }"}),
        json!({"query": QUERY}),
        json!({"query": QUERY, "variables": {"c": CREATOR, "o": "0"}}),
        json!({"query": QUERY.replace("uri", "url"), "variables": {"c": CREATOR, "o": 0}}),
        json!([1]),
    ] {
        let answer = served.post("/v1/graphql", &body).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["errors"][0]["message"].is_string() && answer.json().get("data").is_none(), "{body}");
    }
    let spaced = QUERY.replace('(', " ( ").replace("collection_id collection_name", "collection_id\n  collection_name");
    let body = json!({"query": spaced.replace(':', " : "), "variables": {"c": CREATOR, "o": 20}});
    let rows = served.post("/v1/graphql", &body).await.json();
    assert_eq!(rows["data"]["current_collections_v2"].as_array().unwrap().len(), 4);
}
