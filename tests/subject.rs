//! The contract of `Subject`, and how a node's answers are met.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use event_worker::chain::{RawEvent, SeqNo, Timestamp, Version};
use event_worker::market::Market;
use event_worker::simulate;
use event_worker::subject::{EventHandle, SentTransactions, Subject, SubjectError, TableItem};
use support::canned::{Request, answering, error_body, handle, nodes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What every subject promises, checked against all its events.
async fn keeps_the_contract(subject: impl Subject, expected: &[(u64, u64, String)]) {
    let told = |events: &[RawEvent]| -> Vec<_> {
        events.iter().map(|event| (event.seq_no.get(), event.version.get(), event.data.clone())).collect()
    };
    // From the start, page by page: all events, once, in order.
    let mut read = vec![];
    let mut next = SeqNo::ZERO;
    loop {
        let page = subject.page(next).await.unwrap();
        let Some(last) = page.events.last() else {
            assert!(!page.full, "an empty page is never full");
            break;
        };
        assert_eq!(page.events[0].seq_no, next, "a page starts where it was asked to");
        next = last.seq_no.next();
        read.extend(told(&page.events));
    }
    assert!(read == expected, "{} of {} events, or others", read.len(), expected.len());
    // From anywhere: the same events; asked again: the same answer.
    for start in [0, 1, expected.len() / 2, expected.len() - 1] {
        let page = subject.page(SeqNo::new(start as u64).unwrap()).await.unwrap();
        assert_eq!(told(&page.events), expected[start..start + page.events.len()]);
        assert_eq!(subject.page(SeqNo::new(start as u64).unwrap()).await.unwrap(), page);
    }
    // Beyond the end: nothing, which is no error.
    assert!(subject.page(SeqNo::new(expected.len() as u64 + 1_000).unwrap()).await.unwrap().events.is_empty());
    assert_eq!(subject.counter().await.unwrap().next, next);
}

#[tokio::test]
async fn an_event_handle_keeps_the_contract() {
    let node = simulate::Node::new(simulate::Config { events: 2_000, ..simulate::Config::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(Arc::clone(&node).serve(listener, CancellationToken::new()));
    for stream in &Market::built_in("imart", None).unwrap().streams {
        let field = stream.source.field().unwrap();
        let events = node.history().into_iter().filter(|event| event.stream == field);
        let expected: Vec<_> = events.map(|event| (event.seq_no, event.version, event.data)).collect();
        let subject = EventHandle::at(&nodes(&url, None, None), &stream.source);
        keeps_the_contract(subject, &expected).await;
    }
}

/// Of the blocks that events need, every other one is answered at once, the rest when asked for again.
#[tokio::test]
async fn blocks_that_were_answered_are_not_asked_for_again() {
    let asked: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let app = Router::new().fallback(move |uri: Uri| {
        let version = uri.path().strip_prefix("/v1/blocks/by_version/").unwrap();
        let times = { *seen.lock().unwrap().entry(version.to_owned()).and_modify(|times| *times += 1).or_insert(1) };
        let is_well = times > 1 || version.parse::<u64>().unwrap() % 20 == 0;
        let block = format!(
            r#"{{"block_timestamp":"1700{version:0>12}","first_version":"{version}","last_version":"{version}"}}"#
        );
        async move { if is_well { Ok(block) } else { Err(StatusCode::SERVICE_UNAVAILABLE) } }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let versions: BTreeSet<_> = (1..=100).map(|number| Version::new(10 * number).unwrap()).collect();
    let times = handle(nodes(&url, None, None)).times(&versions).await.unwrap();
    let expected = versions
        .iter()
        .map(|version| (*version, Timestamp::from_micros(1_700_000_000_000_000 + u128::from(version.get())).unwrap()));
    assert_eq!(times, expected.collect());
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 100);
    let wrong =
        asked.iter().find(|(version, times)| **times != 1 + u32::from(version.parse::<u64>().unwrap() % 20 != 0));
    assert_eq!(wrong, None, "asked for too often");
}

async fn met(status: u16, headers: &[(&str, &str)], body: &str) -> SubjectError {
    let (url, _) = answering(status, headers, body).await;
    handle(nodes(&url, None, None)).page(SeqNo::ZERO).await.unwrap_err()
}

#[tokio::test]
async fn what_may_pass_is_unreachable_and_keeps_the_nodes_words() {
    for (status, body) in [
        (500, error_body("internal_error", "ledger version too new")),
        (502, "<html>Bad gateway</html>".to_owned()),
        (503, error_body("internal_error", "DB is bootstrapping")),
        (200, "[{".to_owned()),
        (200, "<html>".to_owned()),
        (200, r#"[{"version":"x"}]"#.to_owned()),
    ] {
        let error = met(status, &[], &body).await;
        assert!(
            matches!(&error, SubjectError::Unreachable(said) if said.starts_with("http://127.0.0.1")),
            "{status} {body}: {error:?}"
        );
    }
    let error = handle(nodes("http://127.0.0.1:1/v1", None, None)).page(SeqNo::ZERO).await.unwrap_err();
    assert!(matches!(error, SubjectError::Unreachable(said) if said.contains("refused")));
}

#[tokio::test]
async fn throttling_pauses_the_node_for_all_and_as_long_as_it_asks() {
    let body = "Per anonymous IP rate limit exceeded.";
    let SubjectError::Throttled { pause, .. } = met(429, &[], body).await else { panic!("not throttled") };
    assert_eq!(pause, Duration::from_secs(1));
    let SubjectError::Throttled { pause, .. } = met(429, &[("retry-after", "7")], body).await else {
        panic!("not throttled")
    };
    assert_eq!(pause, Duration::from_secs(7));
    // While it pauses nobody asks.
    let (url, requests) = answering(429, &[("retry-after", "60")], body).await;
    let nodes = nodes(&url, None, None);
    for _ in 0..3 {
        let error = handle(Arc::clone(&nodes)).page(SeqNo::ZERO).await.unwrap_err();
        assert!(matches!(error, SubjectError::Throttled { pause, .. } if pause > Duration::from_secs(50)), "{error:?}");
    }
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn pruned_history_is_known_in_all_its_forms() {
    for (status, body) in [
        (410, error_body("version_pruned", "Ledger version(1) has been pruned")),
        (410, String::new()),
        (500, error_body("internal_error", "First requested event is probably pruned.")),
    ] {
        let error = met(status, &[], &body).await;
        assert!(matches!(error, SubjectError::Pruned(_)), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn what_asking_again_cannot_mend_is_refused_with_a_remedy() {
    for (status, headers, body, remedy) in [
        (404, vec![], error_body("resource_not_found", "Resource not found"), "MARKETS"),
        (404, vec![], error_body("web_framework_error", "not found"), "/v1"),
        (400, vec![], error_body("invalid_input", "not an EventHandle"), "MARKETS"),
        (401, vec![], "Unauthorized: API key not found".to_owned(), "NODE_API_KEY"),
        (500, vec![], error_body("internal_error", "Internal event index is not enabled"), "NODE_URL"),
        (301, vec![("location", "https://elsewhere/v1")], String::new(), "set NODE_URL to where"),
        (400, vec![], "bad request".to_owned(), "/v1"),
        (404, vec![], "<html>Not found</html>".to_owned(), "/v1"),
        (405, vec![], String::new(), "/v1"),
    ] {
        let error = met(status, &headers, &body).await;
        assert!(matches!(&error, SubjectError::Refused(said) if said.contains(remedy)), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn the_archive_is_asked_for_pruned_history_and_never_gets_the_key() {
    let (archive, asked) = answering(200, &[], "[]").await;
    let body = format!(r#"{{"message":"pruned","error_code":"version_pruned","archival_endpoint":"{archive}"}}"#);
    let (url, requests) = answering(410, &[], &body).await;
    for configured in [Some(archive.as_str()), None] {
        let page = handle(nodes(&url, Some("s3cret"), configured)).page(SeqNo::ZERO).await.unwrap();
        assert!(page.events.is_empty());
    }
    let key = |requests: &Mutex<Vec<Request>>| {
        requests.lock().unwrap().iter().map(|(_, headers)| headers.get("authorization").cloned()).collect::<Vec<_>>()
    };
    assert_eq!(key(&requests), vec![Some("Bearer s3cret".parse().unwrap()); 2]);
    assert_eq!(key(&asked), vec![None; 2]);
}

#[tokio::test]
async fn another_node_answers_for_one_that_does_not() {
    let (good, _) = answering(200, &[("x-aptos-chain-id", "2"), ("x-aptos-ledger-version", "77")], "[]").await;
    let (bad, _) = answering(503, &[], "").await;
    let page = handle(nodes(&format!("{bad},{good}"), None, None)).page(SeqNo::ZERO).await.unwrap();
    assert_eq!(page.ledger.chain_id, Some(2));
}

/// Two nodes behind one address, one of which lags.
#[tokio::test]
async fn an_answer_from_an_older_ledger_is_marked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let app = Router::new().fallback(move || {
        let version = ["900", "100", "901"][asked.fetch_add(1, Ordering::SeqCst)];
        async move { ([("x-aptos-ledger-version", version)], "[]") }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let subject = handle(nodes(&format!("http://{}/v1", listener.local_addr().unwrap()), None, None));
    tokio::spawn(async move { axum::serve(listener, app).await });
    for expected in [false, true, false] {
        assert_eq!(subject.page(SeqNo::ZERO).await.unwrap().ledger.behind, expected);
    }
}

#[tokio::test]
async fn the_start_is_always_sent() {
    let (url, requests) = answering(200, &[], "[]").await;
    handle(nodes(&url, None, None)).page(SeqNo::ZERO).await.unwrap();
    let query = requests.lock().unwrap()[0].0.query().unwrap().to_owned();
    assert_eq!(query, "start=0&limit=100");
}

/// Verbatim answers of real nodes, where they are at hand.
#[tokio::test]
async fn real_answers_are_read() {
    let folder = std::path::Path::new("../shared/data");
    let Ok(page) = std::fs::read_to_string(
        folder.join("node/aptos_api__tests__events_test__test_get_events_by_account_event_handle.json"),
    ) else {
        println!("skipped: there are no recorded answers beside the project");
        return;
    };
    let (url, _) = answering(200, &[], &page).await;
    let subject = EventHandle::new(
        nodes(&url, None, None),
        "0x1".parse().unwrap(),
        "0x1::reconfiguration::Configuration",
        "events",
    );
    let page = subject.page(SeqNo::ZERO).await.unwrap();
    assert_eq!(page.events.len(), 1);
    let data: serde_json::Value = serde_json::from_str(&page.events[0].data).unwrap();
    assert_eq!(data, serde_json::json!({ "epoch": "1" }));
    assert_eq!(page.events[0].event_type.as_ref(), "0x1::reconfiguration::NewEpochEvent");
    let gone = std::fs::read_to_string(folder.join("gateway/pruned_410_gateway_body.json")).unwrap();
    // It names an archive that cannot be reached from here: then the pruned start is what is told.
    let (url, _) = answering(410, &[], &gone.replace("https://archive", "http://127.0.0.1:1/archive")).await;
    let error = handle(nodes(&url, None, Some("http://127.0.0.1:1/v1"))).page(SeqNo::ZERO).await.unwrap_err();
    assert!(matches!(&error, SubjectError::ArchiveUnreachable(said) if said.contains("has been pruned")), "{error:?}");
}

fn transaction(seq_no: u64) -> String {
    format!(r#"{{"type":"user_transaction","version":"{}","sequence_number":"{seq_no}","sender":"0x1"}}"#, 100 + seq_no)
}

/// Whole transactions may be long: fewer are asked for until the answer is one that is read.
#[tokio::test]
async fn pages_of_long_transactions_are_made_shorter() {
    let app = Router::new().fallback(|uri: Uri| async move {
        let query = uri.query().unwrap_or_default();
        let number = |name: &str| -> u64 {
            query.split('&').find_map(|pair| pair.strip_prefix(name)).and_then(|text| text.parse().ok()).unwrap()
        };
        let (start, limit) = (number("start="), number("limit="));
        if limit > 30 {
            return " ".repeat(33 << 20);
        }
        let page: Vec<_> = (start..40).take(usize::try_from(limit).unwrap()).map(transaction).collect();
        format!("[{}]", page.join(","))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let sent = SentTransactions::new(nodes(&url, None, None), "0x1".parse().unwrap());
    let page = sent.page(SeqNo::ZERO).await.unwrap();
    assert_eq!((page.events.len(), page.full), (25, true));
    assert_eq!(page.continuing(SeqNo::ZERO, None), 25);
    let rest = sent.page(SeqNo::new(25).unwrap()).await.unwrap();
    assert_eq!((rest.events.len(), rest.full), (15, false));
    assert_eq!(rest.events[0].data, transaction(25), "the whole transaction, as received");
}

#[tokio::test]
async fn what_a_node_does_not_have_is_missing_as_of_a_ledger() {
    let body = error_body("table_item_not_found", "Table Item not found by Table handle(0x1)");
    let (url, requests) = answering(404, &[("x-aptos-ledger-version", "77")], &body).await;
    let key = serde_json::json!("Cats");
    let table = "0x92d2".parse().unwrap();
    let item =
        TableItem { table, key_type: "0x1::string::String", value_type: "0x3::token::CollectionData", key: &key };
    let error = nodes(&url, None, None).table_item(item).await.unwrap_err();
    let SubjectError::Missing { message, ledger } = error else { panic!("{error:?}") };
    assert!(message.contains("Table Item not found"), "{message}");
    assert_eq!(ledger.version.map(Version::get), Some(77));
    let path = requests.lock().unwrap()[0].0.path().to_owned();
    assert_eq!(path, format!("/v1/tables/0x{:0>64}/item", "92d2"));
}

#[tokio::test]
async fn who_is_no_aptos_node_is_refused_at_once() {
    for body in ["<html>Welcome</html>", "{}", r#"{"chain_id":"2"}"#] {
        let (url, _) = answering(200, &[], body).await;
        let error = nodes(&url, None, None).ledger().await.unwrap_err();
        assert!(matches!(&error, SubjectError::Refused(said) if said.contains("NODE_URL")), "{body}: {error:?}");
    }
}
