//! Servers that give the same few answers, whatever they are asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use event_worker::market::Market;
use event_worker::subject::{Config, EventHandle, EventHandles, Nodes};
use tokio::net::TcpListener;

/// These nodes, with that key for each.
pub fn nodes(url: &str, key: Option<&str>, archive: Option<&str>) -> Arc<Nodes> {
    let config = Config {
        nodes: url.split(',').map(|url| (url.parse().unwrap(), key.map(str::to_owned))).collect(),
        archive: archive.map(|url| url.parse().unwrap()),
    };
    Arc::new(Nodes::new(config).unwrap())
}

/// The listings of the built-in market.
pub fn handle(nodes: Arc<Nodes>) -> EventHandle {
    let market = Market::built_in("imart", None).unwrap();
    EventHandles::new(nodes).at(&market.streams[0].source)
}

/// What has been asked for, and with what.
pub type Request = (Uri, HeaderMap);

/// A server that gives every request the same answer, and remembers the requests.
pub async fn answering(status: u16, headers: &[(&str, &str)], body: &str) -> (String, Arc<Mutex<Vec<Request>>>) {
    let mut sent = HeaderMap::new();
    for (name, value) in headers {
        sent.insert(axum::http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let (seen, body) = (Arc::clone(&requests), body.to_owned());
    let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
        seen.lock().unwrap().push((uri, headers));
        let answer = (StatusCode::from_u16(status).unwrap(), sent.clone(), body.clone());
        async move { answer }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, requests)
}

/// Status, headers and body.
pub type Canned = (u16, Vec<(&'static str, String)>, String);

/// A server that gives these answers in turn, the last one for ever, and counts the requests.
pub async fn answering_in_turn(answers: Vec<Canned>) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let app = Router::new().fallback(move || {
        let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let (status, headers, body) = answers[at].clone();
        let mut response = axum::http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let response = response.body(axum::body::Body::from(body)).unwrap();
        async move { response }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

/// A node's own words.
pub fn error_body(code: &str, message: &str) -> String {
    format!(r#"{{"message":"{message}","error_code":"{code}","vm_error_code":null}}"#)
}
