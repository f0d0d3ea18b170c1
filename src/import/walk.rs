//! Reading a numbered stream from its first to its last, without a hole.

use std::time::Duration;

use super::source::{BEHIND, Failed, Source};
use crate::chain::{RawEvent, SeqNo, Version};
use crate::subject::{Page, Subject, SubjectError};

/// How long a gap is read again before it is believed.
const GAP_PATIENCE: Duration = Duration::from_secs(3);
/// An empty page below the counter may come from a node that lags: so often, and for so long, it is taken for one.
const BELIEVED: u32 = 3;
const LAG_PATIENCE: Duration = Duration::from_secs(1);

/// The length of a stream: at least so many events, as of a version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total {
    pub events: SeqNo,
    as_of: Version,
}

/// How many events `subject` has; none if there is no such stream.
pub(super) async fn total(source: &Source, subject: &impl Subject) -> Result<Total, Failed> {
    let asked = async || subject.counter().await.map(|counter| (counter, counter.ledger));
    match source.read(asked).await {
        Ok(counter) => {
            Ok(Total { events: counter.next, as_of: counter.ledger.version.unwrap_or_default().max(source.since) })
        }
        Err(Failed::Missing(_)) => Ok(Total { events: SeqNo::ZERO, as_of: source.since }),
        Err(failed) => Err(failed),
    }
}

/// Hands every event of `subject` to `each`, in order, at least `total`. `what` is what the stream holds, for messages.
pub(super) async fn walk(
    source: &Source,
    subject: &impl Subject,
    what: &str,
    total: Total,
    mut each: impl AsyncFnMut(RawEvent) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let Total { events: total, as_of } = total;
    let (mut next, mut version, mut archived, mut misses) = (SeqNo::ZERO, None::<Version>, false, 0);
    let mut patience = source.patience();
    loop {
        let reading = async { if archived { subject.archived_page(next).await } else { subject.page(next).await } };
        let page = match source.cancel.run_until_cancelled(reading).await.ok_or(Failed::Cancelled)? {
            Ok(page) => page,
            // No stream, no events.
            Err(SubjectError::Missing { .. }) if total == SeqNo::ZERO => return Ok(()),
            Err(error) => {
                patience.meet(error).await.map_err(|failed| remedied(failed, what, next, total))?;
                continue;
            }
        };
        source.check_chain(page.ledger)?;
        let good = page.continuing(next, version);
        if good > 0 {
            patience.end();
            misses = 0;
            // The archive's end: from here on the node must know.
            archived &= page.full;
            for event in page.events.into_iter().take(good) {
                next = event.seq_no.next();
                version = Some(event.version);
                each(event).await?;
            }
            continue;
        }
        // What an older ledger does not have says nothing.
        if page.ledger.version.is_some_and(|version| version < as_of) {
            patience.wait(BEHIND).await?;
            continue;
        }
        // A stream may be longer than its counter says: its end is an empty page.
        if page.events.is_empty() && next >= total {
            patience.end();
            return Ok(());
        }
        misses += 1;
        let found = found(&page, what, next, total);
        if misses < BELIEVED || patience.lasts() < LAG_PATIENCE {
            patience.wait(&found).await?;
        } else if archived {
            return Err(remedied(Failed::Pruned(format!("{found}, nor has the archive")), what, next, total));
        } else if is_pruned(&page, version) {
            archived = true;
        } else if !page.events.is_empty() && patience.lasts() > GAP_PATIENCE {
            return Err(Failed::Refused(format!("gap: {found}; use another node (NODE_URL)")));
        } else {
            patience.wait(&found).await?;
        }
    }
}

fn found(page: &Page, what: &str, next: SeqNo, total: SeqNo) -> String {
    match page.events.first() {
        None => format!("the node shows no {what} {next}, of {total}"),
        Some(first) => format!("asked for {what} {next}, the node answered {}", first.seq_no),
    }
}

/// Whether the node says that it no longer has what came before the next event.
fn is_pruned(page: &Page, version: Option<Version>) -> bool {
    let oldest = page.ledger.oldest_version.unwrap_or_default();
    version.map_or(oldest > Version::default(), |version| oldest > version)
}

fn remedied(failed: Failed, what: &str, next: SeqNo, total: SeqNo) -> Failed {
    match failed {
        Failed::Pruned(message) => Failed::Pruned(format!(
            "history is pruned: {what} from {next} up to {} are not imported: {message}; set NODE_ARCHIVE_URL to a node that has them, or NODE_URL to an archival node",
            total.executed()
        )),
        other => other,
    }
}
