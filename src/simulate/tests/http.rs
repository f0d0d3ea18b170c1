//! The node's answers, traps included.

use super::*;

const MISSING: &str = "0x0000000000000000000000000000000000000000000000000000000000000B0B";

async fn served() -> Served {
    Served::new(Config { events: 1_500, ..Config::default() }).await
}

fn counter(served: &Served, field: &str) -> u64 {
    served.node.counters().into_iter().find(|(name, _)| name == field).unwrap().1
}

#[tokio::test]
async fn pages_are_what_the_history_says() {
    let served = served().await;
    let all = served.node.history();
    for stream in Stream::ALL {
        let (mut start, mut seen) = (0, Vec::new());
        loop {
            let page = served.events(stream.field(), &format!("?start={start}&limit=100")).await.json();
            let page = page.as_array().unwrap().clone();
            if page.is_empty() {
                break;
            }
            start += page.len() as u64;
            seen.extend(page);
        }
        let expected: Vec<_> = all.iter().filter(|event| event.stream == stream.field()).collect();
        assert_eq!(seen.len(), expected.len());
        for (served, emitted) in seen.iter().zip(expected) {
            assert_eq!(number(&served["sequence_number"]), emitted.seq_no);
            assert_eq!(number(&served["version"]), emitted.version);
            assert_eq!(served["type"], emitted.event_type.as_str());
            assert_eq!(served["guid"]["account_address"], CONTRACT);
            assert_eq!(served["data"], serde_json::from_str::<Value>(&emitted.data).unwrap());
        }
    }
    let again = Served::new(Config { events: 1_500, ..Config::default() }).await;
    let page = "?start=3&limit=50";
    let bodies = (served.events("list_token_events", page).await, again.events("list_token_events", page).await);
    assert_eq!(bodies.0.body, bodies.1.body);
}

