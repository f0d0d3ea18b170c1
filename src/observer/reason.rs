//! Why an observer stops, in words that name the remedy.

use crate::chain::{ChainId, SeqNo};

pub(super) fn parked(in_a_row: u64, next: SeqNo) -> String {
    format!(
        "{in_a_row} events in a row could not be decoded, up to seq no {}: the contract has probably changed; they are in dead_letters; mend the market file and run `event-worker dead-letters retry --all`, or raise MAX_PARKED above that number",
        next.executed()
    )
}

pub(super) fn pruned(what: &str) -> String {
    format!("history is pruned: {what}; set NODE_ARCHIVE_URL to a node that has it, or NODE_URL to an archival node")
}

pub(super) fn fewer_than_executed(counter: SeqNo, next: SeqNo) -> String {
    format!(
        "the handle has emitted {counter} events, but {next} have been executed: the chain was reset, or MARKETS names another deployment; give it a database of its own (DATABASE_URL)"
    )
}

pub(super) fn other_chain(theirs: ChainId, ours: ChainId) -> String {
    format!(
        "the node is of chain {theirs}, the database's rows are of chain {ours}: correct NODE_URL, or give chain {theirs} a database of its own (DATABASE_URL)"
    )
}
