//! Requests, as anybody may send them: a line `METHOD PATH?QUERY`, a line `NAME: VALUE` for each header, an empty line, a body. They
//! go to the worker's own API and to the simulated node, without a socket. The body is also what metrics tell of.
#![no_main]

use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use event_worker::api;
use event_worker::simulate::{Config, Node};
use event_worker::telemetry::metrics::{Kind, Metric};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
static NODE: LazyLock<Arc<Node>> = LazyLock::new(|| Node::new(Config { events: 200, ..Config::default() }));

fuzz_target!(|text: &str| -> Corpus {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let Some(request) = request(head, body) else { return Corpus::Reject };
    the_node_answers_in_its_own_words(&request);
    the_worker_answers_what_it_serves(request, body);
    Corpus::Keep
});

fn request(head: &str, body: &str) -> Option<Request<String>> {
    let mut lines = head.lines();
    let (method, uri) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(Method::try_from(method).ok()?).uri(Uri::try_from(uri).ok()?);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    request.body(body.to_owned()).ok()
}

fn answered(response: Response<Body>) -> (StatusCode, Bytes) {
    let (parts, body) = response.into_parts();
    (parts.status, RUNTIME.block_on(to_bytes(body, usize::MAX)).expect("it is in memory"))
}

fn the_worker_answers_what_it_serves(request: Request<String>, label: &str) {
    let (is_read, path) = (matches!(*request.method(), Method::GET | Method::HEAD), request.uri().path().to_owned());
    let (head, label) = (request.method() == Method::HEAD, label.to_owned());
    let told = move || {
        let series = vec![(vec![label.clone()], 1.0)];
        vec![Metric { name: "state", help: "State.", kind: Kind::Gauge, labels: &["cause"], series }]
    };
    let response = RUNTIME.block_on(api::routes(told).oneshot(request.map(Body::from)));
    let (status, body) = answered(response.expect("infallible"));
    match &*path {
        "/healthz" | "/metrics" if is_read => assert_eq!(status, StatusCode::OK),
        "/healthz" | "/metrics" => assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED),
        _ => assert_eq!(status, StatusCode::NOT_FOUND, "{path}"),
    }
    if path == "/metrics" && is_read && !head {
        // Whatever a label holds, it is one line of three.
        assert_eq!(str::from_utf8(&body).expect("it is text").split('\n').count(), 4, "{body:?}");
    }
}

/// What it does not understand is the client's fault, and said in JSON.
fn the_node_answers_in_its_own_words(request: &Request<String>) {
    let (status, body) = answered(NODE.answer(request.method(), request.uri(), request.body().as_bytes()));
    assert!(!status.is_server_error(), "{} {}: {status} {body:?}", request.method(), request.uri());
    if request.method() != Method::HEAD {
        let said = serde_json::from_slice::<Value>(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
        assert!(status.is_success() || said["error_code"].is_string(), "{status} {said}");
    }
}