#[tokio::test]
async fn starts_and_limits_have_traps() {
    let served = served().await;
    let field = "list_token_events";
    let last = counter(&served, field) - 1;
    assert!(last > 150);
    assert_eq!(served.events(field, "").await.seq_nos(), (last - 24..=last).collect::<Vec<_>>());
    assert_eq!(served.events(field, "?limit=3").await.seq_nos(), [last - 2, last - 1, last]);
    assert_eq!(served.events(field, "?start=0&limit=65535").await.seq_nos().len(), 100);
    assert_eq!(served.events(field, "?start=0").await.seq_nos().len(), 25);
    let past = served.events(field, &format!("?start={}", last + 1)).await;
    assert_eq!((past.status, past.body.as_str()), (200, "[]"));
    let zero = served.events(field, "?start=0&limit=0").await;
    let body =
        r#"{"message":"Given limit value (0) must not be zero","error_code":"invalid_input","vm_error_code":null}"#;
    assert_eq!((zero.status, zero.body.as_str()), (400, body));
    assert!(zero.header("x-aptos-chain-id").is_some());
    for (query, message) in [
        (
            "?limit=65536",
            r#"failed to parse parameter `limit`: failed to parse "integer(uint16)": number too large to fit in target type (occurred while parsing "optional<integer(uint16)>")"#,
        ),
        (
            "?start=hello",
            r#"failed to parse parameter `start`: failed to parse "string(U64)": Parsing u64 string "hello" failed, caused by error: invalid digit found in string (occurred while parsing "optional<string(U64)>")"#,
        ),
    ] {
        let reply = served.events(field, query).await;
        assert_eq!(reply.error(), (400, "web_framework_error".into(), message.into()));
        assert_eq!(reply.header("x-aptos-chain-id"), None);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_node_tells_it() {
    let served = served().await;
    let version = served.node.ledger_version();
    let error = async |path: &str| served.get(path).await.unwrap().error();
    let handle = format!("{CONTRACT}::offer::OfferEvents");
    let not_found = |address: &str, tag: &str| {
        let message =
            format!("Resource not found by Address({address}), Struct tag({tag}) and Ledger version({version})");
        (404, "resource_not_found".to_owned(), message)
    };
    let unknown = format!("{CONTRACT}::offer::Nothing");
    assert_eq!(
        error(&format!("/v1/accounts/{CONTRACT}/events/{unknown}/offer_token_events")).await,
        not_found(CONTRACT, &unknown)
    );
    assert_eq!(
        error(&format!("/v1/accounts/{MISSING}/events/{handle}/offer_token_events")).await,
        not_found("0xb0b", &handle)
    );
    assert_eq!(error(&format!("/v1/accounts/{CONTRACT}/resource/{unknown}")).await, not_found(CONTRACT, &unknown));
    let message = format!(
        "Struct Field not found by Address({CONTRACT}), Struct tag({handle}), Field name(not_found) and Ledger version({version})"
    );
    assert_eq!(
        error(&format!("/v1/accounts/{CONTRACT}/events/{handle}/not_found")).await,
        (404, "struct_field_not_found".into(), message)
    );
    let message =
        "Deserialization error, field(sequence_number) type is not a EventHandle struct: unexpected end of input";
    assert_eq!(
        error(&format!("/v1/accounts/{CONTRACT}/events/0x1::account::Account/sequence_number")).await,
        (400, "invalid_input".into(), message.into())
    );
    assert_eq!(error("/v1/nothing").await, (404, "web_framework_error".into(), "not found".into()));
    assert_eq!(error("/accounts/0x1").await.0, 404);
    assert_eq!(error("/v1/accounts/0xzz").await.1, "web_framework_error");
    let empty = served.get(&format!("/v1/accounts/{CONTRACT}/events/77?start=0")).await.unwrap();
    assert_eq!((empty.status, empty.body.as_str()), (200, "[]"));
    let future = format!("/v1/accounts/{CONTRACT}/resource/{handle}?ledger_version={}", version + 1);
    let message = format!("Ledger version not found by Ledger version({})", version + 1);
    assert_eq!(error(&future).await, (404, "version_not_found".into(), message));
    let account = served.get(&format!("/v1/accounts/{MISSING}")).await.unwrap();
    let padded = MISSING.to_lowercase();
    assert_eq!(account.body, format!(r#"{{"sequence_number":"0","authentication_key":"{padded}"}}"#));
}

#[tokio::test]
async fn handles_count_and_both_forms_agree() {
    let served = served().await;
    let handle = format!("{CONTRACT}::fixed_price_market::FixedMarketEvents");
    let upper = CONTRACT[2..].to_uppercase();
    let resource = served.get(&format!("/v1/accounts/{upper}/resource/{handle}")).await.unwrap().json();
    assert_eq!(resource["type"], handle.as_str());
    let field = &resource["data"]["buy_token_events"];
    assert_eq!(number(&field["counter"]), counter(&served, "buy_token_events"));
    assert_eq!(field["guid"]["id"]["addr"], CONTRACT);
    let number = text(&field["guid"]["id"]["creation_num"]);
    let by_number = served.get(&format!("/v1/accounts/{CONTRACT}/events/{number}?start=1&limit=4")).await.unwrap();
    assert_eq!(by_number.body, served.events("buy_token_events", "?start=1&limit=4").await.body);
    let first = served.node.history()[700].version;
    let then = format!("/v1/accounts/{CONTRACT}/resource/{handle}?ledger_version={first}");
    let old = served.get(&then).await.unwrap().json();
    let listed = served.node.history().iter().filter(|e| e.version <= first && e.stream == "list_token_events").count();
    assert_eq!(super::number(&old["data"]["list_token_events"]["counter"]), listed as u64);
    let all = served.get(&format!("/v1/accounts/{CONTRACT}/resources")).await.unwrap().json();
    assert_eq!(all.as_array().unwrap().len(), 4);
    assert_eq!(served.get(&format!("/v1/accounts/{MISSING}/resources")).await.unwrap().body, "[]");
}

#[tokio::test]
async fn modules_declare_what_events_have() {
    let served = served().await;
    let modules = served.get(&format!("/v1/accounts/{CONTRACT}/modules")).await.unwrap().json();
    let structs: Vec<Value> = modules
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|module| module["abi"]["structs"].as_array().unwrap().clone())
        .collect();
    for event in served.node.history() {
        let name = event.event_type.rsplit("::").next().unwrap();
        let declared = structs.iter().find(|item| item["name"] == name).unwrap();
        let data: Value = serde_json::from_str(&event.data).unwrap();
        let mut declared: Vec<_> = declared["fields"].as_array().unwrap().iter().map(|f| text(&f["name"])).collect();
        declared.sort();
        assert_eq!(declared, data.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
    }
    let module = served.get(&format!("/v1/accounts/{CONTRACT}/module/offer")).await.unwrap().json();
    assert_eq!(module["abi"]["structs"][0]["name"], "OfferEvents");
    let (status, code, _) = served.get(&format!("/v1/accounts/{CONTRACT}/module/no")).await.unwrap().error();
    assert_eq!((status, code.as_str()), (404, "module_not_found"));
}

#[tokio::test]
async fn headers_and_ledger_info_agree() {
    let served = served().await;
    for path in ["/v1", "/v1/", "/v1/-/healthy", "/v1/info"] {
        let reply = served.get(path).await.unwrap();
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        assert_eq!(reply.header("x-aptos-chain-id"), Some("4"));
        assert_eq!(reply.header("x-aptos-ledger-version"), Some(served.node.ledger_version().to_string().as_str()));
        assert_eq!(reply.header("x-aptos-ledger-oldest-version"), Some("0"));
    }
    let reply = served.get("/v1").await.unwrap();
    let info = reply.json();
    assert_eq!(info["chain_id"], 4);
    for (header, field) in [
        ("x-aptos-ledger-version", "ledger_version"),
        ("x-aptos-ledger-timestampusec", "ledger_timestamp"),
        ("x-aptos-epoch", "epoch"),
        ("x-aptos-block-height", "block_height"),
        ("x-aptos-oldest-block-height", "oldest_block_height"),
    ] {
        assert_eq!(info[field], reply.header(header).unwrap());
    }
    assert_eq!(served.node.requests(), 5);
}

#[tokio::test]
async fn transactions_tell_index_and_time() {
    let served = served().await;
    let history = served.node.history();
    let transaction =
        history.chunk_by(|one, other| one.version == other.version).find(|events| events.len() > 2).unwrap();
    let version = transaction[0].version;
    let told = served.get(&format!("/v1/transactions/by_version/{version}")).await.unwrap().json();
    assert_eq!((&told["type"], &told["success"]), (&"user_transaction".into(), &true.into()));
    assert_eq!(number(&told["version"]), version);
    for (event, emitted) in told["events"].as_array().unwrap().iter().zip(transaction) {
        assert_eq!(
            (number(&event["sequence_number"]), text(&event["type"])),
            (emitted.seq_no, emitted.event_type.clone())
        );
        assert_eq!(event["data"], serde_json::from_str::<Value>(&emitted.data).unwrap());
        assert!(event.get("version").is_none());
    }
    assert_eq!(told["events"].as_array().unwrap().len(), transaction.len() + 1);
    let block = served.get(&format!("/v1/blocks/by_version/{version}")).await.unwrap().json();
    assert!((number(&block["first_version"])..=number(&block["last_version"])).contains(&version));
    let other = served.get("/v1/transactions/by_version/17").await.unwrap().json();
    assert_eq!(other["type"], "state_checkpoint_transaction");
    let beyond = served.node.ledger_version() + 1;
    let late = served.get(&format!("/v1/transactions/by_version/{beyond}")).await.unwrap();
    let message = format!("Transaction not found by Ledger version({beyond})");
    assert_eq!(late.error(), (404, "transaction_not_found".into(), message));
}

#[tokio::test]
async fn live_events_come_at_their_rate_and_serving_stops_when_told() {
    let config = Config { events: 100, rate: 2_000.0, ..Config::default() };
    let (node, stop, start) = (Node::new(config), CancellationToken::new(), Instant::now());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = tokio::spawn(Arc::clone(&node).serve(listener, stop.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.cancel();
    served.await.unwrap().unwrap();
    let (live, most) = (node.total() - 100, start.elapsed().as_millis() * 2 + 20);
    assert!(live > 100 && u128::from(live) <= most, "{live} of at most {most}");
    let times: Vec<i64> = node
        .history()
        .iter()
        .filter_map(|event| {
            let data: Value = serde_json::from_str(&event.data).unwrap();
            data.get("timestamp").map(|time| text(time).parse().unwrap())
        })
        .collect();
    assert!(times.is_sorted());
    let live: Vec<_> = times[times.len() - 60..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(live.iter().all(|step| *step <= 30 * 500), "{live:?}");
}
