//! A simulated Aptos node: the REST API of a real one, traps included, and the transaction stream (`raw_data`), over an NFT
//! market that it makes up.
//!
//! The same seed gives the same chain to the last byte. `world` decides what happens, `event` words it, `ledger` keeps it,
//! `http` and the modules below it answer as a node does, `fault` decides when one does not, and `spoil` is how. Nothing here knows the
//! program that polls it: this is the other side of the wire.
//!
//! What accounts have created is there as the framework keeps it, too. `creator` says what there is to ask an account for:
//! `market` answers for those who create in the market, `gallery` for one big creator of older times, of whose things
//! hardly anything is kept: all is computed from numbers. `v1` and `v2` are the two token standards, `state`, `bcs` and
//! `address` the forms in which the chain has them, `account`, `pages`, `table`, `transaction` and `graphql` the answers.

mod abi;
mod account;
mod address;
mod answer;
mod bcs;
mod chain;
mod clock;
mod creator;
mod dice;
mod event;
mod fault;
mod gallery;
mod graphql;
mod http;
mod ledger;
mod market;
mod mistype;
mod pages;
mod query;
mod raw_data;
mod spoil;
mod state;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod texts;
mod transaction;
mod v1;
mod v2;
mod wire;
mod words;
mod world;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use axum::Router;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use clock::Clock;
pub use creator::Created;
use creator::Creator;
pub use fault::{BadFaults, Faults};
use gallery::Gallery;
pub use gallery::{CREATOR, ELSEWHERE};
use ledger::Ledger;
use market::Member;
use stream::Stream;
use world::World;

/// The account that holds the market's contract and its handles.
pub const CONTRACT: &str = "0x73545daede11168cbe4f5503f19929c7eebb888cffef27983ed374515f7e82a1";

/// Live events are emitted so often.
const TICK: Duration = Duration::from_millis(25);

/// What a node is to be like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Decides everything that looks random.
    pub seed: u64,
    /// Number of events before the node starts to serve.
    pub events: u64,
    /// Events per second from then on.
    pub rate: f64,
    /// How long every answer takes at least.
    pub latency: Duration,
    /// Collections of the one big creator, `CREATOR`, all older than the market.
    pub collections: u64,
    /// Its tokens; none without a collection.
    pub tokens: u64,
    /// Versions from one of the market's transactions to the next, at most.
    pub spacing: u64,
    /// Whether the market's events are module events: in transactions alone, and of no handle.
    pub module_events: bool,
    /// The key without which the transaction stream is refused.
    pub stream_key: Option<String>,
    /// Whether transactions do things that nobody could put in order by their kinds alone.
    pub contrary: bool,
    /// What goes wrong.
    pub faults: Faults,
    /// When the last event before the start happened, in microseconds since 1970; otherwise the first one happens at the
    /// beginning of 2026.
    pub ends_at: Option<i64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            events: 5_000,
            rate: 0.0,
            latency: Duration::ZERO,
            collections: 24,
            tokens: 240,
            spacing: 5_000,
            module_events: false,
            stream_key: None,
            contrary: false,
            faults: Faults::default(),
            ends_at: None,
        }
    }
}

/// One event of the chain, for comparison with what a reader made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Field of the handle, such as `list_token_events`.
    pub stream: &'static str,
    /// Number within the stream, from 0.
    pub seq_no: u64,
    /// Version of its transaction.
    pub version: u64,
    /// Number within the transaction, from 0.
    pub event_index: u32,
    /// Full type.
    pub event_type: String,
    /// JSON text, as served.
    pub data: String,
}

/// A simulated node.
pub struct Node {
    config: Config,
    clock: Clock,
    gallery: Gallery,
    world: Mutex<World>,
    ledger: RwLock<Ledger>,
    faults: RwLock<Faults>,
    luck: Mutex<ChaCha8Rng>,
    stream_luck: Mutex<ChaCha8Rng>,
    requests: AtomicU64,
}

