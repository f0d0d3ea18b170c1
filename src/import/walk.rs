//! Reading a numbered stream from its first to its last, without a hole.

use std::time::Duration;

use super::source::{Failed, Source};
use crate::chain::{RawEvent, SeqNo, Version};
use crate::subject::{Page, Subject};

/// How long a gap is read again before it is believed.
const GAP_PATIENCE: Duration = Duration::from_secs(3);
/// An empty page below the counter may come from a node that lags; so often in a row it is taken for more.
const BELIEVED: u32 = 3;

/// How many events `subject` has, at least.
pub(super) async fn total(source: &Source, subject: &impl Subject) -> Result<SeqNo, Failed> {
    source.read(async || subject.counter().await.map(|counter| (counter.next, counter.ledger))).await
}

/// Hands every event of `subject` to `each`, in order, at least `total`. `what` is what the stream holds, for messages.
pub(super) async fn walk(
    source: &Source,
    subject: &impl Subject,
    what: &str,
    total: SeqNo,
    mut each: impl AsyncFnMut(RawEvent) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let (mut next, mut version, mut archived, mut misses) = (SeqNo::ZERO, None::<Version>, false, 0);
    let mut patience = source.patience();
    loop {
        let reading = async { if archived { subject.archived_page(next).await } else { subject.page(next).await } };
        let page = match source.cancel.run_until_cancelled(reading).await.ok_or(Failed::Cancelled)? {
            Ok(page) => page,
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
        // A stream may be longer than its counter says: its end is an empty page.
        if page.events.is_empty() && next >= total && !source.is_old(page.ledger) {
            return Ok(());
        }
        misses += 1;
        let found = found(&page, what, next, total);
        if misses < BELIEVED {
            patience.wait(&found).await?;
        } else if is_pruned(&page, version) && !archived {
            archived = true;
            misses = 0;
        } else if archived {
            return Err(remedied(Failed::Pruned(format!("{found}, nor has the archive")), what, next, total));
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
            "history is pruned: {what} {next} to {} are not imported ({message}); set NODE_ARCHIVE_URL to a node that has them, or NODE_URL to an archival node",
            total.executed()
        )),
        other => other,
    }
}
