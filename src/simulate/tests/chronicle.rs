//! Transactions by account: who sent what, in which order, and what is gone.

use serde_json::Map;

use super::*;

#[tokio::test]
async fn accounts_send_their_transactions_in_order() {
    let served = Served::new(Config { events: 900, ..Config::default() }).await;
    let sender = text(
        &served.json(&format!("/v1/transactions/by_version/{}", served.node.history()[300].version)).await["sender"],
    );
    for account in [CREATOR, &sender] {
        let path = format!("/v1/accounts/{account}/transactions");
        let all = served.all(&path, 7).await;
        let sent = number(&served.json(&format!("/v1/accounts/{account}")).await["sequence_number"]);
        assert_eq!(all.len() as u64, sent);
        assert!(sent > 3 && all.is_sorted_by_key(|transaction| number(&transaction["version"])));
        assert!(all.is_sorted_by_key(|transaction| number(&transaction["timestamp"])));
        for (seq_no, transaction) in (0..).zip(&all) {
            assert_eq!(number(&transaction["sequence_number"]), seq_no);
            assert_eq!(address::bytes(&text(&transaction["sender"])), address::bytes(account));
            let version = text(&transaction["version"]);
            assert_eq!(served.json(&format!("/v1/transactions/by_version/{version}")).await, *transaction);
        }
        let latest = served.json(&format!("{path}?limit=2")).await;
        assert_eq!(latest.as_array().unwrap()[..], all[all.len() - 2..]);
        assert_eq!(served.get(&format!("{path}?start={sent}")).await.unwrap().body, "[]");
        assert_eq!(served.get(&format!("{path}?limit=0")).await.unwrap().error().1, "invalid_input");
        let usual = served.json(&format!("{path}?start=0")).await.as_array().unwrap().len();
        assert_eq!(usual, all.len().min(25));
    }
    assert_eq!(served.get("/v1/accounts/0x77/transactions?start=0").await.unwrap().body, "[]");
}

