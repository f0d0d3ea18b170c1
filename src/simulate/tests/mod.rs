//! Of the market: that it never contradicts itself. Of the node: every trap, over real HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod chronicle;
mod creators;
mod faults;
mod gallery;
mod http;
mod indexer;
mod market;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;

/// A node that is served, and how to ask it.
struct Served {
    node: Arc<Node>,
    address: SocketAddr,
    stop: CancellationToken,
}

/// What came back.
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Served {
    async fn new(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop, node) = (listener.local_addr().unwrap(), CancellationToken::new(), Node::new(config));
        tokio::spawn(Arc::clone(&node).serve(listener, stop.clone()));
        Self { node, address, stop }
    }

    /// None: the connection ended before there was an answer.
    async fn get(&self, path: &str) -> Option<Reply> {
        self.ask("GET", path, "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &body.to_string()).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Option<Reply> {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let request = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let address = self.address;
        let bytes = tokio::task::spawn_blocking(move || exchange(address, &request)).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Reply { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    /// What is there, as JSON.
    async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()
    }

    /// All items behind a path that is asked with `start`, in pages of so many.
    async fn all(&self, path: &str, limit: usize) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let page = self.json(&format!("{path}?start={}&limit={limit}", all.len())).await;
            let Value::Array(page) = page else { panic!("{page} is no page") };
            if page.is_empty() {
                return all;
            }
            assert!(page.len() <= limit);
            all.extend(page);
        }
    }

    async fn events(&self, field: &str, query: &str) -> Reply {
        let stream = Stream::ALL.into_iter().find(|stream| stream.field() == field).unwrap();
        let handle = format!("{CONTRACT}::{}", stream.holder()).replace(':', "%3A");
        self.get(&format!("/v1/accounts/{CONTRACT}/events/{handle}/{field}{query}")).await.unwrap()
    }
}

/// All that comes back until the connection ends, which may be nothing.
fn exchange(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // A connection that is reset leaves what came before.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn seq_nos(&self) -> Vec<u64> {
        let page = self.json();
        page.as_array().unwrap().iter().map(|event| number(&event["sequence_number"])).collect()
    }

    fn error(&self) -> (u16, String, String) {
        let error = self.json();
        (self.status, text(&error["error_code"]), text(&error["message"]))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn number(value: &Value) -> u64 {
    text(value).parse().unwrap()
}
