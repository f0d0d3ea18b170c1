//! One case: a seed decides what the chain is like, who takes the next step, and what goes wrong with it.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::chain::{Chain, Mishap};
use super::check;
use super::faults::Armed;
use super::ground::{Ground, Seat};
use super::imports::Imports;
use super::letters::Operator;
use super::rebuild::{Rebuilding, Step};
use super::tally::Tally;
use super::worker::{Asks, Told, Worker, Written};
use crate::market::Markets;
use crate::simulate::{self, Node};
use crate::state::Store;

/// Workers at once, at most.
pub const WORKERS: usize = 4;
/// Whose seat is whose, behind the workers'.
pub const REBUILD: usize = WORKERS;
pub const OPERATOR: usize = WORKERS + 1;
/// Steps without faults in which a case must come to its end, for each event.
const LAST_STEPS: usize = 10;
const EVENTS: std::ops::Range<u64> = 20..240;
const STEPS: std::ops::Range<usize> = 150..420;

/// What a case came to.
pub struct Finished {
    pub tally: Tally,
    /// What happened, a line a step; the same for a seed.
    pub trace: Vec<String>,
    /// The chain, for whoever wants to compare the tables with it.
    pub node: Arc<Node>,
    /// How many events stayed out of the tables though they can be decoded, as they were discarded.
    pub left_out: u64,
}

/// Where and why a case failed.
pub struct Failed {
    pub step: usize,
    pub what: String,
    pub trace: Vec<String>,
}

struct Case<'a> {
    ground: &'a Ground,
    rng: ChaCha8Rng,
    chain: Chain,
    seats: Vec<Option<Worker>>,
    rebuilding: Option<Rebuilding>,
    operator: Operator,
    imports: Imports,
    /// What the market file says.
    markets: Arc<Markets>,
    /// Workers so far, of which each has another name.
    names: usize,
    /// Those whose leases have not run out, though they are no more.
    gone: Vec<String>,
    tally: Tally,
    trace: Vec<String>,
    has_faults: bool,
    /// Without, workers keep apart by compare-and-set alone.
    has_leases: bool,
}

/// Runs the case of `seed` on an emptied database.
pub async fn run(ground: &Ground, seed: u64) -> Result<Finished, Failed> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mistyped = ["", "mistyped:0.03", "mistyped:0.2"][rng.random_range(0..3)];
    let config = simulate::Config {
        seed,
        events: rng.random_range(EVENTS),
        collections: 0,
        tokens: 0,
        contrary: rng.random_bool(0.7),
        faults: mistyped.parse().unwrap_or_default(),
        ..simulate::Config::default()
    };
    let workers = rng.random_range(1..=WORKERS);
    let has_leases = rng.random_ratio(7, 8);
    let markets = if rng.random_ratio(1, 3) { &ground.wrong_markets } else { &ground.markets };
    let mut case = Case {
        ground,
        rng,
        chain: Chain::new(Node::new(config)),
        seats: (0..workers).map(|_| None).collect(),
        rebuilding: None,
        operator: Operator::new(ground.seat(OPERATOR)),
        imports: Imports::default(),
        markets: Arc::clone(markets),
        names: 0,
        gone: vec![],
        tally: Tally::default(),
        trace: vec![],
        has_faults: true,
        has_leases,
    };
    let done = case.all().await;
    let Case { tally, trace, chain, .. } = case;
    match done {
        Ok(left_out) => Ok(Finished { tally, trace, node: chain.node, left_out }),
        Err(what) => Err(Failed { step: trace.len(), what, trace }),
    }
}

