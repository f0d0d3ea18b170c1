//! What an operator does about dead letters in a case: tries them again, and discards some.
//!
//! Whatever happens to the connection meanwhile, whose answer was heard must be true at the end.

use std::collections::BTreeSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::faults::Armed;
use super::ground::Seat;
use super::tally::Tally;
use super::worker::{Told, Written};
use crate::market::Markets;
use crate::state::{Handled, LetterKey, StoreError, Trouble};

/// An operator, and what is known of dead letters.
pub struct Operator {
    seat: Seat,
    /// Those that are discarded.
    pub discarded: BTreeSet<LetterKey>,
    /// Those of which nobody can tell, as an answer got lost.
    pub unsure: BTreeSet<LetterKey>,
    /// Whether it is known to have written, when it last handled some.
    pub has_written: bool,
}

impl Operator {
    pub fn new(seat: &Seat) -> Self {
        Self { seat: seat.clone(), discarded: BTreeSet::new(), unsure: BTreeSet::new(), has_written: false }
    }

    /// Takes some of what there is, and tries it again with `markets`, or discards it; `armed` may happen meanwhile.
    pub async fn handle(
        &mut self,
        markets: &Markets,
        armed: Option<Armed>,
        rng: &mut ChaCha8Rng,
        tally: &mut Tally,
    ) -> Result<Written, String> {
        self.has_written = false;
        let with_discarded = rng.random_ratio(1, 4);
        let mut keys = self.all(with_discarded).await?;
        keys.retain(|_| rng.random_bool(0.5));
        if keys.is_empty() {
            return Ok(Written::Told("finds no dead letters".to_owned()));
        }
        let discards = !with_discarded && rng.random_ratio(1, 4);
        self.seat.faults.arm(armed);
        let store = &self.seat.store;
        let (line, done) = if discards {
            keys.truncate(3);
            let done = self.seat.faults.or_crash(store.discard(&keys, "by chance")).await;
            (format!("discards {}", worded(&keys)), done)
        } else {
            let done = self.seat.faults.or_crash(store.retry(markets, &keys, with_discarded)).await;
            (format!("tries {} again", worded(&keys)), done)
        };
        let fired = self.seat.faults.disarm();
        if let Some((edge, fault)) = fired {
            tally.database(edge, fault);
        }
        self.has_written = matches!(done, Some(Ok(_)));
        match done {
            Some(Ok(handled)) => self.heard(handled, tally).map(|heard| Written::Told(format!("{line}: {heard}"))),
            Some(Err(error)) if error.trouble() == Trouble::Lasting || fired.is_none() => {
                Err(format!("{line}: {error}"))
            }
            Some(Err(_)) => {
                self.unsure.extend(keys);
                Ok(Written::Told(format!("{line}: no connection")))
            }
            None => {
                self.unsure.extend(keys);
                Ok(Written::Crashed(format!("{line}: crashes")))
            }
        }
    }

    /// Tries everything again with `markets`, and what is discarded too if so wanted.
    pub async fn retry_all(&mut self, markets: &Markets, with_discarded: bool, tally: &mut Tally) -> Told {
        let keys = self.all(with_discarded).await?;
        for some in keys.chunks(100) {
            let handled =
                self.seat.store.retry(markets, some, with_discarded).await.map_err(|error| error.to_string())?;
            self.heard(handled, tally)?;
        }
        Ok(format!("tries all {} dead letters again", keys.len()))
    }

    async fn all(&self, with_discarded: bool) -> Result<Vec<LetterKey>, String> {
        let told = |error: StoreError| error.to_string();
        let mut all: Vec<LetterKey> = vec![];
        loop {
            let more = self.seat.store.letters_to_retry(None, with_discarded, all.last()).await.map_err(told)?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    fn heard(&mut self, handled: Vec<(LetterKey, Handled)>, tally: &mut Tally) -> Told {
        let (mut retried, mut parked, mut discarded) = (0, 0, 0);
        for (key, done) in handled {
            self.unsure.remove(&key);
            match done {
                Handled::Retried | Handled::RetriedBefore => {
                    retried += 1;
                    self.discarded.remove(&key);
                }
                Handled::Undecodable(_) => {
                    parked += 1;
                    self.discarded.remove(&key);
                }
                Handled::Discarded | Handled::DiscardedBefore(_) => {
                    discarded += 1;
                    self.discarded.insert(key);
                }
                Handled::Impossible(why) => return Err(format!("{key} {why}")),
            }
        }
        tally.add("dead letters retried", retried);
        tally.add("dead letters discarded", discarded);
        Ok(format!("{retried} retried, {parked} still parked, {discarded} discarded"))
    }
}

fn worded(keys: &[LetterKey]) -> String {
    match keys {
        [key] => key.to_string(),
        keys => format!("{} dead letters", keys.len()),
    }
}