/// What a reader of all the creator's transactions comes to know.
#[derive(Default)]
struct Known {
    collections: Vec<(&'static str, String)>,
    tokens: Vec<(&'static str, String)>,
    without_data: usize,
    failed: usize,
    elsewhere: usize,
}

impl Known {
    fn read(&mut self, transaction: &Value, objects: &mut Map<String, Value>) {
        if transaction["success"] == false {
            self.failed += 1;
            assert_eq!(transaction["events"].as_array().unwrap().len(), 1);
            assert!(transaction["changes"].as_array().unwrap().iter().all(|change| change.get("handle").is_none()));
        }
        for event in transaction["events"].as_array().unwrap() {
            let data = &event["data"];
            match event["type"].as_str().unwrap() {
                "0x3::token::CreateCollectionEvent" | "0x3::token::CreateCollection" => {
                    self.collections.push(("v1", text(&data["collection_name"])));
                }
                "0x3::token::CreateTokenDataEvent" => self.tokens.push(("v1", text(&data["name"]))),
                "0x3::token::TokenDataCreation" => {
                    assert_eq!(
                        (&event["guid"]["account_address"], &data["creator"]),
                        (&"0x0".into(), &transaction["sender"])
                    );
                    self.tokens.push(("v1", text(&data["name"])));
                }
                _ => {}
            }
        }
        let mut names = Vec::new();
        for change in transaction["changes"].as_array().unwrap() {
            self.without_data += usize::from(change["data"].is_null());
            let data = &change["data"]["data"];
            match change["data"]["type"].as_str() {
                Some("0x4::collection::Collection") => {
                    let known = objects.insert(text(&change["address"]), data["creator"].clone());
                    if known.is_none() {
                        self.collections.push(("v2", text(&data["name"])));
                    }
                }
                Some("0x4::token::Token") if objects.contains_key(&text(&data["collection"]["inner"])) => {
                    names.push((text(&change["address"]), text(&data["name"])));
                }
                Some("0x4::token::Token") => self.elsewhere += 1,
                Some("0x4::token::TokenIdentifiers") => {
                    if let Some((_, name)) = names.iter_mut().find(|(object, _)| change["address"] == object.as_str()) {
                        assert!(name.is_empty());
                        *name = text(&data["name"]["value"]);
                    }
                }
                _ => {}
            }
        }
        self.tokens.extend(names.into_iter().map(|(_, name)| ("v2", name)));
    }
}

#[tokio::test]
async fn the_transactions_tell_everything() {
    let served = Served::new(Config { events: 10, collections: 60, tokens: 900, ..Config::default() }).await;
    let mut known = Known::default();
    let mut objects = Map::new();
    for transaction in served.all(&format!("/v1/accounts/{CREATOR}/transactions"), 100).await {
        known.read(&transaction, &mut objects);
    }
    let created = served.node.created_by(CREATOR);
    let collections = created.iter().filter(|one| one.token.is_none());
    assert_eq!(known.collections, collections.map(|one| (one.standard, one.collection.clone())).collect::<Vec<_>>());
    let tokens = created.iter().filter_map(|one| Some((one.standard, one.token.clone()?)));
    assert_eq!(known.tokens, tokens.collect::<Vec<_>>());
    assert!(known.without_data > 3 && known.failed > 3 && known.elsewhere > 3);
}

#[tokio::test]
async fn a_guest_mints_into_what_belongs_to_somebody_else() {
    let served = Served::new(Config { events: 10, ..Config::default() }).await;
    let mut guests = 0;
    for transaction in served.all(&format!("/v1/accounts/{CREATOR}/transactions"), 100).await {
        if !text(&transaction["payload"]["function"]).starts_with(ELSEWHERE) {
            continue;
        }
        let tokens = transaction["changes"].as_array().unwrap();
        let token = tokens.iter().find(|change| change["data"]["type"] == "0x4::token::Token").unwrap();
        let collection = text(&token["data"]["data"]["collection"]["inner"]);
        let resources = served.json(&format!("/v1/accounts/{collection}/resources")).await;
        let parts = resources.as_array().unwrap();
        let part = parts.iter().find(|part| part["type"] == "0x4::collection::Collection").unwrap();
        assert_eq!(part["data"]["creator"], ELSEWHERE);
        let now = served.json(&format!("/v1/accounts/{}/resource/0x4::token::Token", text(&token["address"]))).await;
        assert_eq!(now, token["data"]);
        guests += 1;
    }
    assert!(guests > 1);
    assert!(served.node.created_by(ELSEWHERE).is_empty());
}

#[tokio::test]
async fn what_is_written_is_what_a_key_finds() {
    let served = Served::new(Config { events: 10, ..Config::default() }).await;
    let path = format!("/v1/accounts/{CREATOR}/transactions");
    let mut items = 0;
    for transaction in served.all(&path, 100).await {
        let version = text(&transaction["version"]);
        for change in transaction["changes"].as_array().unwrap() {
            if change["type"] != "write_table_item" || change["data"].is_null() {
                continue;
            }
            let data = &change["data"];
            let handle = text(&change["handle"]);
            let item = format!("/v1/tables/{handle}/item?ledger_version={version}");
            assert_eq!(served.post(&item, data).await.json(), data["value"]);
            let raw = text(&change["key"]);
            let name = data["key"].get("name").unwrap_or(&data["key"]).as_str().unwrap();
            assert!(raw.ends_with(&hex::encode(name)), "{raw} {name}");
            items += 1;
        }
    }
    assert!(items > 150);
}

#[tokio::test]
async fn pruning_cuts_through_the_gallery() {
    let served = Served::new(Config { events: 10, ..Config::default() }).await;
    let all = served.all(&format!("/v1/accounts/{CREATOR}/transactions"), 100).await;
    let oldest = number(&all[15]["version"]);
    let path = format!("/v1/accounts/{CREATOR}/transactions");
    let events = format!("/v1/accounts/{CREATOR}/events/0x3::token::Collections/create_token_data_events");
    let first = served.all(&events, 100).await.iter().position(|event| number(&event["version"]) >= oldest).unwrap();
    let get = async |path: String| served.get(&path).await.unwrap();
    let prune = |form: &str| served.node.set_faults(format!("{form}:{oldest}").parse().unwrap());
    for (form, status, word) in [("pruned", 410, "version_pruned"), ("pruned-500", 500, "internal_error")] {
        prune(form);
        for reply in [get(format!("{path}?start=14")).await, get(format!("{events}?start={}", first - 1)).await] {
            let error = reply.error();
            assert_eq!((error.0, error.1.as_str()), (status, word));
            assert!(error.2.contains("pruned"));
        }
        assert_eq!(get(format!("{path}?start=15&limit=3")).await.seq_nos(), [15, 16, 17]);
        let page = get(format!("{events}?start={first}&limit=2")).await;
        assert_eq!(page.seq_nos(), [first as u64, first as u64 + 1]);
        assert_eq!(get(format!("{path}?limit=100")).await.seq_nos()[0], 15, "the tail is left");
    }
    prune("pruned-empty");
    assert_eq!(get(format!("{path}?start=3&limit=2")).await.seq_nos(), [15, 16]);
    assert_eq!(get(format!("{events}?start=0")).await.body, "[]");
    let collections = format!("/v1/accounts/{CREATOR}/resource/0x3::token::Collections");
    assert_eq!(get(format!("{collections}?ledger_version={}", oldest - 1)).await.status, 410);
    assert_eq!(get(collections).await.status, 200);
}

#[tokio::test]
async fn same_seed_same_bytes() {
    let config = |seed| Config { seed, events: 200, ..Config::default() };
    let (one, again, other) =
        (Served::new(config(5)).await, Served::new(config(5)).await, Served::new(config(6)).await);
    let path = format!("/v1/accounts/{CREATOR}/transactions?start=0&limit=100");
    let body = async |served: &Served| served.get(&path).await.unwrap().body;
    assert_eq!(body(&one).await, body(&again).await);
    assert_ne!(body(&one).await, body(&other).await);
    assert_eq!(one.node.created_by(CREATOR), again.node.created_by(CREATOR));
}
