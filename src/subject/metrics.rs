//! How often nodes are asked, as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Nodes;
use super::node::Node;
use crate::telemetry::metrics::{Kind, Metric};

impl Nodes {
    /// Requests and refusals of each node since the process began.
    #[must_use]
    pub fn metrics(&self) -> [Metric; 2] {
        [
            self.counter(
                "event_worker_node_requests_total",
                "Requests to the node, whatever came of them; those to the archive are not counted.",
                |node| &node.requests,
            ),
            self.counter(
                "event_worker_node_throttled_total",
                "Requests that the node refused as too many (429).",
                |node| &node.throttled,
            ),
        ]
    }

    #[expect(clippy::cast_precision_loss, reason = "all that Prometheus knows; exact up to 2^53")]
    fn counter(&self, name: &'static str, help: &'static str, count: fn(&Node) -> &AtomicU64) -> Metric {
        let mut series: Vec<(Vec<String>, f64)> = vec![];
        for node in &self.nodes {
            let (url, count) = (node.url.to_string(), count(node).load(Ordering::Relaxed) as f64);
            // The same address may be there twice, with another key.
            match series.iter_mut().find(|(known, _)| known[0] == url) {
                Some((_, sum)) => *sum += count,
                None => series.push((vec![url], count)),
            }
        }
        Metric { name, help, kind: Kind::Counter, labels: &["node"], series }
    }
}
