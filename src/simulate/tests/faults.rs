//! What goes wrong when told to.

use super::*;

const FIELD: &str = "list_token_events";

async fn faulty(faults: &str) -> Served {
    Served::new(Config { events: 1_200, faults: faults.parse().unwrap(), ..Config::default() }).await
}

#[test]
fn faults_are_read_and_written_alike() {
    for text in
        ["", "429:0.1", "429:0.1,429-retry-after:0.05,500:0.05,503-html:0.02,truncate:0.05,reset:0.01,stale:0.2"]
    {
        assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
    }
    let text = "404-html:0.1,502-html:0.1,redirect:0.1,content-type:0.1,hang:0.1,drip:0.1,oversized:0.1,shuffle:0.1,repeat:0.1,skip:0.1,foreign:0.1,duplicate-keys:0.1,counter-low:0.1,chain:7";
    assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
    let text = "stream-drop:0.1,stream-reset:0.1,stream-throttled:0.1,stream-repeat:0.1,stream-stall:0.1,stream-split:0.1,stream-hole:0.1,stream-chain:7";
    assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
    let text = " gap : 5, mistyped:0.01 ,pruned:7,pruned-500:9";
    assert_eq!(text.parse::<Faults>().unwrap().to_string(), "pruned-500:9,gap:5,mistyped:0.01");
}

#[test]
fn bad_faults_name_the_word_and_the_remedy() {
    let error = |text: &str| text.parse::<Faults>().unwrap_err().to_string();
    let unknown = error("429:0.1,latr:1");
    assert!(unknown.contains("`latr`") && unknown.contains("429-retry-after") && unknown.contains("mistyped"));
    assert!(error("500").contains("`500`"));
    assert_eq!(error("500:2"), "fault `500`: `2` is not a number from 0 to 1");
    assert_eq!(error("stale:NaN"), "fault `stale`: `NaN` is not a number from 0 to 1");
    assert_eq!(error("gap:-1"), "fault `gap`: `-1` is not a whole number");
    assert_eq!(error("chain:0"), "fault `chain`: `0` is not a chain's number, from 1 to 255");
}

#[tokio::test]
async fn the_gateway_and_the_node_fail_in_their_own_words() {
    let served = faulty("429:1").await;
    let reply = served.events(FIELD, "?start=0").await;
    assert_eq!((reply.status, reply.header("retry-after"), reply.header("x-aptos-chain-id")), (429, None, None));
    assert!(reply.body.starts_with("Per anonymous IP rate limit exceeded."));
    assert_eq!(served.get("/v1/-/healthy").await.unwrap().status, 200);
    served.node.set_faults("429-retry-after:1".parse().unwrap());
    assert_eq!(served.events(FIELD, "").await.header("retry-after"), Some("1"));
    served.node.set_faults("500:1".parse().unwrap());
    let (status, code, _) = served.events(FIELD, "").await.error();
    assert_eq!((status, code.as_str()), (500, "internal_error"));
    served.node.set_faults("503-html:1".parse().unwrap());
    let reply = served.events(FIELD, "").await;
    assert_eq!((reply.status, reply.header("content-type")), (503, Some("text/html")));
}

