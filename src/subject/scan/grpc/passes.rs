//! Passes over the ledger: calls that are pulled on as far as somebody asks, and what they have brought.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::timeout;

use super::super::super::{Nodes, SubjectError};
use super::super::piece::{Piece, Types};
use super::call::Call;
use super::messages::{Request, StructTag};
use super::{PATIENCE, StreamService};
use crate::chain::Version;

/// So many calls at once: all streams share one while they are near one another.
const MOST: usize = 4;
/// Whoever asks for what is no further ahead waits for a pass to get there.
const NEAR: u64 = 10_000;
/// What is kept for streams that are a little behind, by pieces and by bytes.
const KEPT: usize = 512;
const KEPT_BYTES: usize = 6 << 20;

/// The ledger's transactions, from calls of a service.
pub(in super::super) struct Passes {
    service: StreamService,
    nodes: Arc<Nodes>,
    types: Types,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By first version.
    kept: BTreeMap<Version, Kept>,
    bytes: usize,
    asked: u64,
    /// The one that was asked last comes last.
    passes: Vec<Arc<Pass>>,
}

struct Kept {
    piece: Arc<Piece>,
    bytes: usize,
    asked: u64,
}

/// Where a call stands. Held by whoever pulls; gone after an error, and begun again where it stood.
struct Pass {
    next: AtomicU64,
    call: tokio::sync::Mutex<Option<Call>>,
}

enum Found {
    Piece(Arc<Piece>),
    Pass(Arc<Pass>),
}

impl Passes {
    pub fn new(service: StreamService, nodes: Arc<Nodes>, types: Types) -> Self {
        Self { service, nodes, types, state: Mutex::default() }
    }

    /// The piece that holds `version`, which exists.
    pub async fn piece(&self, version: Version) -> Result<Arc<Piece>, SubjectError> {
        loop {
            let pass = match self.find(version) {
                Found::Piece(piece) => return Ok(piece),
                Found::Pass(pass) => pass,
            };
            let before = pass.next();
            match timeout(PATIENCE, self.pull(&pass, version)).await {
                Ok(pulled) => pulled?,
                // Whoever was in front of us has had more luck.
                Err(_) if pass.next() > before => {}
                Err(_) => {
                    self.lock().passes.retain(|known| !Arc::ptr_eq(known, &pass));
                    return Err(self.service.silent(version));
                }
            }
        }
    }

    /// The same, for a version that need not exist yet: however long it takes.
    pub async fn coming(&self, version: Version) -> Result<Arc<Piece>, SubjectError> {
        loop {
            match self.find(version) {
                Found::Piece(piece) => return Ok(piece),
                Found::Pass(pass) => self.pull(&pass, version).await?,
            }
        }
    }

    /// A piece that is kept, or else the pass that comes to the version next.
    fn find(&self, version: Version) -> Found {
        let mut state = self.lock();
        state.asked += 1;
        let asked = state.asked;
        if let Some((_, kept)) = state.kept.range_mut(..=version).next_back()
            && kept.piece.end > version
        {
            kept.asked = asked;
            return Found::Piece(Arc::clone(&kept.piece));
        }
        let distance = |pass: &Pass| version.get().checked_sub(pass.next().get()).filter(|distance| *distance <= NEAR);
        let nearest = state.passes.iter().enumerate().filter_map(|(at, pass)| Some((distance(pass)?, at))).min();
        let pass = match nearest {
            Some((_, at)) => state.passes.remove(at),
            None => Arc::new(Pass { next: AtomicU64::new(version.get()), call: tokio::sync::Mutex::default() }),
        };
        state.passes.push(Arc::clone(&pass));
        if state.passes.len() > MOST {
            state.passes.remove(0);
        }
        Found::Pass(pass)
    }

    /// Lets a pass come on by one response, unless it is beyond `version` already. A call that has told something and then
    /// fails is begun anew at once.
    async fn pull(&self, pass: &Pass, version: Version) -> Result<(), SubjectError> {
        let mut slot = pass.call.lock().await;
        loop {
            let next = pass.next();
            if next > version {
                return Ok(());
            }
            let call = match &mut *slot {
                Some(call) => call,
                none => none.insert(self.service.open(&self.request(next)).await?),
            };
            let read = self
                .service
                .next(call)
                .await
                .and_then(|response| self.service.read(&response, next, &self.nodes, &self.types));
            match read {
                Ok(Some(piece)) => {
                    call.has_told = true;
                    pass.next.store(piece.end.get(), Ordering::Relaxed);
                    self.keep(piece);
                    return Ok(());
                }
                // It came again.
                Ok(None) => {}
                Err(error) => {
                    let may_go_on = call.has_told && error.may_pass();
                    *slot = None;
                    if !may_go_on {
                        return Err(error);
                    }
                    tracing::debug!("{error}; beginning again at version {next}");
                }
            }
        }
    }

    fn request(&self, version: Version) -> Request {
        Request::of(version.get(), self.types.wanted().filter_map(StructTag::of))
    }

    fn keep(&self, piece: Piece) {
        let bytes = piece.bytes();
        let mut state = self.lock();
        state.asked += 1;
        let (first, asked) = (piece.first, state.asked);
        let before = state.kept.insert(first, Kept { piece: Arc::new(piece), bytes, asked });
        state.bytes = state.bytes + bytes - before.map_or(0, |before| before.bytes);
        while state.kept.len() > 1 && (state.kept.len() > KEPT || state.bytes > KEPT_BYTES) {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.asked).map(|(first, _)| *first);
            let removed = oldest.and_then(|oldest| state.kept.remove(&oldest));
            state.bytes -= removed.map_or(0, |removed| removed.bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The version behind what it has told.
    fn next(&self) -> Version {
        Version::new(self.next.load(Ordering::Relaxed)).unwrap_or_else(Version::max)
    }
}
