//! One stream of events found in transactions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::{Counter, Ledger, Page, Subject, SubjectError};
use super::{Belongs, Locate, Place, Transactions};
use crate::chain::{EventOrder, RawEvent, SeqNo, Version};

/// Events in a page.
const PAGE: usize = 100;
/// How long a page may look for events before it tells how far it has come.
const PATIENCE: Duration = Duration::from_secs(1);
/// So near to the end, it looks on all the same: as many versions as a request brings.
const NEAR: u64 = 100;

/// Who gives the events of a stream their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// The chain: they are of an event handle.
    Chain,
    /// We, in the order of the ledger.
    Ours,
}

/// A stream of events found in transactions. A page has no fixed length, and tells up to which version it is whole.
pub struct ScannedStream {
    transactions: Arc<Transactions>,
    belongs: Belongs,
    numbers: Numbers,
    first: Version,
    locate: Locate,
    scan: Mutex<Option<Scan>>,
}

/// How far the scan has come.
struct Scan {
    place: Place,
    /// The number of the event behind the last one found.
    end: SeqNo,
    /// The next version to look at.
    version: Version,
    /// Nobody asks for what is before it any more.
    from: SeqNo,
    /// Found, and not yet known to have been taken.
    found: VecDeque<RawEvent>,
    ledger: Ledger,
    /// Up to there, whoever waited was told at once.
    told: Version,
}

impl ScannedStream {
    /// The events of `transactions` that belong to it, from version `first` on; `locate` tells where to go on.
    #[must_use]
    pub fn new(
        transactions: Arc<Transactions>,
        belongs: Belongs,
        numbers: Numbers,
        first: Version,
        locate: Locate,
    ) -> Self {
        Self { transactions, belongs, numbers, first, locate, scan: Mutex::new(None) }
    }

    /// A scan that goes on from where the observer stands.
    async fn begin(&self) -> Result<Scan, SubjectError> {
        let place = (self.locate)().await?;
        let (version, end) = (place.resume(self.first), place.next);
        let (found, ledger) = (VecDeque::new(), Ledger::default());
        Ok(Scan { place, end, version, from: place.next, found, ledger, told: version })
    }

    /// Waits until there is an event of ours that nobody has been told of.
    async fn told(&self) -> Result<(), SubjectError> {
        let begun = self.scan.lock().await.as_ref().map(|scan| scan.version.max(scan.told));
        // Where it is not known yet where we stand, it is time to look.
        let Some(mut version) = begun else { return Ok(()) };
        loop {
            let piece = self.transactions.coming(version).await?;
            let mut events = piece.events.iter().filter(|event| event.version >= version);
            if let Some(event) = events.find(|event| (self.belongs)(event)) {
                if let Some(scan) = &mut *self.scan.lock().await {
                    scan.told = event.version.next();
                }
                return Ok(());
            }
            version = piece.end;
        }
    }

    /// Looks on until `enough` events wait, the ledger's end as seen since `came` is reached, or time is up. Whether it
    /// is the end.
    async fn look(&self, scan: &mut Scan, enough: usize, came: Instant) -> Result<bool, SubjectError> {
        scan.ledger = self.transactions.tip(None).await?;
        let mut is_fresh = false;
        loop {
            let known = scan.ledger.version.unwrap_or_default();
            if scan.found.len() >= enough {
                return Ok(false);
            }
            if scan.version > known {
                if is_fresh {
                    scan.ledger.behind |= scan.ledger.version < scan.version.before();
                    return Ok(true);
                }
                // The end is what it is now, however fast the ledger grows meanwhile.
                scan.ledger = self.transactions.tip(Some(came)).await?;
                is_fresh = true;
                continue;
            }
            if came.elapsed() > PATIENCE && known.get() - scan.version.get() > NEAR {
                return Ok(false);
            }
            let piece = self.transactions.piece(scan.version, known).await?;
            // What is beyond the end comes when it is asked for again.
            let end = piece.end.min(known.next());
            for event in &piece.events {
                if (scan.version..end).contains(&event.version) && (self.belongs)(event) {
                    scan.push(event, self.numbers);
                }
            }
            scan.version = end.max(scan.version);
        }
    }
}

impl Scan {
    fn push(&mut self, event: &RawEvent, numbers: Numbers) {
        let seq_no = match numbers {
            Numbers::Chain if event.seq_no < self.place.next => return,
            Numbers::Chain => event.seq_no,
            Numbers::Ours if self.place.is_behind(event) => return,
            Numbers::Ours => self.end,
        };
        self.end = seq_no.next();
        // After a page that was given up, what had been read before it may be committed only in part.
        if seq_no >= self.from {
            self.found.push_back(RawEvent { seq_no, ..event.clone() });
        }
    }

    /// Whether the page that begins at `from` is still to be had.
    fn has(&self, from: SeqNo) -> bool {
        let first = self.found.front().map_or(self.end, |event| event.seq_no);
        // What another worker has executed meanwhile need not be looked for here.
        first <= from && (from <= self.end || from == self.from)
    }

    /// The next page begins at `from`.
    fn go_on(&mut self, from: SeqNo) {
        self.from = from;
        while self.found.front().is_some_and(|event| event.seq_no < from) {
            self.found.pop_front();
        }
    }
}

impl Subject for ScannedStream {
    fn reads_ahead(&self) -> bool {
        false
    }

    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        let came = Instant::now();
        let mut guard = self.scan.lock().await;
        let mut scan = match guard.take() {
            Some(scan) if scan.has(from) => scan,
            _ => self.begin().await?,
        };
        scan.go_on(from);
        let looked = self.look(&mut scan, PAGE, came).await;
        let page = looked.map(|is_end| {
            let events: Vec<_> = scan.found.iter().take(PAGE).cloned().collect();
            let is_all = events.len() == scan.found.len();
            let scanned = is_all.then(|| scan.version.before()).flatten();
            Page { events, full: !is_all || !is_end, scanned, ledger: scan.ledger }
        });
        *guard = Some(scan);
        page
    }

    async fn order(&self, version: Version) -> Result<Option<EventOrder>, SubjectError> {
        self.transactions.order(version).await
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        let came = Instant::now();
        let mut guard = self.scan.lock().await;
        let mut scan = match guard.take() {
            Some(scan) => scan,
            None => self.begin().await?,
        };
        let waiting = scan.found.len();
        let looked = self.look(&mut scan, waiting + 1, came).await;
        let counter = looked.map(|is_end| {
            // Short of the end, what has been found is no end.
            let ledger = Ledger { behind: scan.ledger.behind || !is_end, ..scan.ledger };
            Counter { next: scan.end, ledger }
        });
        *guard = Some(scan);
        counter
    }

    async fn next_counter(&self, interval: Duration) -> Result<Counter, SubjectError> {
        let told = async {
            if self.told().await.is_err() {
                // Whoever looks will meet it.
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(interval, told).await;
        self.counter().await
    }
}