#[tokio::test]
async fn connections_are_cut_and_the_next_one_is_fine() {
    let served = faulty("truncate:1").await;
    let cut = served.events(FIELD, "?start=0&limit=100").await;
    let promised: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert!(cut.body.len() < promised && !cut.body.is_empty());
    served.node.set_faults("reset:1".parse().unwrap());
    assert!(served.get("/v1").await.is_none());
    served.node.set_faults(Faults::default());
    assert_eq!(served.events(FIELD, "?start=0&limit=100").await.json().as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn a_node_that_lags_shows_no_later_event() {
    let served = faulty("stale:1").await;
    let page = served.events(FIELD, "").await;
    let version: u64 = page.header("x-aptos-ledger-version").unwrap().parse().unwrap();
    assert!((2_000..20_000).contains(&(served.node.ledger_version() - version)));
    assert!(page.json().as_array().unwrap().iter().all(|event| number(&event["version"]) <= version));
}

#[tokio::test]
async fn luck_is_a_matter_of_the_seed() {
    let statuses = async || {
        let served = faulty("500:0.3,429:0.3").await;
        let mut all = Vec::new();
        for _ in 0..30 {
            all.push(served.get("/v1").await.unwrap().status);
        }
        all
    };
    let all = statuses().await;
    assert_eq!(all, statuses().await);
    assert!([200, 429, 500].iter().all(|status| all.contains(status)), "{all:?}");
}

#[tokio::test]
async fn pruned_history_is_told_in_three_ways() {
    let served = faulty("").await;
    let oldest = served.node.history()[600].version;
    let first = served.node.history().into_iter().find(|e| e.stream == FIELD && e.version >= oldest).unwrap().seq_no;
    assert!(first > 10);
    let prune = |form: &str| served.node.set_faults(format!("{form}:{oldest}").parse().unwrap());
    prune("pruned");
    let gone = served.events(FIELD, "?start=0").await;
    let body = gone.json();
    assert_eq!((gone.status, &body["error_code"]), (410, &"version_pruned".into()));
    assert_eq!(body["oldest_ledger_version"], oldest.to_string());
    assert!(body.get("hint").is_some() && body.get("vm_error_code").is_none());
    assert_eq!(gone.header("x-aptos-ledger-oldest-version"), Some(oldest.to_string().as_str()));
    assert_eq!(served.events(FIELD, &format!("?start={first}&limit=1")).await.seq_nos(), [first]);
    assert_eq!(served.get(&format!("/v1/transactions/by_version/{}", oldest - 1)).await.unwrap().status, 410);
    let info = served.get("/v1").await.unwrap().json();
    assert_eq!(info["oldest_ledger_version"], oldest.to_string());
    prune("pruned-500");
    let (status, code, message) = served.events(FIELD, "?start=0").await.error();
    assert_eq!((status, code.as_str()), (500, "internal_error"));
    assert!(message.contains("probably pruned"));
    prune("pruned-empty");
    assert_eq!(served.events(FIELD, "?start=0").await.body, "[]");
}

#[tokio::test]
async fn a_gap_is_left_out() {
    let served = faulty("gap:5").await;
    assert_eq!(served.events(FIELD, "?start=3&limit=4").await.seq_nos(), [3, 4, 6, 7]);
    assert_eq!(served.events("buy_token_events", "?start=4&limit=3").await.seq_nos(), [4, 5, 6]);
}

#[tokio::test]
async fn a_proxy_answers_in_its_place() {
    let served = faulty("404-html:1").await;
    for (fault, status) in [("404-html", 404), ("502-html", 502), ("redirect", 302)] {
        served.node.set_faults(format!("{fault}:1").parse().unwrap());
        let reply = served.events(FIELD, "").await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some("text/html")));
        assert_eq!(reply.header("location").is_some(), status == 302);
        assert!(reply.body.starts_with("<html>"));
    }
    served.node.set_faults("content-type:1".parse().unwrap());
    let reply = served.events(FIELD, "?start=3&limit=2").await;
    assert_eq!((reply.header("content-type"), reply.seq_nos()), (Some("text/html"), vec![3, 4]));
    served.node.set_faults("oversized:1".parse().unwrap());
    assert_eq!(served.events(FIELD, "").await.body.len(), 40 << 20);
    served.node.set_faults("drip:1".parse().unwrap());
    let page = served.events(FIELD, "?start=9999999").await;
    assert!(page.header("content-length").is_none() && page.body.contains("[]"), "{}", page.body);
}

#[tokio::test]
async fn a_node_lies() {
    let served = faulty("").await;
    let page = async |fault: &str| {
        served.node.set_faults(format!("{fault}:1").parse().unwrap());
        served.events(FIELD, "?start=0&limit=10").await
    };
    let usual: Vec<u64> = (0..10).collect();
    let shuffled = page("shuffle").await.seq_nos();
    assert!(shuffled != usual && (0..10).all(|seq_no| shuffled.contains(&seq_no)), "{shuffled:?}");
    let repeated = page("repeat").await.seq_nos();
    assert!(repeated.len() == 11 && repeated.is_sorted(), "{repeated:?}");
    let skipped = page("skip").await.seq_nos();
    assert!(skipped.len() == 9 && skipped.is_sorted(), "{skipped:?}");
    let foreign = page("foreign").await.json();
    assert_eq!(
        (&foreign[0]["guid"]["creation_number"], &foreign[1]["guid"]["creation_number"]),
        (&"94".into(), &"4".into())
    );
    assert!(page("duplicate-keys").await.body.starts_with(r#"[{"version":"0","version":""#));
    served.node.set_faults("counter-low:1,chain:7".parse().unwrap());
    let path = format!("/v1/accounts/{CONTRACT}/resource/{CONTRACT}::offer::OfferEvents");
    let resource = served.get(&path).await.unwrap();
    assert_eq!(resource.json()["data"]["offer_token_events"]["counter"], "0");
    assert_eq!(resource.header("x-aptos-chain-id"), Some("7"));
    assert_eq!(served.get("/v1").await.unwrap().json()["chain_id"], 7);
}
