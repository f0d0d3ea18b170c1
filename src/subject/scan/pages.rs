//! The ledger's transactions in pages of a node, read ahead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::answer::Answer;
use super::super::node::Question;
use super::super::page::PageLimit;
use super::super::{Nodes, SubjectError};
use super::piece::{Piece, Types};
use crate::chain::Version;

/// Transactions in a piece: as many as a node gives at once.
const LENGTH: u64 = 100;
/// Pieces that are read before anybody asks for them.
const AHEAD: u64 = 8;
/// Pieces that are kept for streams that are a little behind.
const KEPT: usize = 64;

/// The transactions of a ledger, in pieces that begin at multiples of 100. Whoever asks for a piece first reads it, for
/// all others, and sets off the next ones.
pub(super) struct Pages {
    nodes: Arc<Nodes>,
    types: Types,
    limit: PageLimit,
    pieces: Mutex<Pieces>,
}

/// The pieces that are kept, each with when it was last asked for.
#[derive(Default)]
struct Pieces {
    slots: HashMap<u64, (Arc<Slot>, u64)>,
    asked: u64,
}

/// Held by whoever reads the piece.
type Slot = tokio::sync::Mutex<Option<Arc<Piece>>>;

impl Pages {
    pub fn new(nodes: Arc<Nodes>, types: Types) -> Self {
        Self { nodes, types, limit: PageLimit::default(), pieces: Mutex::default() }
    }

    /// The piece that holds `version`, as far as the ledger goes by `tip`, which must be at or behind `version`.
    pub async fn piece(self: &Arc<Self>, version: Version, tip: Version) -> Result<Arc<Piece>, SubjectError> {
        let number = version.get() / LENGTH;
        let last = tip.get() / LENGTH;
        for next in (number + 1..=last).take(AHEAD.try_into().unwrap_or(usize::MAX)) {
            let (slot, is_new) = self.slot(next);
            if is_new {
                let pages = Arc::clone(self);
                // Whoever comes for it reads it again if that fails.
                tokio::spawn(async move { pages.fill(&slot, next, tip).await });
            }
        }
        let (slot, _) = self.slot(number);
        self.fill(&slot, number, tip).await
    }

    fn slot(&self, number: u64) -> (Arc<Slot>, bool) {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.asked += 1;
        let now = pieces.asked;
        if let Some((slot, asked)) = pieces.slots.get_mut(&number) {
            *asked = now;
            return (Arc::clone(slot), false);
        }
        let slot = Arc::<Slot>::default();
        pieces.slots.insert(number, (Arc::clone(&slot), now));
        if pieces.slots.len() > KEPT {
            let oldest = pieces.slots.iter().min_by_key(|(_, (_, asked))| *asked).map(|(number, _)| *number);
            oldest.and_then(|oldest| pieces.slots.remove(&oldest));
        }
        (slot, true)
    }

    /// Reads what is missing of a piece.
    async fn fill(&self, slot: &Slot, number: u64, tip: Version) -> Result<Arc<Piece>, SubjectError> {
        let mut known = slot.lock().await;
        let first = Version::new(number * LENGTH).unwrap_or_else(Version::max);
        let behind = (number + 1) * LENGTH;
        let mut piece = match &*known {
            Some(piece) if piece.end.get() >= behind.min(tip.next().get()) => return Ok(Arc::clone(piece)),
            Some(piece) => (**piece).clone(),
            None => Piece { first, end: first, events: vec![] },
        };
        while piece.end.get() < behind && piece.end <= tip {
            let more = self.read(piece.end, behind - piece.end.get()).await?;
            if more.end == piece.end {
                let message = format!("{}: the node does not show transaction {} yet", self.nodes.names(), piece.end);
                return Err(SubjectError::Behind(message));
            }
            piece.append(more);
        }
        let piece = Arc::new(piece);
        *known = Some(Arc::clone(&piece));
        Ok(piece)
    }

    async fn read(&self, start: Version, most: u64) -> Result<Piece, SubjectError> {
        loop {
            let limit = self.limit.get();
            let path = format!("/transactions?start={start}&limit={}", most.min(limit.into()));
            match self.nodes.ask(Question::get(&path), |answer: &Answer| self.read_answer(answer, start)).await {
                Ok((piece, _)) => {
                    self.limit.fits(limit);
                    return Ok(piece);
                }
                Err(SubjectError::TooLong(_)) if self.limit.is_too_long(limit) => {}
                // A ledger that is behind has no such transaction yet.
                Err(SubjectError::Refused(message)) if message.contains("higher than the current ledger version") => {
                    return Err(SubjectError::Behind(message));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn read_answer(&self, answer: &Answer, start: Version) -> Result<Piece, String> {
        Piece::read(&answer.body, start, &self.types)
    }
}
