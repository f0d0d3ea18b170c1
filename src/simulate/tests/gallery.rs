//! The one big creator: what it has, and that a reader is told neither less nor more.

use std::collections::{HashMap, HashSet};

use super::*;

#[test]
fn the_collections_are_of_all_kinds() {
    let node = Node::new(Config { events: 10, collections: 100, tokens: 2_000, ..Config::default() });
    let all = node.created_by(CREATOR);
    let (tokens, collections): (Vec<&Created>, Vec<&Created>) = all.iter().partition(|created| created.token.is_some());
    assert_eq!((collections.len(), tokens.len()), (100, 2_000));
    let count = |of: &[&Created], wanted: &dyn Fn(&Created) -> bool| of.iter().filter(|one| wanted(one)).count();
    assert_eq!(count(&collections, &|one| one.in_events), 50);
    assert_eq!(count(&collections, &|one| one.standard == "v1"), 70);
    assert_eq!(count(&collections, &|one| one.burned), 0);
    for collection in &collections {
        let mine = |one: &Created| one.standard == collection.standard && one.collection == collection.collection;
        assert!((5..50).contains(&count(&tokens, &mine)));
        let left = count(&tokens, &|one| mine(one) && !one.burned) as u64;
        assert!(collection.supply.is_none_or(|supply| supply == left || supply == u64::MAX));
        assert!(collection.maximum.is_some());
    }
    for standard in ["v1", "v2"] {
        let of_it: Vec<_> = collections.iter().copied().filter(|one| one.standard == standard).collect();
        let names: HashSet<_> = of_it.iter().map(|one| &one.collection).collect();
        assert_eq!(names.len(), of_it.len());
        assert!(names.contains(&"Lost Sock".to_owned()) && names.contains(&"Lost Sock ".to_owned()));
        assert!(names.contains(&"NIGHT OWL".to_owned()) && names.contains(&"Night Owl".to_owned()));
        assert!(names.iter().any(|name| name.chars().any(|sign| sign.len_utf8() == 4)));
        assert!(count(&of_it, &|one| one.uri.is_empty()) > 0 && count(&of_it, &|one| one.maximum == Some(0)) > 5);
        assert!(count(&tokens, &|one| one.standard == standard && one.burned) > 5);
        let full = |one: &Created| one.supply == Some(u64::MAX) || one.maximum == Some(u64::MAX);
        assert!(count(&of_it, &full) > 0);
    }
    assert!(all.iter().all(|one| one.collection.len() <= 128 && one.version < 6_000_000));
    let late =
        |one: &Created| !one.in_events && collections[..50].iter().any(|known| known.collection == one.collection);
    assert!(count(&tokens, &|one| one.standard == "v1" && late(one)) > 5, "told by no handle, in a collection that is");
    let ids: HashSet<_> = tokens.iter().map(|one| (one.standard, &one.collection, &one.token)).collect();
    assert_eq!(ids.len(), tokens.len());
}

#[tokio::test]
async fn events_are_about_the_creation_and_tables_about_now() {
    let served = Served::new(Config { events: 10, ..Config::default() }).await;
    let events = served
        .all(&format!("/v1/accounts/{CREATOR}/events/0x3::token::Collections/create_collection_events"), 100)
        .await;
    let now = served.node.created_by(CREATOR);
    let changed = events.iter().zip(&now).filter(|(event, created)| {
        assert_eq!(text(&event["data"]["collection_name"]), created.collection);
        assert_eq!(Some(number(&event["data"]["maximum"])), created.maximum);
        text(&event["data"]["uri"]) != created.uri && text(&event["data"]["description"]) != created.description
    });
    assert!((1..events.len()).contains(&changed.count()));
}