impl Case<'_> {
    async fn all(&mut self) -> Result<u64, String> {
        self.ground.empty().await.map_err(|error| format!("the database cannot be emptied: {error}"))?;
        for seat in 0..self.seats.len() {
            self.seats[seat] = Some(self.new_worker(seat));
        }
        for _ in 0..self.rng.random_range(STEPS) {
            self.step().await?;
        }
        self.finish().await?;
        self.tally.count("cases");
        self.tally.add("events", self.chain.len() as u64);
        let checked = check::all(self.ground, &self.chain, &self.operator, &self.imports).await?;
        self.tally.add("parked events", checked.parked);
        Ok(checked.left_out)
    }

    fn new_worker(&mut self, seat: usize) -> Worker {
        self.names += 1;
        Worker::new(format!("worker-{}", self.names), &self.seat(seat), self.has_leases)
    }

    /// With what the market file says now.
    fn seat(&self, number: usize) -> Seat {
        Seat { markets: Arc::clone(&self.markets), ..self.ground.seat(number).clone() }
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.rng.random_range(0..100) {
            0..5 => {
                let events = self.rng.random_range(1..30);
                self.chain.emit(events);
                self.say("chain", &format!("emits: {} events now", self.chain.len()));
                Ok(())
            }
            5..7 => self.expire().await,
            7 => self.import().await,
            8 => self.crash(),
            9..11 => self.fall_asleep().await,
            11..30 => self.rebuild().await,
            30..33 => self.handle_letters().await,
            33 => self.import().await,
            34 => self.mend().await,
            _ => self.work().await,
        }
    }

    /// A worker pauses, maybe past its leases, and knows nothing of it.
    async fn fall_asleep(&mut self) -> Result<(), String> {
        let (seat, steps, past) = (self.any_seat(), self.rng.random_range(5..60), self.rng.random_bool(0.7));
        let Some(worker) = &mut self.seats[seat] else { return Err("a seat is empty".to_owned()) };
        worker.asleep = steps;
        let name = worker.name.clone();
        if past {
            self.ground.store().oversleep(&name).await.map_err(|error| error.to_string())?;
        }
        self.tally.count(if past { "fault: pause past the leases" } else { "fault: pause" });
        let leases = if past { ", past its leases" } else { "" };
        self.say(&name, &format!("falls asleep for {steps} steps{leases}"));
        Ok(())
    }

    fn any_seat(&mut self) -> usize {
        self.rng.random_range(0..self.seats.len())
    }

    /// A worker that is awake does something.
    async fn work(&mut self) -> Result<(), String> {
        for worker in self.seats.iter_mut().flatten() {
            worker.asleep = worker.asleep.saturating_sub(1);
        }
        let awake: Vec<_> = (0..self.seats.len())
            .filter(|seat| self.seats[*seat].as_ref().is_some_and(|one| one.asleep == 0))
            .collect();
        if awake.is_empty() {
            return Ok(());
        }
        let seat = awake[self.rng.random_range(0..awake.len())];
        let Some(mut worker) = self.seats[seat].take() else { return Err("a seat is empty".to_owned()) };
        let name = worker.name.clone();
        match self.act(&mut worker).await? {
            Written::Told(line) => {
                self.seats[seat] = Some(worker);
                self.say(&name, &line);
            }
            Written::Crashed(line) => {
                drop(worker);
                self.say(&name, &line);
                self.replace(seat, name);
            }
        }
        Ok(())
    }

    async fn act(&mut self, worker: &mut Worker) -> Result<Written, String> {
        enum Act {
            Lease,
            Begin,
            Read,
            Plan,
            Write,
        }
        let to_begin = worker.to_begin();
        let is_behind = worker.feeds.values().any(|feed| feed.is_open() && !feed.is_caught_up);
        let acts = [
            (Act::Lease, if self.has_leases { 2 } else { 0 }),
            (Act::Begin, if to_begin.is_empty() { 0 } else { 6 }),
            (Act::Read, if is_behind { 6 } else { 1 }),
            (Act::Plan, if worker.can_plan() { 5 } else { 0 }),
            (Act::Write, if worker.can_write() { 6 } else { 0 }),
        ];
        let mut drawn = self.rng.random_range(0..acts.iter().map(|(_, weight)| weight).sum());
        let chosen = acts.into_iter().find(|(_, weight)| {
            let is_here = drawn < *weight;
            drawn -= if is_here { 0 } else { *weight };
            is_here
        });
        let is_lost = self.has_faults && self.rng.random_ratio(1, 8);
        let answers = !self.has_faults || !self.rng.random_ratio(1, 6);
        let asks = Asks::Node { chain: &self.chain, answers };
        let told = match chosen.map_or(Act::Read, |(act, _)| act) {
            Act::Lease => {
                let stuck = (self.has_faults && self.rng.random_ratio(1, 8)).then(|| self.any_observer());
                let armed = is_lost.then(|| Armed::draw(&mut self.rng));
                return worker.lease(stuck, armed, &mut self.tally).await;
            }
            Act::Begin => worker.begin(&to_begin[self.rng.random_range(0..to_begin.len())]).await,
            Act::Read => self.read(worker, is_behind),
            Act::Plan => worker.plan(is_lost, asks, &mut self.rng, &mut self.tally).await,
            Act::Write => {
                let armed = (self.has_faults && self.rng.random_ratio(2, 5)).then(|| Armed::draw(&mut self.rng));
                return worker.write(armed, asks, &mut self.tally).await;
            }
        };
        told.map(Written::Told)
    }

    fn read(&mut self, worker: &mut Worker, is_behind: bool) -> Told {
        let wanted = worker.feeds.iter().filter(|(_, feed)| feed.is_open() && !(is_behind && feed.is_caught_up));
        let wanted: Vec<_> = wanted.map(|(observer, feed)| (observer.clone(), feed.next)).collect();
        if wanted.is_empty() {
            return Ok("has nothing to read".to_owned());
        }
        let (observer, next) = &wanted[self.rng.random_range(0..wanted.len())];
        let Some(stream) = worker.stream(observer).cloned() else { return Err(format!("there is no {observer}")) };
        let mishap = if self.has_faults { Mishap::draw(&mut self.rng) } else { None };
        if let Some(mishap) = mishap {
            self.tally.count(mishap.name());
        }
        let head = self.chain.head(mishap, &mut self.rng);
        let page = self.chain.page(&stream, *next, head, mishap, &mut self.rng);
        let counter = self.chain.counter(&stream, head);
        let line = worker.read(observer, page, Some(counter), &mut self.tally)?;
        Ok(mishap.map_or_else(|| line.clone(), |mishap| format!("{line} ({})", mishap.name())))
    }

    /// The leases of a worker, maybe of one that is no more, run out.
    async fn expire(&mut self) -> Result<(), String> {
        let mut names: Vec<_> = self.seats.iter().flatten().map(|worker| worker.name.clone()).collect();
        names.extend(self.rebuilding.iter().map(|rebuilding| rebuilding.name().to_owned()));
        names.extend(self.gone.iter().cloned());
        let name = names.swap_remove(self.rng.random_range(0..names.len()));
        self.run_out(name).await
    }

    async fn run_out(&mut self, name: String) -> Result<(), String> {
        self.gone.retain(|gone| *gone != name);
        self.ground.store().oversleep(&name).await.map_err(|error| error.to_string())?;
        self.tally.count("fault: leases run out");
        self.say(&name, "loses its leases by time");
        Ok(())
    }

    /// A process is killed between two steps.
    fn crash(&mut self) -> Result<(), String> {
        if self.rebuilding.is_some() && self.rng.random_bool(0.3) {
            if let Some(rebuilding) = self.rebuilding.take() {
                self.tally.count("fault: crash between steps");
                self.say(rebuilding.name(), "is killed");
                self.gone.push(rebuilding.name().to_owned());
            }
            return Ok(());
        }
        let seat = self.any_seat();
        let Some(worker) = self.seats[seat].take() else { return Err("a seat is empty".to_owned()) };
        self.tally.count("fault: crash between steps");
        self.say(&worker.name, "is killed");
        self.replace(seat, worker.name);
        Ok(())
    }

    fn replace(&mut self, seat: usize, name: String) {
        self.gone.push(name);
        self.seats[seat] = Some(self.new_worker(seat));
    }

    async fn import(&mut self) -> Result<(), String> {
        let entries = check::entries(&self.ground.markets, &self.chain);
        let Some((import, line)) = self.imports.draw(&entries, &mut self.rng) else { return Ok(()) };
        self.ground.store().import(&import).await.map_err(|error| error.to_string())?;
        self.tally.count("imports");
        self.say("import", &line);
        Ok(())
    }

    /// An operator looks after dead letters.
    async fn handle_letters(&mut self) -> Result<(), String> {
        let armed = self.rng.random_ratio(1, 3).then(|| Armed::draw(&mut self.rng));
        let markets = Arc::clone(&self.markets);
        let done = self.operator.handle(&markets, armed, &mut self.rng, &mut self.tally).await?;
        if self.operator.has_written {
            self.seats.iter_mut().flatten().for_each(Worker::overtake);
        }
        let (Written::Told(line) | Written::Crashed(line)) = done;
        self.say("operator", &line);
        Ok(())
    }

    /// The market file is mended, and everybody is started again with it.
    async fn mend(&mut self) -> Result<(), String> {
        if Arc::ptr_eq(&self.markets, &self.ground.markets) {
            return Ok(());
        }
        self.markets = Arc::clone(&self.ground.markets);
        self.tally.count("market files mended");
        self.say("operator", "mends the market file, and starts everybody again");
        if let Some(rebuilding) = self.rebuilding.take() {
            self.gone.push(rebuilding.name().to_owned());
        }
        for seat in 0..self.seats.len() {
            let Some(worker) = self.seats[seat].take() else { return Err("a seat is empty".to_owned()) };
            self.ground.store().release(&worker.name).await.map_err(|error| error.to_string())?;
            self.seats[seat] = Some(self.new_worker(seat));
        }
        Ok(())
    }

    fn any_observer(&mut self) -> String {
        let streams = self.rng.random_range(0..self.markets.streams().count());
        self.markets.streams().nth(streams).map(|stream| stream.observer.to_string()).unwrap_or_default()
    }

    async fn rebuild(&mut self) -> Result<(), String> {
        let Some(mut rebuilding) = self.rebuilding.take() else {
            // Not always one.
            if !self.has_faults || !self.rng.random_ratio(1, 2) {
                return self.work().await;
            }
            self.names += 1;
            let name = format!("rebuild-{}", self.names);
            let anew = self.rng.random_ratio(1, 4);
            match Rebuilding::begin(name.clone(), &self.seat(REBUILD), anew).await {
                Ok((rebuilding, line)) => {
                    self.say(&name, &line);
                    self.rebuilding = Some(rebuilding);
                }
                Err(Ok(other)) => {
                    self.say(&name, &format!("waits for {other}, which was killed"));
                    return self.run_out(other).await;
                }
                Err(Err(why)) => return Err(why),
            }
            return Ok(());
        };
        let name = rebuilding.name().to_owned();
        if self.has_faults && self.rng.random_ratio(1, 12) {
            // Slower than its leases: the workers go on beside it.
            self.rebuilding = Some(rebuilding);
            return self.run_out(name).await;
        }
        let armed = (self.has_faults && self.rng.random_ratio(1, 8)).then(|| Armed::draw(&mut self.rng));
        match rebuilding.step(armed, &mut self.rng, &mut self.tally).await? {
            Step::Told(line) => {
                self.say(&name, &line);
                self.rebuilding = Some(rebuilding);
            }
            Step::Over(line) => {
                self.say(&name, &line);
                self.gone.push(name);
            }
        }
        Ok(())
    }

    /// Nothing goes wrong any more: whoever is left executes everything.
    async fn finish(&mut self) -> Result<(), String> {
        self.has_faults = false;
        self.say("case", "nothing goes wrong any more");
        if let Some(rebuilding) = self.rebuilding.take() {
            self.gone.push(rebuilding.name().to_owned());
        }
        self.mend().await?;
        for name in std::mem::take(&mut self.gone) {
            self.ground.store().oversleep(&name).await.map_err(|error| error.to_string())?;
        }
        for seat in 0..self.seats.len() {
            // One that has stopped is started again, as its log tells its operator to.
            let Some(worker) = &mut self.seats[seat] else { continue };
            worker.asleep = 0;
            if !worker.wants_all() {
                let name = worker.name.clone();
                self.ground.store().release(&name).await.map_err(|error| error.to_string())?;
                self.seats[seat] = Some(self.new_worker(seat));
            }
        }
        let limit = 1_000 + LAST_STEPS * self.chain.len();
        for _ in 0..limit {
            if self.is_at_the_end().await? {
                let with_discarded = self.rng.random_bool(0.5);
                let line = self.operator.retry_all(&self.markets, with_discarded, &mut self.tally).await?;
                self.say("operator", &line);
                return Ok(());
            }
            self.work().await?;
        }
        Err(format!("after {limit} steps in which nothing went wrong not everything is executed"))
    }

    /// Whether the checkpoints stand where the chain ends, and nobody has anything left.
    async fn is_at_the_end(&self) -> Result<bool, String> {
        if !self.seats.iter().flatten().all(Worker::is_caught_up) {
            return Ok(false);
        }
        let store: &Store = self.ground.store();
        for stream in self.ground.markets.streams() {
            let checkpoint = store.checkpoint(&stream.observer).await.map_err(|error| error.to_string())?;
            if checkpoint.next.get() < self.chain.events(stream).len() as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn say(&mut self, who: &str, what: &str) {
        self.trace.push(format!("{:>4} {who} {what}", self.trace.len()));
    }
}
