//! A simulated node, served by the test itself.

use std::sync::Arc;

use event_worker::simulate::{Config, Node};
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
}
