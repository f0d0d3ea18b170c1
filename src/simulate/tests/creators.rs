//! What accounts have created, of the older standard: handles, tables, and forms of refusal.

use std::collections::HashSet;

use serde_json::json;

use super::*;

const TAG: &str = "0x3::token::Collections";

/// Everybody who created something: the account's address.
fn creators(served: &Served) -> Vec<String> {
    let history = served.node.history();
    let created = history.iter().filter(|event| event.stream == "collection_created_events");
    let created = created.map(|event| serde_json::from_str::<Value>(&event.data).unwrap()["creator"].clone());
    let mut all: Vec<_> = created.filter_map(|creator| creator.as_str().map(str::to_owned)).collect();
    all.sort();
    all.dedup();
    all.push(CREATOR.to_owned());
    all
}

impl Served {
    async fn tables(&self, account: &str) -> (String, String) {
        let data = self.json(&format!("/v1/accounts/{account}/resource/{TAG}")).await["data"].clone();
        (text(&data["collection_data"]["handle"]), text(&data["token_data"]["handle"]))
    }

    async fn collection(&self, handle: &str, name: &str) -> Reply {
        let body = json!({"key_type": "0x1::string::String", "value_type": "0x3::token::CollectionData", "key": name});
        self.post(&format!("/v1/tables/{handle}/item"), &body).await
    }

    async fn token(&self, handle: &str, creator: &str, collection: &str, name: &str) -> Reply {
        let key = json!({"creator": creator, "collection": collection, "name": name});
        let body = json!({"key_type": "0x3::token::TokenDataId", "value_type": "0x3::token::TokenData", "key": key});
        self.post(&format!("/v1/tables/{handle}/item"), &body).await
    }
}

#[tokio::test]
async fn handles_and_tables_agree_with_the_truth() {
    let served = Served::new(Config { events: 900, ..Config::default() }).await;
    for account in creators(&served) {
        let created = served.node.created_by(&account);
        let told: Vec<_> = created.iter().filter(|created| created.in_events).collect();
        let (collections, tokens): (Vec<&&Created>, Vec<&&Created>) =
            told.iter().partition(|created| created.token.is_none());
        let resource = served.json(&format!("/v1/accounts/{account}/resource/{TAG}")).await;
        for (field, name, expected) in
            [("create_collection_events", "collection_name", collections), ("create_token_data_events", "name", tokens)]
        {
            let events = served.all(&format!("/v1/accounts/{account}/events/{TAG}/{field}"), 100).await;
            let handle = &resource["data"][field];
            assert_eq!(number(&handle["counter"]), events.len() as u64);
            assert_eq!(events.len(), expected.len());
            let by_number = text(&handle["guid"]["id"]["creation_num"]);
            let latest = served.json(&format!("/v1/accounts/{account}/events/{by_number}?limit=1")).await;
            assert_eq!(latest.get(0), events.last());
            for ((seq_no, event), created) in (0..).zip(&events).zip(expected) {
                assert_eq!((number(&event["sequence_number"]), number(&event["version"])), (seq_no, created.version));
                assert_eq!(text(&event["data"][name]), *created.token.as_ref().unwrap_or(&created.collection));
            }
        }
        let (collection_data, token_data) = served.tables(&account).await;
        for created in created.iter().filter(|created| created.standard == "v1") {
            let reply = match &created.token {
                None => served.collection(&collection_data, &created.collection).await,
                Some(token) => served.token(&token_data, &account, &created.collection, token).await,
            };
            assert_eq!(reply.status, if created.burned { 404 } else { 200 }, "{created:?}");
            if !created.burned {
                assert_item(&reply.json(), created);
            }
        }
    }
}

fn assert_item(item: &Value, created: &Created) {
    assert_eq!(text(&item["name"]), *created.token.as_ref().unwrap_or(&created.collection));
    assert_eq!((text(&item["description"]), text(&item["uri"])), (created.description.clone(), created.uri.clone()));
    assert_eq!(Some(number(&item["maximum"])), created.maximum);
    assert_eq!(number(&item["supply"]), created.supply.unwrap_or(0));
    assert_eq!(created.supply.is_none(), created.maximum == Some(0));
}

#[tokio::test]
async fn the_market_tells_what_the_framework_tells() {
    let served =
        Served::new(Config { events: 900, faults: "mistyped:0.2".parse().unwrap(), ..Config::default() }).await;
    let history = served.node.history();
    let (mut creations, mut senders) = (0, HashSet::new());
    for transaction in history.chunk_by(|one, other| one.version == other.version) {
        let created = transaction.iter().filter(|event| event.stream.contains("_created_")).count();
        if created == 0 {
            continue;
        }
        creations += created;
        let told = served.json(&format!("/v1/transactions/by_version/{}", transaction[0].version)).await;
        let events = told["events"].as_array().unwrap();
        assert_eq!(events.len(), transaction.len() + created + 1);
        let sender = text(&told["sender"]);
        senders.insert(sender.clone());
        for event in &events[transaction.len()..events.len() - 1] {
            assert_eq!(event["guid"]["account_address"], sender.as_str());
            let number = text(&event["guid"]["creation_number"]);
            let path = format!("/v1/accounts/{sender}/events/{number}?limit=1&start=");
            let same = served.json(&format!("{path}{}", text(&event["sequence_number"]))).await;
            assert_eq!((&same[0]["data"], &same[0]["type"]), (&event["data"], &event["type"]));
        }
    }
    let all: usize = senders.iter().map(|account| served.node.created_by(account).len()).sum();
    assert_eq!(creations, all);
}