#[tokio::test]
async fn objects_are_where_the_framework_puts_them_and_as_they_are_now() {
    let served = Served::new(Config { events: 10, ..Config::default() }).await;
    let all = served.node.created_by(CREATOR);
    let mut supplies = HashSet::new();
    for created in all.iter().filter(|created| created.standard == "v2") {
        let object = created.object.as_deref().unwrap();
        let resources = served.json(&format!("/v1/accounts/{object}/resources")).await;
        let parts: HashMap<String, &Value> = (resources.as_array().unwrap().iter())
            .map(|part| (text(&part["type"]).replace("0x4::", ""), &part["data"]))
            .collect();
        if created.burned {
            assert!(parts.is_empty());
            continue;
        }
        assert!(parts["0x1::object::ObjectCore"]["owner"].is_string());
        let Some(token) = &created.token else {
            let collection = parts["collection::Collection"];
            assert_eq!(text(&collection["name"]), created.collection);
            assert_eq!(text(&collection["creator"]), CREATOR.replacen("0x0", "0x", 1));
            assert_eq!(text(&collection["description"]), created.description);
            let kind = parts.keys().find(|kind| kind.ends_with("Supply")).unwrap();
            let current = &parts[kind]["current_supply"];
            let value = current.get("value").unwrap_or(current);
            assert_eq!(Some(number(value)), created.supply);
            supplies.insert(kind.clone());
            continue;
        };
        let told = text(&parts["token::Token"]["name"]);
        let name = parts.get("token::TokenIdentifiers").map_or(told.clone(), |part| text(&part["name"]["value"]));
        assert_eq!((&name, told.is_empty()), (token, parts.contains_key("token::TokenIdentifiers")));
        assert_eq!(text(&parts["token::Token"]["uri"]), created.uri);
        let collection = all.iter().find(|one| one.standard == "v2" && one.collection == created.collection).unwrap();
        let inner = text(&parts["token::Token"]["collection"]["inner"]);
        assert_eq!(address::bytes(&inner), address::bytes(collection.object.as_ref().unwrap()));
    }
    assert_eq!(supplies.len(), 3, "{supplies:?}");
    // sha3_256 of an account, `inAptos` and 0xFE, as it happened on mainnet.
    let creator = address::bytes("0x239589c5cfb0cc96f76fa59165a7cbb6ef99ad50d0acc34cf3a2585d861511be");
    let object = "0x139e21974cb4ee185b95708bebd571d77cec25e51df5ebd242712ed09bda8ca4";
    assert_eq!(address::padded(&address::object(&creator, b"inAptos")), object);
}

#[tokio::test]
async fn pages_of_resources_go_on_at_their_cursor() {
    let served = Served::new(Config { events: 10, ..Config::default() }).await;
    let path = format!("/v1/accounts/{CREATOR}/resources");
    let whole = served.get(&path).await.unwrap();
    assert_eq!(whole.header("x-aptos-cursor"), None);
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("{path}?limit=1{next}")).await.unwrap();
        seen.extend(page.json().as_array().unwrap().clone());
        let Some(cursor) = page.header("x-aptos-cursor") else { break };
        next = format!("&start={cursor}");
    }
    assert_eq!(Value::from(seen), whole.json());
    assert!(whole.json().as_array().unwrap().iter().any(|resource| resource["type"] == "0x1::account::Account"));
    assert_eq!(served.get(&format!("{path}?limit=0")).await.unwrap().error().1, "invalid_input");
    assert_eq!(served.get(&format!("{path}?start=0x00")).await.unwrap().status, 400);
}

#[tokio::test]
async fn without_collections_there_is_no_such_account() {
    let served = Served::new(Config { events: 100, collections: 0, tokens: 50, ..Config::default() }).await;
    assert!(served.node.created_by(CREATOR).is_empty());
    assert_eq!(served.get(&format!("/v1/accounts/{CREATOR}/resources")).await.unwrap().body, "[]");
    assert_eq!(served.get(&format!("/v1/accounts/{CREATOR}/transactions?start=0")).await.unwrap().body, "[]");
    let missing = served.get(&format!("/v1/accounts/{CREATOR}/resource/0x3::token::Collections")).await.unwrap();
    assert_eq!(missing.error().1, "resource_not_found");
    assert_eq!(served.json(&format!("/v1/accounts/{CREATOR}")).await["sequence_number"], "0");
}

#[test]
fn many_are_built_quickly() {
    let start = Instant::now();
    let node = Node::new(Config { events: 10, collections: 1_000, tokens: 10_000, ..Config::default() });
    let built = start.elapsed();
    assert!(built < Duration::from_millis(500), "{built:?}");
    assert_eq!(node.created_by(CREATOR).len(), 11_000);
}
