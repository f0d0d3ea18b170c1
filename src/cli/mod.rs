//! The command line: one file per subcommand. Each puts the parts together and runs them.

mod check;
mod collection_import;
mod dead_letters;
mod demo;
mod list;
mod market;
mod migrate;
mod rebuild;
mod run;
mod selftest;
mod simulate;
mod status;
mod subjects;
mod verify;

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::num::NonZero;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tracing_appender::non_blocking::WorkerGuard;

use crate::config::{self, Database, Logs, SettingError};
use crate::state::{DatabaseUrl, Store, StoreError};
use crate::telemetry::log;

/// Keeps the order book and history of NFT marketplaces on Aptos in your own SQL database: each event once, never missed.
#[derive(Parser)]
#[command(name = "event-worker", version, about, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    logs: Logs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The worker: migrates the database if needed, then runs one observer per event type until stopped (the default)
    Run(run::Args),
    /// Everything at once, on this machine alone: a simulated node, a database and the worker
    Demo(demo::Args),
    /// Only the simulated node
    Simulate(simulate::Args),
    /// An account's collections and tokens, as they are now, into the database; safe to repeat
    CollectionImport(collection_import::Args),
    /// Schema migrations
    Migrate(migrate::Args),
    /// All rows anew from the stored events, beside running workers and readers; needs no node
    Rebuild(rebuild::Args),
    /// How far each observer is, and what it waits for
    Status(status::Args),
    /// Whether every event is stored, once, and the tables are exactly what folding makes of them; status 1 if not
    Verify(verify::Args),
    /// Is this going to work? Asks nodes, contract, database and machine; each line ok, warn or fail with the remedy
    Check(check::Args),
    /// Events that could not be decoded: list, show, retry, discard
    DeadLetters(dead_letters::Args),
    /// A simulation of faults, crashes and several workers, repeatable by its seed, on a database of its own; status 1 if it fails
    Selftest(selftest::Args),
    /// Market files: a first one from a contract (init), what events become by one (test)
    Market(market::Args),
    /// Rows for people, or for scripts with --json
    List(list::Args),
}

/// Why a command did not do what was asked, and the exit status that says so.
enum Failure {
    /// 2: wrong usage or settings.
    Setting(String),
    /// 1: anything else.
    Failed(String),
}

type Outcome = Result<(), Failure>;

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::Setting(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the command of `arguments` (the first is the program's name); 0 done, 1 failed, 2 wrong usage or settings.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Setting(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: impl Iterator<Item = OsString>) -> Outcome {
    config::read_dotenv()?;
    for (name, meant) in config::misspelt() {
        eprintln!("warning: {name} is no setting, and is ignored; did you mean `{meant}`?");
    }
    let cli = match Cli::try_parse_from(with_default_command(arguments)) {
        Ok(cli) => cli,
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = help.print();
            return Ok(());
        }
        Err(help) if help.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = help.print();
            return Err(Failure::Setting("a subcommand is missing".to_owned()));
        }
        Err(error) => {
            let text = error.render().to_string();
            let line = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
            return Err(Failure::Setting(format!("{} (see --help)", line.trim_start_matches("error: "))));
        }
    };
    let runtime = match cli.command {
        Command::Run(_) | Command::Demo(_) | Command::Rebuild(_) => worker_runtime()?,
        _ => Runtime::new()?,
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args, &cli.logs).await,
            Command::Demo(args) => demo::run(args, &cli.logs).await,
            Command::Simulate(args) => simulate::run(args, &cli.logs).await,
            Command::CollectionImport(args) => collection_import::run(args, &cli.logs).await,
            Command::Migrate(args) => migrate::run(args, &cli.logs).await,
            Command::Rebuild(args) => rebuild::run(args, &cli.logs).await,
            Command::Status(args) => status::run(args, &cli.logs).await,
            Command::Verify(args) => verify::run(args, &cli.logs).await,
            Command::Check(args) => check::run(args, &cli.logs).await,
            Command::DeadLetters(args) => dead_letters::run(args, &cli.logs).await,
            Command::Selftest(args) => selftest::run(args, &cli.logs).await,
            Command::Market(args) => market::run(args, &cli.logs).await,
            Command::List(args) => list::run(args, &cli.logs).await,
        }
    });
    // A hanging database must not keep a stopped worker alive.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    outcome
}

/// For everything of a worker but committing, which has threads of its own.
pub fn worker_runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads((cores - 1).max(1)).enable_all().build()
}

/// `event-worker` is `event-worker run`, and so is `event-worker --a-flag-of-run`.
fn with_default_command(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const OWN: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let mut arguments: Vec<_> = arguments.collect();
    let first = arguments.get(1).map(|first| first.to_string_lossy().into_owned());
    if first.is_none_or(|first| first.starts_with('-') && !OWN.contains(&&*first)) {
        arguments.insert(1.min(arguments.len()), "run".into());
    }
    arguments
}

/// Logs of a command whose answer is the log itself.
fn log_to_stdout(logs: &Logs, secrets: Vec<String>) -> Result<Option<WorkerGuard>, Failure> {
    Ok(log::start(log::Config { folder: Some(logs.folder()), filter: logs.filter()?, to_stderr: false, secrets }))
}

/// Logs of a command whose answer on stdout is for people or scripts: only what is wrong, on stderr.
fn log_to_stderr(logs: &Logs, secrets: Vec<String>) -> Result<Option<WorkerGuard>, Failure> {
    logs.filter()?;
    let filter = tracing_subscriber::EnvFilter::new("warn");
    Ok(log::start(log::Config { folder: None, filter, to_stderr: true, secrets }))
}

/// Connects for a command that ends at once: what does not work now is an error, and so is a database that is not there.
async fn connect(database: &Database) -> Result<Store, Failure> {
    let url = database.url_or_default()?.existing();
    let file = url.file();
    // Only then, as the driver may read the name otherwise.
    open(database, url).await.map_err(|failure| match file.filter(|file| !file.exists()) {
        Some(file) => Failure::Setting(format!(
            "there is no database {} yet: start `event-worker` first, or correct DATABASE_URL",
            file.display()
        )),
        None => failure,
    })
}

/// The same for one that needs the schema of this program.
async fn connect_to_schema(database: &Database) -> Result<Store, Failure> {
    let store = connect(database).await?;
    store.require_schema().await?;
    Ok(store)
}

/// Connects for a command that ends at once, and may create the database.
async fn open(database: &Database, url: DatabaseUrl) -> Result<Store, Failure> {
    if let Some(warning) = database.warning() {
        tracing::warn!("{warning}");
    }
    Store::connect(&url).await.map_err(|error| cannot_connect(&url, &error))
}

/// Prints an answer. Who reads only its beginning (`| head`) does no harm.
fn print(answer: &str) -> Outcome {
    match writeln!(std::io::stdout(), "{answer}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

fn cannot_connect(url: &DatabaseUrl, error: &StoreError) -> Failure {
    let message = format!("DATABASE_URL={url}: {error}");
    match error.trouble() {
        crate::state::Trouble::Lasting => Failure::Setting(message),
        crate::state::Trouble::Contended | crate::state::Trouble::Away => Failure::Failed(message),
    }
}

/// Cancelled at the first SIGTERM or SIGINT. Whoever has not ended 4 s later is left behind.
fn until_signal() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: the commit under way is finished first");
        token.cancel();
    });
    Ok(cancel)
}

/// Runs `work`, but once `cancel` is cancelled for no longer than 4 s more.
async fn ending_in_time<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        cancel.cancelled().await;
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = late => None,
    }
}
