//! Answers that a node should not give, and nodes that should not be asked: each is met as it must be, without harm.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use event_worker::chain::SeqNo;
use event_worker::market::Market;
use event_worker::subject::{EventHandles, Subject, SubjectError};
use support::canned::{answering, answering_in_turn, error_body, handle, nodes};
use tokio::net::TcpListener;

/// Its address has been right: what a proxy says in its place will pass. What the node itself says, or a key, is final.
#[tokio::test]
async fn a_node_that_has_answered_is_not_given_up_for_what_stands_in_its_place() {
    for (status, body, passes) in [
        (302, String::new(), true),
        (400, "bad request".to_owned(), true),
        (404, "<html>no backend</html>".to_owned(), true),
        (404, error_body("web_framework_error", "not found"), true),
        (405, String::new(), true),
        (500, error_body("internal_error", "Internal event index is not enabled"), true),
        (500, "oops".to_owned(), true),
        (502, "<html>Bad gateway</html>".to_owned(), true),
        (503, "no healthy upstream".to_owned(), true),
        (400, error_body("invalid_input", "not an EventHandle"), false),
        (401, "Unauthorized: API key not found".to_owned(), false),
        (403, "<html>Forbidden</html>".to_owned(), false),
        (404, error_body("resource_not_found", "Resource not found"), false),
    ] {
        let (url, _) = answering_in_turn(vec![(200, vec![], "[]".to_owned()), (status, vec![], body.clone())]).await;
        let subject = handle(nodes(&url, None, None));
        subject.page(SeqNo::ZERO).await.unwrap();
        match subject.page(SeqNo::ZERO).await.unwrap_err() {
            SubjectError::Unreachable(_) => assert!(passes, "{status} {body}"),
            SubjectError::Refused(_) => assert!(!passes, "{status} {body}"),
            other => panic!("{status} {body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_503_that_says_when_is_respected_and_another_node_is_asked_meanwhile() {
    let (busy, asked) = answering(503, &[("retry-after", "60")], "maintenance").await;
    let (other, _) = answering(200, &[], "[]").await;
    let alone = handle(nodes(&busy, None, None)).page(SeqNo::ZERO).await.unwrap_err();
    assert!(matches!(alone, SubjectError::Throttled { pause, .. } if pause == Duration::from_mins(1)), "{alone:?}");
    let both = handle(nodes(&format!("{busy},{other}"), None, None));
    for _ in 0..3 {
        both.page(SeqNo::ZERO).await.unwrap();
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
    // While one of them may be back at once, nobody waits for the other.
    let away = handle(nodes(&format!("http://127.0.0.1:1/v1,{busy}"), None, None)).page(SeqNo::ZERO).await;
    assert!(matches!(&away, Err(SubjectError::Unreachable(_))), "{away:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_takes_no_key_along() {
    let (elsewhere, asked) = answering(200, &[], "[]").await;
    let (url, _) = answering(307, &[("location", &format!("{elsewhere}/accounts"))], "").await;
    let error = handle(nodes(&url, Some("s3cret"), None)).page(SeqNo::ZERO).await.unwrap_err();
    assert!(matches!(&error, SubjectError::Refused(said) if said.contains("a redirect to")), "{error:?}");
    assert!(asked.lock().unwrap().is_empty());
}

/// 128 MiB of nothing in less than 1 MB.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(&vec![b' '; 128 << 20]).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn what_is_too_long_is_refused_after_decompression_too() {
    let bomb = tokio::task::spawn_blocking(bomb).await.unwrap();
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let app = Router::new().fallback(move || {
        let bomb = bomb.clone();
        async move { ([("content-encoding", "gzip")], bomb) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let error = nodes(&url, None, None).resource("0x1".parse().unwrap(), "0x1::m::S").await.unwrap_err();
    assert!(matches!(&error, SubjectError::TooLong(said) if said.contains("32 MiB")), "{error:?}");
}

/// Pages that are too long become shorter, those of event handles longer again.
#[tokio::test]
async fn pages_of_long_events_are_made_shorter_for_a_while() {
    let asked: Arc<Mutex<Vec<u64>>> = Arc::default();
    let limits = Arc::clone(&asked);
    let app = Router::new().fallback(move |uri: Uri| {
        let limit: u64 = uri.query().unwrap().rsplit_once("limit=").unwrap().1.parse().unwrap();
        let mut limits = limits.lock().unwrap();
        limits.push(limit);
        let is_long = limit > 30 && limits.len() < 6;
        async move { if is_long { " ".repeat(33 << 20) } else { "[]".to_owned() } }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let subject = handle(nodes(&format!("http://{}/v1", listener.local_addr().unwrap()), None, None));
    tokio::spawn(async move { axum::serve(listener, app).await });
    for _ in 0..4 {
        subject.page(SeqNo::ZERO).await.unwrap();
    }
    assert_eq!(*asked.lock().unwrap(), [100, 50, 25, 50, 25, 50, 100]);
}

/// Time stands still but for what waits: that is the clock of the test, and nobody else works here.
#[tokio::test]
async fn who_hangs_or_drips_is_given_up() {
    let dripping = || {
        futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::convert::Infallible>(" "), ()))
        })
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let app = Router::new().fallback(move || {
        let at = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            match at {
                0 => "[]".into_response(),
                1 => std::future::pending().await,
                _ => axum::body::Body::from_stream(dripping()).into_response(),
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let subject = handle(nodes(&format!("http://{}/v1", listener.local_addr().unwrap()), None, None));
    tokio::spawn(async move { axum::serve(listener, app).await });
    subject.page(SeqNo::ZERO).await.unwrap();
    tokio::time::pause();
    for limit in [10, 30] {
        let start = tokio::time::Instant::now();
        let error = subject.page(SeqNo::ZERO).await.unwrap_err();
        assert!(matches!(&error, SubjectError::Unreachable(said) if said.contains("no answer in time")), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), limit);
    }
}

fn event(seq_no: u64, account: &str, number: u64) -> String {
    format!(
        r#"{{"version":"{}","guid":{{"creation_number":"{number}","account_address":"{account}"}},"sequence_number":"{seq_no}","type":"0x1::m::E","data":{{}}}}"#,
        100 + seq_no
    )
}

/// Whose events they are decides the handle's own resource, once it has been read.
#[tokio::test]
async fn a_page_with_events_of_another_handle_is_no_page() {
    let account = Market::built_in("imart", None).unwrap().streams[0].source.account().to_string();
    let resource = r#"{"type":"0x1::m::S","data":{"list_token_events":{"counter":"2","guid":{"id":{"addr":"0x1","creation_num":"4"}}}}}"#;
    for (events, told, expected) in [
        (vec![event(0, &account, 4), event(1, &account, 4)], true, Ok(2)),
        (vec![event(0, &account, 4), event(1, &account, 5)], false, Err("creation number 5 instead of 4")),
        (vec![event(0, &account, 5), event(1, &account, 5)], false, Ok(2)),
        (vec![event(0, &account, 5), event(1, &account, 5)], true, Err("creation number 5 instead of 4")),
        (vec![event(0, &account, 4), event(1, "0x2", 4)], false, Err("of another account")),
        (vec![event(0, &account, 4).replace(r#"{"version""#, r#"{"version":"0","version""#)], false, Err("duplicate")),
    ] {
        let page = format!("[{}]", events.join(","));
        let first = if told { resource.to_owned() } else { page.clone() };
        let (url, _) = answering_in_turn(vec![(200, vec![], first), (200, vec![], page.clone())]).await;
        let subject = handle(nodes(&url, None, None));
        if told {
            assert_eq!(subject.counter().await.unwrap().next.get(), 2);
        }
        match (subject.page(SeqNo::ZERO).await, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read.events.len(), expected, "{page}"),
            (Err(SubjectError::Unreachable(said)), Err(why)) => assert!(said.contains(why), "{said}"),
            (other, _) => panic!("{page}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_kind_of_content_an_answer_says_it_is_does_not_matter() {
    let (url, _) = answering(200, &[("content-type", "text/html")], "[]").await;
    assert!(handle(nodes(&url, None, None)).page(SeqNo::ZERO).await.unwrap().events.is_empty());
}

/// The first answer decides, and a failure is none; an answer without a chain is taken.
#[tokio::test]
async fn a_node_of_another_chain_is_refused_by_itself() {
    let of = |chain: &str| (200, vec![("x-aptos-chain-id", chain.to_owned())], "[]".to_owned());
    let gone = (404, vec![("x-aptos-chain-id", "9".to_owned())], error_body("resource_not_found", "no such thing"));
    let (strange, _) = answering_in_turn(vec![gone, of("9")]).await;
    let (ours, _) = answering_in_turn(vec![of("2")]).await;
    let (untold, _) = answering(200, &[], "[]").await;
    let subject = handle(nodes(&format!("{strange},{ours}"), None, None));
    for _ in 0..3 {
        assert_eq!(subject.page(SeqNo::ZERO).await.unwrap().ledger.chain_id, Some(2));
    }
    for (url, expected) in [(&strange, Err("is of chain 9, the database's rows are of chain 2")), (&untold, Ok(None))] {
        let nodes = nodes(url, None, None);
        nodes.expect_chain(2);
        match (handle(nodes).page(SeqNo::ZERO).await, expected) {
            (Ok(page), Ok(chain)) => assert_eq!(page.ledger.chain_id, chain),
            (Err(SubjectError::Refused(said)), Err(why)) => assert!(said.contains(why) && said.contains(url), "{said}"),
            (other, _) => panic!("{url}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn handles_of_one_resource_are_looked_at_together() {
    let data: Vec<_> =
        ["a", "b", "c"].iter().zip(5..).map(|(field, count)| format!(r#""{field}":{{"counter":"{count}"}}"#)).collect();
    let (url, requests) =
        answering(200, &[], &format!(r#"{{"type":"0x1::m::S","data":{{{}}}}}"#, data.join(","))).await;
    let handles = EventHandles::new(nodes(&url, None, None));
    let [a, b, c] = ["a", "b", "c"].map(|field| handles.handle("0x1".parse().unwrap(), "0x1::m::S", field));
    let other = handles.handle("0x1".parse().unwrap(), "0x1::m::T", "a");
    let interval = Duration::from_millis(50);
    let asked = || requests.lock().unwrap().len();
    let start = std::time::Instant::now();
    for round in 1..=4 {
        let all = tokio::join!(a.next_counter(interval), b.next_counter(interval), c.next_counter(interval));
        let counters = [all.0, all.1, all.2].map(|counter| counter.unwrap().next.get());
        assert_eq!((counters, asked()), ([5, 6, 7], round));
    }
    assert!(start.elapsed() >= interval * 4);
    // Who has given up holds nobody back; another resource has a pace of its own.
    assert!(tokio::time::timeout(Duration::from_millis(1), a.next_counter(interval * 1_000)).await.is_err());
    let (_, _) = tokio::join!(async { b.next_counter(interval).await.unwrap() }, async {
        other.next_counter(Duration::ZERO).await.unwrap()
    });
    assert_eq!(asked(), 6);
    // A failure is everybody's, too.
    let away = EventHandles::new(nodes("http://127.0.0.1:1/v1", None, None));
    let [a, b] = ["a", "b"].map(|field| away.handle("0x1".parse().unwrap(), "0x1::m::S", field));
    let all = tokio::join!(a.next_counter(interval), b.next_counter(interval));
    assert!(matches!(all, (Err(SubjectError::Unreachable(_)), Err(SubjectError::Unreachable(_)))));
}

/// Whoever asks the node: observers, imports, all of them.
#[tokio::test]
async fn after_a_429_not_all_ask_again_at_once() {
    let (under_way, most, refuses) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (now, highest, refusing) = (Arc::clone(&under_way), Arc::clone(&most), Arc::clone(&refuses));
    let app = Router::new().fallback(move || {
        let (under_way, most, refuses) = (Arc::clone(&under_way), Arc::clone(&most), refuses.load(Ordering::SeqCst));
        async move {
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            if refuses { (StatusCode::TOO_MANY_REQUESTS, "slow down") } else { (StatusCode::OK, "[]") }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nodes = nodes(&format!("http://{}/v1", listener.local_addr().unwrap()), None, None);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let subjects: Vec<_> = (0..16).map(|_| handle(Arc::clone(&nodes))).collect();
    let all = || futures_util::future::join_all(subjects.iter().map(|subject| subject.page(SeqNo::ZERO)));
    assert!(all().await.iter().all(|page| matches!(page, Err(SubjectError::Throttled { .. }))));
    assert_eq!(highest.swap(0, Ordering::SeqCst), 16);
    refusing.store(false, Ordering::SeqCst);
    let pause = subjects[0].page(SeqNo::ZERO).await.unwrap_err().pause();
    assert!(pause <= Duration::from_secs(1), "{pause:?}");
    tokio::time::sleep(pause).await;
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!((highest.load(Ordering::SeqCst), now.load(Ordering::SeqCst)), (8, 0));
}
