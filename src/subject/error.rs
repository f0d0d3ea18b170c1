//! Why a source gave no answer: not yet, not now, or not ever.

use std::time::Duration;

use super::Ledger;

/// A failure of a source. Each message names the node and what it said, never a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The node wants fewer requests; it pauses us for that long.
    #[error("{message}")]
    Throttled {
        /// What the node said.
        message: String,
        /// How long to pause.
        pause: Duration,
    },
    /// No answer, or none that makes sense, this time.
    #[error("{0}")]
    Unreachable(String),
    /// The node's ledger has not come as far as another answer has shown.
    #[error("{0}")]
    Behind(String),
    /// The history asked for is in an archive, which gave no answer this time.
    #[error("{0}")]
    ArchiveUnreachable(String),
    /// The history asked for is no longer there.
    #[error("{0}")]
    Pruned(String),
    /// The node knows no such thing, as of that ledger.
    #[error("{message}")]
    Missing {
        /// What the node said.
        message: String,
        /// Where the node stood.
        ledger: Ledger,
    },
    /// The answer is longer than any that is read.
    #[error("{0}")]
    TooLong(String),
    /// Asking again will not help; the message names the remedy.
    #[error("{0}")]
    Refused(String),
}

impl SubjectError {
    /// Whether asking again, of the same, may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unreachable(_) | Self::Behind(_) | Self::ArchiveUnreachable(_) => true,
            Self::Pruned(_) | Self::Missing { .. } | Self::TooLong(_) | Self::Refused(_) => false,
        }
    }

    /// How long not to ask again, as far as the node has told.
    #[must_use]
    pub fn pause(&self) -> Duration {
        match self {
            Self::Throttled { pause, .. } => *pause,
            Self::Unreachable(_)
            | Self::Behind(_)
            | Self::ArchiveUnreachable(_)
            | Self::Pruned(_)
            | Self::Missing { .. }
            | Self::TooLong(_)
            | Self::Refused(_) => Duration::ZERO,
        }
    }
}