impl Node {
    /// Builds the history: exactly `config.events` events.
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        let luck = |stream| {
            let mut luck = ChaCha8Rng::seed_from_u64(config.seed);
            luck.set_stream(stream);
            Mutex::new(luck)
        };
        let node = Self {
            clock: Clock::new(config.seed, config.events, config.rate, config.ends_at),
            gallery: Gallery::new(config.seed, config.collections, config.tokens),
            world: Mutex::new(World::new(config.seed, config.contrary)),
            ledger: RwLock::new(Ledger::new(config.seed, config.spacing)),
            faults: RwLock::new(config.faults.clone()),
            luck: luck(1),
            stream_luck: luck(2),
            requests: AtomicU64::new(0),
            config,
        };
        node.advance(node.config.events, true);
        Arc::new(node)
    }

    /// Serves until stopped, and emits live events meanwhile if there is a rate.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let serving = stop.child_token();
        tokio::spawn(Arc::clone(&self).live(serving.clone()));
        let _until_served = serving.drop_guard();
        let routes = Router::new().fallback(http::handle).with_state((self, stop.clone()));
        let service = routes.into_make_service_with_connect_info::<wire::Scissors>();
        axum::serve(wire::Wire(listener), service).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    /// Appends that many events now, and the rest of the transaction that reaches the number.
    pub fn emit(&self, events: u64) {
        let until = self.total() + events;
        self.advance(until, false);
    }

    /// All events so far, in the order of the chain.
    #[must_use]
    pub fn history(&self) -> Vec<Emitted> {
        read(&self.ledger).history()
    }

    /// Number of events so far of each stream, by the field of its handle.
    #[must_use]
    pub fn counters(&self) -> Vec<(String, u64)> {
        let ledger = read(&self.ledger);
        Stream::ALL.map(|stream| (stream.field().to_owned(), ledger.log(stream).data.len() as u64)).into()
    }

    /// Everything that an account, its address padded or not, has created by now, of both standards.
    #[must_use]
    pub fn created_by(&self, account: &str) -> Vec<Created> {
        let (ledger, address) = (read(&self.ledger), address::bytes(&account.to_lowercase()));
        let version = ledger.head();
        if address == self.gallery.address() {
            return self.gallery.created(version);
        }
        Member::find(&ledger, &address).map_or_else(Vec::new, |member| member.created(version))
    }

    /// The last version.
    #[must_use]
    pub fn ledger_version(&self) -> u64 {
        read(&self.ledger).head()
    }

    /// From now on, other things go wrong; events that are broken on chain stay so.
    pub fn set_faults(&self, faults: Faults) {
        *write(&self.faults) = faults;
    }

    /// Number of requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn total(&self) -> u64 {
        read(&self.ledger).len()
    }

    async fn live(self: Arc<Self>, stop: CancellationToken) {
        let (start, before) = (Instant::now(), self.total());
        while self.config.rate > 0.0 && stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            self.advance(before.saturating_add(self.clock.due(start.elapsed())), false);
        }
    }

    /// Lets things happen until there are `until` events: exactly, or up to the end of a transaction.
    fn advance(&self, until: u64, exactly: bool) {
        /// Readers wait for no longer than it takes to append so many transactions.
        const BATCH: usize = 256;
        let mut world = lock(&self.world);
        let mistyped = read(&self.faults).mistyped();
        let mut total = self.total();
        while total < until {
            let mut batch = Vec::with_capacity(BATCH);
            while total < until && batch.len() < BATCH {
                let now = self.clock.at(total);
                let mut transaction = world.next(now, if exactly { until - total } else { u64::MAX });
                for (number, event) in (total..).zip(&mut transaction.events) {
                    if dice::is_among(mistyped, self.config.seed, 0xBAD, number) {
                        mistype::mistype(event, number);
                    }
                }
                total += transaction.events.len() as u64;
                batch.push((transaction, now));
            }
            let mut ledger = write(&self.ledger);
            for (transaction, now) in batch {
                ledger.append(transaction, now);
            }
        }
    }
}

/// A panic elsewhere does not end the simulation: what is behind the lock is changed by whole transactions only.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}
