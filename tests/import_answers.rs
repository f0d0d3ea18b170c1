//! Importing from answers that are easily misread: what is not the account's, not there, or not there yet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{StatusCode, Uri};
use event_worker::import::Tally;
use serde_json::{Value, json};
use support::answers::{Answers, imported, imported_from};
use tokio::net::TcpListener;

const ACCOUNT: &str = "0x00000000000000000000000000000000000000000000000000000000000000ab";
const TOKEN: &str = "0x0000000000000000000000000000000000000000000000000000000000000070";
const COLLECTION: &str = "0x00000000000000000000000000000000000000000000000000000000000000c0";

/// A transaction of the account that writes a token of that collection.
fn writes_token() -> Value {
    let token = json!({
        "type": "0x4::token::Token",
        "data": { "collection": { "inner": COLLECTION }, "name": "T", "description": "", "uri": "", "index": "1" },
    });
    json!({
        "type": "user_transaction", "version": "950", "sequence_number": "0", "sender": ACCOUNT, "success": true,
        "events": [], "changes": [{ "type": "write_resource", "address": TOKEN, "data": token }],
    })
}

fn collection_of(creator: &str) -> Value {
    json!([{
        "type": "0x4::collection::Collection",
        "data": { "creator": creator, "name": "C", "description": "", "uri": "" },
    }])
}

fn of_account() -> Answers {
    let answers = Answers::default();
    answers.get(format!("/accounts/{ACCOUNT}"), json!({ "sequence_number": "1" }));
    answers.get(format!("/accounts/{ACCOUNT}/transactions?start=0&limit=100"), json!([writes_token()]));
    answers.get(
        format!("/accounts/{ACCOUNT}/resources?limit=1"),
        json!([{ "type": "0x1::account::Account", "data": {} }]),
    );
    answers
}

#[tokio::test]
async fn a_strangers_token_is_not_counted_burned_or_not() {
    let answers = of_account();
    answers.get(format!("/accounts/{COLLECTION}/resources"), collection_of("0x5"));
    let burned = imported(&answers, ACCOUNT, None).await;
    assert_eq!((burned.summary.results.tokens, burned.summary.results.failures.count), (Tally::default(), 0));
    // Nor is one whose collection nobody knows.
    let unknown = imported(&of_account(), ACCOUNT, None).await;
    assert_eq!((unknown.summary.results.tokens, unknown.summary.results.failures.count), (Tally::default(), 0));
}

#[tokio::test]
async fn an_own_token_that_is_no_longer_there_is_gone() {
    let answers = of_account();
    answers.get(format!("/accounts/{COLLECTION}/resources"), collection_of(ACCOUNT));
    let imported = imported(&answers, ACCOUNT, None).await;
    assert_eq!(imported.summary.results.tokens, Tally { found: 1, gone: 1, ..Tally::default() });
    assert!(imported.tokens.is_empty());
}

/// A node that does not know the account at all answers 404 where newer ones answer 0.
#[tokio::test]
async fn an_account_that_a_node_does_not_know_is_said_not_to_be_there() {
    let imported = imported(&Answers::default(), ACCOUNT, None).await;
    let failures = &imported.summary.results.failures;
    assert_eq!(failures.count, 1, "{failures:?}");
    assert!(failures.first[0].reason.contains("there is nothing at"), "{failures:?}");
}

/// Behind one address, some nodes are older: what they do not have yet is neither the end nor pruned.
#[tokio::test]
async fn a_lagging_nodes_empty_pages_prove_nothing() {
    let asked = Arc::new(AtomicUsize::new(0));
    let app = Router::new().fallback(move |uri: Uri| {
        let path = uri.path_and_query().unwrap().to_string();
        let lagging = path.contains("/transactions") && asked.fetch_add(1, Ordering::Relaxed) < 4;
        let version = if lagging { "900" } else { "1000" };
        let headers = [("x-aptos-ledger-version", version), ("x-aptos-ledger-oldest-version", "500")];
        let body = match path.trim_start_matches("/v1") {
            "" => json!({ "chain_id": 4, "ledger_version": "1000", "ledger_timestamp": "1" }),
            path if path.ends_with(ACCOUNT) => json!({ "sequence_number": "1" }),
            path if path.contains("/transactions?start=0") && !lagging => json!([writes_token()]),
            path if path.contains(COLLECTION) => collection_of("0x5"),
            path if path.contains("/transactions") => json!([]),
            path if path.contains("/resources") => json!([{ "type": "0x1::account::Account", "data": {} }]),
            _ => json!({ "message": "none", "error_code": "resource_not_found", "vm_error_code": null }),
        };
        let status = if body["error_code"].is_null() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        async move { (status, headers, body.to_string()) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let imported = imported_from(&url, ACCOUNT, None).await;
    assert_eq!(imported.summary.results.failures.first, []);
}