#[tokio::test]
async fn an_older_version_shows_what_there_was_then() {
    let served = Served::new(Config { events: 900, ..Config::default() }).await;
    let account = creators(&served)[0].clone();
    let (collection_data, _) = served.tables(&account).await;
    let created = served.node.created_by(&account);
    let first = &created[0];
    let at = |version: u64| format!("/v1/accounts/{account}/resource/{TAG}?ledger_version={version}");
    assert_eq!(served.get(&at(first.version - 1)).await.unwrap().error().1, "resource_not_found");
    let then = served.json(&at(first.version)).await;
    assert_eq!(number(&then["data"]["create_collection_events"]["counter"]), 1);
    let body =
        json!({"key_type": "0x1::string::String", "value_type": "0x3::token::CollectionData", "key": first.collection});
    let item = async |version: u64| {
        served.post(&format!("/v1/tables/{collection_data}/item?ledger_version={version}"), &body).await
    };
    assert_eq!(item(first.version - 1).await.status, 404);
    assert_eq!(number(&item(first.version).await.json()["supply"]), 0);
    let tokens = created.iter().filter(|created| created.token.is_some() && created.collection == first.collection);
    assert_eq!(first.supply.unwrap_or(tokens.clone().count() as u64), tokens.count() as u64);
    assert_eq!(item(u64::MAX).await.error().1, "version_not_found");
}

#[tokio::test]
async fn items_that_are_not_there_and_keys_that_cannot_be() {
    let served = Served::new(Config { events: 100, ..Config::default() }).await;
    let (collections, tokens) = served.tables(CREATOR).await;
    let version = served.node.ledger_version();
    let (status, code, message) = served.collection(&collections, "night owl").await.error();
    assert_eq!((status, code.as_str()), (404, "table_item_not_found"));
    let expected = "Table Item not found by Table handle(";
    assert_eq!(message, format!("{expected}{collections}), Table key(\"night owl\") and Ledger version({version})"));
    assert_eq!(served.collection(&collections, "Night Owl").await.status, 200);
    assert_eq!(served.collection(&tokens, "Night Owl").await.status, 404, "the other table");
    assert_eq!(served.collection("0x77", "Night Owl").await.error().1, "table_item_not_found");
    for near in ["Night Owl ", "Lost Sock  ", "\u{0}"] {
        assert_eq!(served.collection(&collections, near).await.status, 404, "{near:?}");
    }
    let created = served.node.created_by(CREATOR);
    let token = created.iter().find(|created| created.token.is_some()).unwrap();
    let name = token.token.as_deref().unwrap();
    let trimmed = CREATOR.replacen("0x0", "0x", 1);
    let padded = served.token(&tokens, CREATOR, &token.collection, name).await;
    assert_eq!(served.token(&tokens, &trimmed, &token.collection, name).await.body, padded.body);
    assert_eq!((padded.status, served.token(&tokens, "0x1", &token.collection, name).await.status), (200, 404));
    let good =
        json!({"key_type": "0x1::string::String", "value_type": "0x3::token::CollectionData", "key": "Night Owl"});
    let path = format!("/v1/tables/{collections}/item");
    for (field, value) in [("key", json!(7)), ("key_type", json!("0x1::string::Text")), ("value_type", Value::Null)] {
        let mut bad = good.clone();
        bad[field] = value;
        let (status, code, _) = served.post(&path, &bad).await.error();
        assert_eq!((status, code.as_str()), (400, "invalid_input"), "{bad}");
    }
    assert_eq!(served.token(&tokens, "nobody", "a", "b").await.error().1, "invalid_input");
    assert_eq!(served.ask("POST", &path, "{").await.unwrap().error().0, 400);
    assert_eq!(served.post("/v1/tables/0xzz/item", &good).await.error().1, "web_framework_error");
}

#[tokio::test]
async fn methods_are_told_apart() {
    let served = Served::new(Config { events: 100, ..Config::default() }).await;
    for (method, path) in [
        ("GET", "/v1/tables/0x1/item"),
        ("GET", "/v1/graphql"),
        ("POST", "/v1/accounts/0x1"),
        ("POST", "/v1"),
        ("DELETE", "/v1/graphql"),
    ] {
        let (status, code, _) = served.ask(method, path, "{}").await.unwrap().error();
        assert_eq!((status, code.as_str()), (405, "web_framework_error"), "{method} {path}");
    }
}

#[test]
fn keys_and_values_are_stored_as_on_chain() {
    let token = v1::Token {
        creator: address::bytes("0xA11"),
        collection: "c".repeat(200),
        name: "né".to_owned(),
        description: String::new(),
        uri: "u".to_owned(),
        supply: 2,
        maximum: u64::MAX,
        royalty: 5,
    };
    let item = token.item();
    let creator = format!("{:0>64}", "a11");
    assert_eq!(item.raw_key, format!("0x{creator}c801{}036ec3a9", "63".repeat(200)));
    let (maximum, numbers) = ("f".repeat(16), "00000000000000000200000000000000");
    let royalty = format!("05000000000000006400000000000000{creator}");
    assert_eq!(item.raw_value, format!("0x{maximum}{numbers}0175{royalty}036ec3a900000101010101"));
}
