//! A simulated node, served by the test itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use event_worker::simulate::{Config, Node};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A node that answers until it is dropped.
pub struct TestNode {
    /// For its history, and to let more happen.
    pub node: Arc<Node>,
    /// What `NODE_URL` has to be.
    pub url: String,
    _serving: DropGuard,
}

impl TestNode {
    /// Serves such a node on a free port.
    pub async fn start(config: Config) -> Self {
        let node = tokio::task::spawn_blocking(|| Node::new(config)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&node).serve(listener, stop.clone()));
        Self { node, url, _serving: stop.drop_guard() }
    }

    /// What `STREAM_URL` has to be.
    pub fn stream(&self) -> String {
        self.url.trim_end_matches("/v1").to_owned()
    }

    /// Whoever created a collection that the market's events tell of.
    pub fn creators(&self) -> Vec<String> {
        let created = self.node.history().into_iter().filter(|event| event.stream == "collection_created_events");
        let creator = |data: &str| serde_json::from_str::<Value>(data).unwrap()["creator"].as_str().unwrap().to_owned();
        let all: BTreeSet<_> = created.map(|event| creator(&event.data)).collect();
        all.into_iter().collect()
    }
}
