//! How fast an account is imported, and with how much memory: `cargo bench --bench import`.
//!
//! `event-worker collection-import` reads a simulated node, each a process of its own, into a real database with durable
//! commits. For each database, in one run:
//! - things (collections and tokens) per second of a first import, and of a second one, which finds nothing to change;
//! - the same for a dry run, which reads and compares but writes nothing: first by second is what writing costs;
//! - peak memory of the first import, for few things and for ten times as many: it must stay flat.
//!
//! Prints a table, and writes the figures to `target/bench/import.json`. Options follow `--`: see `--help`.

#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use event_worker::simulate::CREATOR;
use event_worker::state::{DatabaseUrl, Store};
use event_worker::telemetry::table::table;
use serde::Serialize;
use support::database::Server;
use support::machine::{self, Machine};
use support::node::Node;
use support::program::{self, Took};
use tokio::time::timeout;

const CASES: [(&str, Server); 3] =
    [("import/sqlite", Server::Sqlite), ("import/mariadb", Server::MariaDb), ("import/postgres", Server::Postgres)];

/// An import waits for a node or a database that is gone; a benchmark does not.
const LIMIT: Duration = Duration::from_mins(20);

#[derive(Parser)]
#[command(name = "import", about = "Imports an account from a simulated node, and says how fast that was")]
struct Options {
    /// A tenth of everything: a rough answer in less than a minute
    #[arg(long)]
    quick: bool,
    /// Only cases whose names start so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    case: String,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    commit: Option<String>,
    collections: u64,
    tokens: u64,
    cases: Vec<Figures>,
}

#[derive(Serialize)]
struct Figures {
    case: &'static str,
    database: String,
    dry_run_s: f64,
    first_s: f64,
    again_s: f64,
    /// Things per second of the first import.
    per_s: f64,
    /// Speed of the first import by that of the dry run.
    ratio_to_dry_run: f64,
    peak_mb_tenth: Option<f64>,
    peak_mb: Option<f64>,
}

fn main() -> Result<()> {
    // `cargo test --benches` runs benchmarks too, only to see them start.
    if !env::args().any(|argument| argument == "--bench") {
        println!("Measures nothing without --bench: use `cargo bench --bench import`.");
        return Ok(());
    }
    let options = Options::parse();
    let cases: Vec<_> = CASES.into_iter().filter(|(name, _)| name.starts_with(&options.case)).collect();
    ensure!(!cases.is_empty(), "no case starts with {:?}; there are: {:?}", options.case, CASES.map(|(name, _)| name));
    if cases.iter().any(|(_, server)| !server.is_at_hand()) {
        return support::start_again_with_databases("");
    }
    let (collections, tokens) = if options.quick { (1_000, 10_000) } else { (10_000, 100_000) };
    tokio::runtime::Runtime::new()?.block_on(measure(&cases, collections, tokens))
}

async fn measure(cases: &[(&'static str, Server)], collections: u64, tokens: u64) -> Result<()> {
    // Below target, which nobody has in memory.
    let folder = tempfile::Builder::new().prefix("import-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = folder.path();
    let machine = Machine::this(folder)?;
    let mut report = Report { machine, commit: machine::commit(), collections, tokens, cases: vec![] };
    println!("{collections} collections, {tokens} tokens, commit {}", report.commit.as_deref().unwrap_or("unknown"));
    let (few, many) = (gallery(collections / 10, tokens / 10, folder)?, gallery(collections, tokens, folder)?);
    for (name, server) in cases {
        let figures = timeout(LIMIT, one(name, *server, &few, &many, collections + tokens, folder)).await;
        let figures = figures.with_context(|| format!("case {name} did not end"))?;
        report.cases.push(figures.with_context(|| format!("case {name}"))?);
    }
    println!("\n{}", shown(&report));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench").join("import.json");
    std::fs::create_dir_all(file.with_file_name(""))?;
    std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("Written to {}", file.display());
    Ok(())
}

fn gallery(collections: u64, tokens: u64, folder: &Path) -> Result<Node> {
    Node::start(&[("--events", &0), ("--collections", &collections), ("--tokens", &tokens)], folder)
}

async fn one(
    case: &'static str,
    server: Server,
    few: &Node,
    many: &Node,
    things: u64,
    folder: &Path,
) -> Result<Figures> {
    let small = server.with_database(folder, async |url| import(few, &url, &[], folder).await).await?;
    let (database, dry, first, again) = server
        .with_database(folder, async |url| {
            let store = Store::connect(&url).await?;
            store.migrate_up().await?;
            let database = server.version(&store).await?;
            store.close().await?;
            let dry = import(many, &url, &["--dry-run"], folder).await?;
            let first = import(many, &url, &[], folder).await?;
            let again = import(many, &url, &[], folder).await?;
            Ok((database, dry, first, again))
        })
        .await?;
    let figures = Figures {
        case,
        database,
        dry_run_s: seconds(&dry),
        first_s: seconds(&first),
        again_s: seconds(&again),
        #[expect(clippy::cast_precision_loss, reason = "shown without decimals")]
        per_s: (things as f64 / first.time.as_secs_f64()).round(),
        ratio_to_dry_run: (dry.time.as_secs_f64() / first.time.as_secs_f64() * 1000.0).round() / 1000.0,
        peak_mb_tenth: small.peak_mb,
        peak_mb: first.peak_mb,
    };
    eprintln!("{case}: {:.1} s, again {:.1} s, dry run {:.1} s", figures.first_s, figures.again_s, figures.dry_run_s);
    Ok(figures)
}

async fn import(node: &Node, database: &DatabaseUrl, more: &[&str], folder: &Path) -> Result<Took> {
    let arguments = [&["collection-import", "--account", CREATOR, "--node", &node.url], more].concat();
    program::run(&arguments, database, folder).await
}

fn seconds(took: &Took) -> f64 {
    (took.time.as_secs_f64() * 100.0).round() / 100.0
}

fn shown(report: &Report) -> String {
    let header = ["case", "database", ">things/s", ">first", ">again", ">dry run", ">ratio", ">peak, a tenth", ">peak"];
    let rows = report.cases.iter().map(|figures| {
        vec![
            figures.case.to_owned(),
            figures.database.clone(),
            format!("{:.0}", figures.per_s),
            format!("{:.1} s", figures.first_s),
            format!("{:.1} s", figures.again_s),
            format!("{:.1} s", figures.dry_run_s),
            format!("{:.2}", figures.ratio_to_dry_run),
            program::shown(figures.peak_mb_tenth),
            program::shown(figures.peak_mb),
        ]
    });
    table(&header, rows)
}
