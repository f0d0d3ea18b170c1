//! How a node, and the gateway before it, answer: bodies, status and headers.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use serde_json::Value;

/// The chain id of a local test network.
pub const CHAIN_ID: u8 = 4;

/// What a node says about its ledger with every answer.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The chain's number.
    pub chain_id: u8,
    /// Last version.
    pub version: u64,
    /// First version that is not pruned.
    pub oldest: u64,
    /// Microseconds since 1970.
    pub timestamp: i64,
}

impl Head {
    /// Versions of one epoch.
    const EPOCH: u64 = 400_000;
    /// Versions of one block.
    pub const BLOCK: u64 = 8;

    /// Epoch of the last version.
    pub const fn epoch(&self) -> u64 {
        self.version / Self::EPOCH
    }

    /// Height of the last block.
    pub const fn height(&self) -> u64 {
        self.version / Self::BLOCK
    }

    /// Height of the first block that is not pruned.
    pub const fn oldest_height(&self) -> u64 {
        self.oldest / Self::BLOCK
    }

    fn write_to(&self, headers: &mut HeaderMap) {
        let all = [
            ("x-aptos-chain-id", u64::from(self.chain_id)),
            ("x-aptos-ledger-version", self.version),
            ("x-aptos-ledger-oldest-version", self.oldest),
            ("x-aptos-ledger-timestampusec", self.timestamp.unsigned_abs()),
            ("x-aptos-epoch", self.epoch()),
            ("x-aptos-block-height", self.height()),
            ("x-aptos-oldest-block-height", self.oldest_height()),
        ];
        for (name, value) in all {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

/// A body, and where it goes on.
#[derive(Debug)]
pub struct Page {
    /// JSON.
    pub body: String,
    /// What to ask for next, where this is not all.
    pub cursor: Option<String>,
}

impl From<String> for Page {
    fn from(body: String) -> Self {
        Self { body, cursor: None }
    }
}

/// A node's refusal.
#[derive(Debug)]
pub struct Refusal {
    /// Status of the answer.
    pub status: StatusCode,
    body: String,
    /// The node looked at its ledger before it refused, and says so in the headers.
    has_head: bool,
}

impl Refusal {
    /// The request is understood, and there is no such thing, or not yet.
    pub fn not_found(code: &str, message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message, true)
    }

    /// The request is understood, and cannot be right.
    pub fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_input", message, true)
    }

    /// The request is refused before anybody looks at the ledger.
    pub fn framework(status: StatusCode, message: &str) -> Self {
        Self::new(status, "web_framework_error", message, false)
    }

    /// The node itself has a problem.
    pub fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message, true)
    }

    /// The data are gone, as the hosted gateway words it.
    pub fn gone(code: &str, message: &str, oldest: u64) -> Self {
        let hint = "The requested data has been pruned from this node. \
            Retry your request against the archival endpoint to access full history.";
        let message = Value::from(message);
        let body = format!(
            r#"{{"error_code":"{code}","message":{message},"hint":"{hint}","oldest_ledger_version":"{oldest}"}}"#
        );
        let status = StatusCode::GONE;
        Self { status, body, has_head: true }
    }

    fn new(status: StatusCode, code: &str, message: &str, has_head: bool) -> Self {
        let message = Value::from(message);
        let body = format!(r#"{{"message":{message},"error_code":"{code}","vm_error_code":null}}"#);
        Self { status, body, has_head }
    }
}

/// A node's answer, with all its headers.
pub fn answer(outcome: Result<Page, Refusal>, head: &Head) -> Response<Body> {
    let (status, body, cursor, has_head) = match outcome {
        Ok(Page { body, cursor }) => (StatusCode::OK, body, cursor, true),
        Err(refusal) => (refusal.status, refusal.body, None, refusal.has_head),
    };
    let mut response = plain(status, "application/json", body);
    if has_head {
        head.write_to(response.headers_mut());
    }
    if let Some(cursor) = cursor.and_then(|cursor| HeaderValue::try_from(cursor).ok()) {
        response.headers_mut().insert(HeaderName::from_static("x-aptos-cursor"), cursor);
    }
    response
}

/// The gateway's refusal of somebody who asks too much.
pub fn too_many(says_when: bool) -> Response<Body> {
    let text = "Per anonymous IP rate limit exceeded. Limit: 50000 compute units per 300 seconds window.";
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "text/plain; charset=utf-8", text.to_owned());
    if says_when {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
    }
    response
}

/// The refusal of a body that no request needs.
pub fn too_large() -> Response<Body> {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "text/plain; charset=utf-8", "payload too large".to_owned())
}

/// What a proxy shows where no node answers.
pub fn page_of_a_proxy(status: StatusCode) -> Response<Body> {
    let page = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    plain(status, "text/html", page)
}

/// Somebody who thinks that the node is elsewhere, where nobody listens.
pub fn redirect() -> Response<Body> {
    let mut response = page_of_a_proxy(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("http://127.0.0.1:9/v1"));
    response
}

/// More than anybody reads.
pub fn oversized() -> Response<Body> {
    plain(StatusCode::OK, "application/json", " ".repeat(40 << 20))
}

/// The same answer, a little of it a second.
pub async fn dripping(response: Response<Body>) -> Response<Body> {
    const PIECE: usize = 16;
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let drip = futures_util::stream::unfold(body, async |mut rest| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let piece = rest.split_to(PIECE.min(rest.len()));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), rest))
    });
    Response::from_parts(parts, Body::from_stream(drip))
}

/// The same answer, which says that it is HTML.
pub fn mislabelled(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
