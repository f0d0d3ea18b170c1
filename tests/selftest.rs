//! `selftest` on every database: its cases pass, its seeds repeat, and it finds what is wrong.
//!
//! `SELFTEST_SEED` sets the first case's seed, which every failure names, and `SELFTEST_CASES` how many there are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::env;
use std::time::Duration;

use event_worker::selftest::{self, Ground, Tally};
use serde_json::Value;
use support::database::{Backend, TestDatabase};
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

/// Cases on each database.
const CASES: u64 = 16;
const LIMIT: Duration = Duration::from_mins(2);

on_every_database!(
    cases_pass_and_their_tables_are_those_of_the_plain_fold,
    a_database_that_holds_anything_else_is_refused
);

async fn ground(database: &TestDatabase) -> Ground {
    Ground::open(Some(database.url.parse().unwrap())).await.unwrap()
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number")))
}

async fn cases_pass_and_their_tables_are_those_of_the_plain_fold(backend: Backend) {
    let (first, cases) =
        (number("SELFTEST_SEED").unwrap_or_else(rand::random), number("SELFTEST_CASES").unwrap_or(CASES));
    println!("{backend:?}: SELFTEST_SEED={first} SELFTEST_CASES={cases}");
    let database = TestDatabase::create(backend).await;
    let ground = ground(&database).await;
    let mut tally = Tally::default();
    for seed in (0..cases).map(|number| first.wrapping_add(number)) {
        let what = format!("{backend:?}, SELFTEST_SEED={seed} SELFTEST_CASES=1");
        let finished = selftest::run(&ground, seed).await.unwrap_or_else(|failed| {
            panic!("{what}, step {}: {}\n{}", failed.step, failed.what, failed.trace.join("\n"))
        });
        // The plain fold knows nothing of what an operator leaves out.
        if finished.left_out == 0 {
            let expected = tables::folded_alone(&plain_fold(&finished.node.history()));
            tables::assert_equal(&expected, &tables::folded_alone(&tables::read(&database.db).await), &what);
        }
        tally.add_all(&finished.tally);
    }
    println!("{backend:?}: {tally}\n{} faults", tally.faults());
    assert!(tally.faults() > 20 * cases && tally.of("commits") > 10 * cases, "{backend:?}: {tally}");
    ground.close().await.unwrap();
}

/// Nothing of it is touched.
async fn a_database_that_holds_anything_else_is_refused(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    database.execute("CREATE TABLE treasure (gold BIGINT)").await;
    database.execute("INSERT INTO treasure VALUES (7)").await;
    let setup = Setup::of(&database.url, "http://127.0.0.1:1/v1").command("selftest");
    let ended = setup.start_with(&["--cases", "1"]).ended(LIMIT).await.expect(1);
    assert!(ended.stderr.contains("a table treasure that selftest has not made"), "{}", ended.stderr);
    assert_eq!(database.number("SELECT gold FROM treasure").await, Some(7));
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, None);

    let database = TestDatabase::create(backend).await;
    Setup::of(&database.url, "http://127.0.0.1:1/v1").command("migrate").with("up").to_end().await.expect(0);
    let setup = Setup::of(&database.url, "http://127.0.0.1:1/v1").command("selftest");
    let ended = setup.start_with(&["--cases", "1"]).ended(LIMIT).await.expect(1);
    assert!(ended.stderr.contains("that selftest has not made"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_gives_the_same_steps_byte_by_byte() {
    let (one, other) = (Ground::open(None).await.unwrap(), Ground::open(None).await.unwrap());
    for seed in [3, 4, 5] {
        let first = selftest::run(&one, seed).await.map_err(|failed| failed.what).unwrap();
        let second = selftest::run(&other, seed).await.map_err(|failed| failed.what).unwrap();
        assert!(first.trace.len() > 100);
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.tally, second.tally, "seed {seed}");
    }
}

/// Here the database itself loses a row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_found_and_can_be_repeated() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let ground = ground(&database).await;
    database
        .execute(
            "CREATE TRIGGER loses AFTER INSERT ON dead_letters BEGIN
                 DELETE FROM events WHERE observer = NEW.observer AND seq_no = NEW.seq_no; END",
        )
        .await;
    for seed in 0.. {
        let Err(failed) = selftest::run(&ground, seed).await else { continue };
        // Whoever comes first: verifying, or an operator who tries the event again.
        assert!(failed.what.contains("events"), "{}", failed.what);
        let again = selftest::run(&ground, seed).await.err().unwrap();
        assert_eq!((failed.step, failed.what, failed.trace), (again.step, again.what, again.trace));
        break;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_tells_its_figures() {
    let setup = Setup::new().command("selftest");
    let ended = setup.start_with(&["--seed", "11", "--cases", "2", "--json"]).ended(LIMIT).await.expect(0);
    let figures: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&figures["seed"], &figures["counts"]["cases"]), (&11.into(), &2.into()), "{figures:#}");
    assert!(figures["faults"].as_u64() > Some(10), "{figures:#}");
    let ended = setup.start_with(&["--seed", "11", "--cases", "1", "--trace"]).ended(LIMIT).await.expect(0);
    assert!(ended.stdout.contains("nothing goes wrong any more"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 cases from seed 11 passed"), "{}", ended.stdout);
}
