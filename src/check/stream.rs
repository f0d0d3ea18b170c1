//! The transaction stream, if that is what is read.

use super::Line;
use crate::subject::{Nodes, StreamConfig, StreamService, SubjectError};

/// Whether it sends the end of the ledger; nothing where the nodes do not tell where that is, which is said of them.
pub(super) async fn check(config: &StreamConfig, nodes: &Nodes) -> Option<Line> {
    let check = format!("stream {}", config.url);
    let tip = nodes.ledger().await.ok()?.version?;
    let service = match StreamService::new(config.clone()) {
        Ok(service) => service,
        Err(error) => return Some(Line::fail(&check, error, "correct STREAM_KEY")),
    };
    Some(match service.try_out(tip, nodes).await {
        Ok(()) => {
            let key = if config.key.is_some() { ", accepts its key" } else { "" };
            Line::ok(&check, format!("sends transaction {tip} of the nodes' chain{key}"))
        }
        Err(SubjectError::Throttled { message, .. }) => {
            Line::warn(&check, message, "wait, or set STREAM_KEY; the worker slows down by itself")
        }
        Err(SubjectError::Unreachable(message)) => {
            Line::fail(&check, message, "check STREAM_URL, and that this machine reaches it")
        }
        // Its message ends with the remedy.
        Err(error) => Line::of_node(&check, &error),
    })
}
