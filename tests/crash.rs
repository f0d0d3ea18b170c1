//! The program is killed, again and again, while it works: in the end the tables hold what the chain emitted, once.
//!
//! The kills come after random delays from a seed that every failure names; `CRASH_SEED` sets it, and `CRASH_KILLS` how many
//! there are on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use event_worker::simulate::Config;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

/// Kills on each database, at least; however many markets that takes. One that is caught up with makes room for the next.
const KILLS: u32 = 15;
const EVENTS: u64 = 6_000;
/// Several times as long as a lease.
const LONGEST_START: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_double_nothing_on_sqlite() {
    kills_lose_and_double_nothing(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_double_nothing_on_mysql() {
    kills_lose_and_double_nothing(Backend::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_double_nothing_on_postgres() {
    kills_lose_and_double_nothing(Backend::Postgres).await;
}

async fn kills_lose_and_double_nothing(backend: Backend) {
    let seed = seed();
    println!("{backend:?}: CRASH_SEED={seed}");
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    // The longest delay. It follows the speed of the machine, so that most delays end while the worker is at work.
    let mut reach = Duration::from_millis(400);
    let (mut kills, mut at_work) = (0, 0);
    let wanted = number("CRASH_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    // So many of them have to hit a worker that has committed something and has not finished; the others come while it starts,
    // migrates, or reads its first pages.
    let wanted_at_work = wanted * 7 / 10;
    let enough = |kills, at_work| kills >= wanted && at_work >= wanted_at_work;
    for round in 1.. {
        let what = format!("{backend:?}, CRASH_SEED={seed}, market {round}");
        let node = market(seed.wrapping_add(round)).await;
        let database = TestDatabase::create(backend).await;
        let setup = Setup::of(&database.url, &node.url);
        let mut before = 0;
        while !enough(kills, at_work) {
            let mut worker = setup.start_with(&["--until-caught-up"]);
            // Mostly while it reads and commits, sometimes while it starts.
            if dice.random_bool(0.8) {
                // One that finds the leases of the one before may have them bit by bit, or find nothing left to do.
                let _ = worker.says("executes all 8 observers", LONGEST_START).await;
            }
            let delay = reach.mul_f64(dice.random());
            tokio::time::sleep(delay).await;
            let ended = worker.kill().await;
            if ended.code().is_some() {
                // It was faster.
                ended.expect(0);
                reach = reach.mul_f64(0.7);
                break;
            }
            let executed = database.executed().await;
            kills += 1;
            if executed == before {
                reach = reach.mul_f64(1.2);
            } else if executed < EVENTS {
                at_work += 1;
            }
            println!("{what}: kill {kills} after {delay:?}: {executed} of {EVENTS} executed, {before} before");
            assert!(kills <= 5 * wanted, "{what}: only {at_work} of {kills} kills hit it at work");
            before = executed;
        }
        setup.until_caught_up().await.expect(0);
        tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, &what);
        assert_eq!(database.number("SELECT unexpected FROM markets").await, Some(0), "{what}");
        if enough(kills, at_work) {
            break;
        }
    }
    println!("{backend:?}: {kills} kills, {at_work} of them at work: nothing lost, nothing doubled");
}

/// A node that takes its time.
async fn market(seed: u64) -> TestNode {
    let latency = Duration::from_millis(10);
    TestNode::start(Config { seed, events: EVENTS, latency, ..Config::default() }).await
}

fn seed() -> u64 {
    let by_chance = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    number("CRASH_SEED").unwrap_or_else(by_chance)
}

fn number(variable: &str) -> Option<u64> {
    let given = std::env::var(variable).ok();
    given.map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number")))
}
