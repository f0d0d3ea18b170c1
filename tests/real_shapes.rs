//! Importing from answers in the shapes that mainnet gave: resources and table items, read in place.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use event_worker::chain::{Address, Amount};
use serde_json::{Value, json};
use support::answers::{Answers, imported};

const DATA: &str = "../shared/data/chain";

/// A real answer, or `None` with a message where the data are not there.
fn real(name: &str) -> Option<Value> {
    let path = Path::new(DATA).join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn metadata(text: Option<&String>) -> Value {
    serde_json::from_str(text.unwrap()).unwrap()
}

#[tokio::test]
async fn a_creators_resource_and_table_items_of_mainnet_become_rows() {
    let (Some(mut resource), Some(collection), Some(token), Some(event)) = (
        real("resource__0x3.token.Collections.json"),
        real("table_item__0x3.token.CollectionData__1.json"),
        real("table_item__0x3.token.TokenData__0.json"),
        real("event__0x3.token.CreateTokenDataEvent__11648867.json"),
    ) else {
        return;
    };
    let account = resource["data"]["create_collection_events"]["guid"]["id"]["addr"].as_str().unwrap().to_owned();
    let padded: Address = account.parse().unwrap();
    // The samples are of several creators: here they are one, with one collection and one token.
    resource["data"]["create_token_data_events"]["counter"] = "1".into();
    let number = |field: &str| resource["data"][field]["guid"]["id"]["creation_num"].clone();
    let (of_collections, of_tokens) = (number("create_collection_events"), number("create_token_data_events"));
    let answers = Answers::default();
    let path = format!("/accounts/{padded}/resource/0x3::token::Collections");
    let table = |name: &str| {
        let handle: Address = resource["data"][name]["handle"].as_str().unwrap().parse().unwrap();
        handle.to_string()
    };
    answers.item(&table("collection_data"), &collection);
    let mut token = token;
    token["_request_body"]["key"]["creator"] = padded.to_string().into();
    answers.item(&table("token_data"), &token);
    answers.get(path, resource);
    let mut created = event;
    created["sequence_number"] = "0".into();
    created["guid"] = json!({ "account_address": account, "creation_number": of_tokens });
    let key = &token["_request_body"]["key"];
    created["data"]["id"] = json!({ "creator": account, "collection": key["collection"], "name": key["name"] });
    let events = format!("/accounts/{padded}/events/0x3::token::Collections");
    answers.get(format!("{events}/create_token_data_events?start=0&limit=100"), json!([created]));
    let name = &collection["_response_body"]["name"];
    created["guid"]["creation_number"] = of_collections;
    created["type"] = "0x3::token::CreateCollectionEvent".into();
    created["data"] =
        json!({ "creator": account, "collection_name": name, "uri": "", "description": "", "maximum": "0" });
    answers.get(format!("{events}/create_collection_events?start=0&limit=100"), json!([created]));
    answers.get(format!("/accounts/{padded}"), json!({ "sequence_number": "0", "authentication_key": account }));

    let imported = imported(&answers, &account, None).await;
    assert_eq!(imported.summary.results.failures.first, []);
    let [row] = &imported.collections[..] else { panic!("{:?}", imported.collections) };
    assert_eq!(
        (row.name.as_deref(), row.supply, row.maximum),
        (name.as_str(), Some(Amount(13_360)), Some(Amount(1_000_000)))
    );
    assert_eq!((row.standard.as_str(), row.uri.as_deref()), ("v1", Some("")));
    assert_eq!(metadata(row.metadata.as_ref())["mutability"]["uri"], false);
    let [row] = &imported.tokens[..] else { panic!("{:?}", imported.tokens) };
    assert_eq!(
        (row.name.as_deref(), row.collection_name.as_deref()),
        (key["name"].as_str(), key["collection"].as_str())
    );
    assert_eq!((row.supply, row.maximum), (Some(Amount(2_893)), Some(Amount(10_000_000_000))));
    assert_eq!(row.uri.as_deref(), token["_response_body"]["uri"].as_str());
    let told = metadata(row.metadata.as_ref());
    assert_eq!(told["royalty"]["payee"], padded.to_string());
    assert_eq!(told["properties"][0]["key"], "Galxe Campaign");
}

#[tokio::test]
async fn collection_objects_of_mainnet_are_found_by_name_alone() {
    for (file, supply, maximum, royalty) in [
        ("account_resources__v2_collection_0x139e2197.json", 25, 250, "1"),
        // ConcurrentSupply with the largest u64 as its limit: none.
        ("account_resources__v2_collection_0x53858a7a.json", 1_374, 0, "20"),
    ] {
        let Some(resources) = real(file) else { return };
        let all = resources.as_array().unwrap();
        let data = &all.iter().find(|one| one["type"] == "0x4::collection::Collection").unwrap()["data"];
        let (creator, name) = (data["creator"].as_str().unwrap(), data["name"].as_str().unwrap());
        let core = &all.iter().find(|one| one["type"] == "0x1::object::ObjectCore").unwrap()["data"];
        let object = core["transfer_events"]["guid"]["id"]["addr"].as_str().unwrap();
        let answers = Answers::default();
        answers.get(format!("/accounts/{object}/resources"), resources.clone());
        answers.get(format!("/accounts/{}", creator.parse::<Address>().unwrap()), json!({ "sequence_number": "0" }));
        let imported = imported(&answers, creator, Some(name)).await;
        assert_eq!(imported.summary.results.failures.count, 0, "{:?}", imported.summary);
        let [row] = &imported.collections[..] else { panic!("{:?}", imported.collections) };
        assert_eq!((row.collection_id.as_str(), row.name.as_deref()), (object, Some(name)));
        assert_eq!((row.supply, row.maximum), (Some(Amount(supply)), Some(Amount(maximum))));
        assert_eq!((row.standard.as_str(), row.description.as_deref()), ("v2", data["description"].as_str()));
        assert_eq!(metadata(row.metadata.as_ref())["royalty"]["denominator"], royalty);
    }
}

#[tokio::test]
async fn a_token_object_of_mainnet_is_found_in_its_creators_transactions() {
    let (Some(token), Some(identifiers), Some(core), Some(royalty), Some(collection), Some(supply), Some(mint)) = (
        real("resource__0x4.token.Token.json"),
        real("resource__0x4.token.TokenIdentifiers.json"),
        real("resource__0x1.object.ObjectCore.json"),
        real("resource__0x4.royalty.Royalty.json"),
        real("resource__0x4.collection.Collection.json"),
        real("resource__0x4.collection.UnlimitedSupply.json"),
        real("event__0x4.collection.MintEvent__1056780409.json"),
    ) else {
        return;
    };
    let creator: Address = collection["data"]["creator"].as_str().unwrap().parse().unwrap();
    let parent = token["data"]["collection"]["inner"].as_str().unwrap().to_owned();
    let object = mint["data"]["token"].as_str().unwrap().to_owned();
    let written = |address: &str, resource: &Value| json!({ "type": "write_resource", "address": address, "state_key_hash": "0x00", "data": resource });
    let transaction = json!({
        "type": "user_transaction", "version": mint["version"], "sequence_number": "0", "sender": creator.to_string(),
        "success": true, "timestamp": "1", "events": [mint],
        "changes": [written(&object, &token), written(&object, &identifiers), written(&parent, &collection)],
    });
    let answers = Answers::default();
    answers.get(format!("/accounts/{creator}"), json!({ "sequence_number": "1" }));
    answers.get(format!("/accounts/{creator}/transactions?start=0&limit=100"), json!([transaction]));
    answers.get(format!("/accounts/{object}/resources"), json!([token, identifiers, core, royalty]));
    answers.get(format!("/accounts/{parent}/resources"), json!([collection, supply]));
    let imported = imported(&answers, &creator.to_string(), None).await;
    assert_eq!(imported.summary.results.failures.count, 0, "{:?}", imported.summary);
    let [row] = &imported.collections[..] else { panic!("{:?}", imported.collections) };
    assert_eq!((row.supply, row.maximum), (Some(Amount(171_763)), Some(Amount(0))));
    let [row] = &imported.tokens[..] else { panic!("{:?}", imported.tokens) };
    assert_eq!(row.name.as_deref(), Some("abwehr1225.petra.apt"));
    assert_eq!(row.collection_name.as_deref(), Some("Aptos Subdomain Names V2"));
    assert_eq!((row.token_id.as_str(), row.collection_id.as_deref()), (object.as_str(), Some(parent.as_str())));
    assert_eq!(row.created_version, Some(1_056_780_409));
    assert_eq!(row.owner, None, "owners are what market events tell");
    let told = metadata(row.metadata.as_ref());
    let owner: Address = core["data"]["owner"].as_str().unwrap().parse().unwrap();
    assert_eq!(told["owner_when_imported"], owner.to_string());
    assert_eq!((&told["royalty"]["numerator"], &told["royalty"]["denominator"]), (&json!("5"), &json!("100")));
}
