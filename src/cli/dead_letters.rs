//! `dead-letters list / show / retry / discard`: events that could not be decoded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Failure, Outcome, connect_to_schema, log_to_stderr, print};
use crate::backoff::Backoff;
use crate::chain::SeqNo;
use crate::config::{self, Database, Logs};
use crate::market::Markets;
use crate::state::entities::dead_letters;
use crate::state::{Handled, Letter, LetterFilter, LetterKey, LetterState, Store, StoreError, Trouble, at};
use crate::telemetry::table::table;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Which there are, the newest events first
    List {
        /// Of this observer
        #[arg(long)]
        observer: Option<String>,
        /// In this state
        #[arg(long, value_enum, default_value_t = State::Parked)]
        state: State,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// One JSON object a line, with all columns
        #[arg(long)]
        json: bool,
    },
    /// One with all columns, and what the market file makes of it now
    Show {
        #[command(flatten)]
        markets: config::Markets,
        #[arg(value_name = "OBSERVER")]
        observer: String,
        #[arg(value_name = "SEQ_NO")]
        seq_no: u64,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Decodes again, and folds what is understood now into the tables in its place; 1 if some still do not decode
    Retry(Retry),
    /// Leaves events out of the tables for good
    Discard {
        #[arg(value_name = "OBSERVER")]
        observer: String,
        #[arg(value_name = "SEQ_NO", required = true)]
        seq_nos: Vec<u64>,
        /// Why; it is stored
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(clap::Args)]
#[command(group = ArgGroup::new("which").args(["one", "of", "all"]).required(true))]
struct Retry {
    #[command(flatten)]
    markets: config::Markets,
    #[arg(id = "one", value_name = "OBSERVER", requires = "seq_nos")]
    one: Option<String>,
    #[arg(value_name = "SEQ_NO", requires = "one")]
    seq_nos: Vec<u64>,
    /// All that are parked of this observer
    #[arg(id = "of", long = "observer", value_name = "OBSERVER")]
    of: Option<String>,
    /// All that are parked
    #[arg(long)]
    all: bool,
    /// Discarded ones, too: what does not decode is parked again
    #[arg(long)]
    discarded: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Parked,
    Retried,
    Discarded,
    All,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let _guard = log_to_stderr(logs, args.database.secrets())?;
    match args.what {
        What::List { observer, state, limit, json } => {
            let store = connect_to_schema(&args.database).await?;
            let filter = LetterFilter { observer, state: state.stored(), limit };
            list(&store.letters(&filter).await?, json)
        }
        What::Show { markets, observer, seq_no, json } => {
            let (markets, key) = (markets.markets()?, key(&observer, seq_no)?);
            let store = connect_to_schema(&args.database).await?;
            match store.letter(&markets, &key).await? {
                Some(letter) => show(&letter, json),
                None => Err(Failure::Failed(format!(
                    "there is no dead letter {key}: see `event-worker dead-letters list --state all`"
                ))),
            }
        }
        What::Retry(retry) => {
            let markets = retry.markets.markets()?;
            let keys = retry.one.as_ref().map(|observer| keys(observer, &retry.seq_nos)).transpose()?;
            let store = connect_to_schema(&args.database).await?;
            Retrier {
                store: &store,
                markets: &markets,
                discarded: retry.discarded,
                tally: Tally { retrying: true, ..Tally::default() },
            }
            .retry(keys, retry.of.as_deref())
            .await
        }
        What::Discard { observer, seq_nos, reason } => {
            if reason.trim().is_empty() {
                return Err(Failure::Setting("--reason is empty: say why the events are discarded".to_owned()));
            }
            let keys = keys(&observer, &seq_nos)?;
            let store = connect_to_schema(&args.database).await?;
            let mut tally = Tally { retrying: false, ..Tally::default() };
            tally.add(patiently(|| store.discard(&keys, &reason)).await?)?;
            tally.outcome()
        }
    }
}

fn key(observer: &str, seq_no: u64) -> Result<LetterKey, Failure> {
    let number = SeqNo::new(seq_no);
    let number = number.ok_or_else(|| Failure::Setting(format!("SEQ_NO {seq_no}: expected one up to {}", i64::MAX)))?;
    Ok(LetterKey { observer: observer.into(), seq_no: number })
}

/// Each once.
fn keys(observer: &str, seq_nos: &[u64]) -> Result<Vec<LetterKey>, Failure> {
    let keys: Result<BTreeSet<_>, _> = seq_nos.iter().map(|seq_no| key(observer, *seq_no)).collect();
    Ok(keys?.into_iter().collect())
}

fn list(rows: &[dead_letters::Model], json: bool) -> Outcome {
    const COLUMNS: [&str; 6] = ["observer", ">seq no", "state", ">attempts", "first seen", "error"];
    if json {
        let lines: Vec<_> = rows.iter().map(|row| json!(row).to_string()).collect();
        return if lines.is_empty() { Ok(()) } else { print(&lines.join("\n")) };
    }
    let line = |row: &dead_letters::Model| {
        let discarded = row.discard_reason.as_ref().map(|reason| format!("({reason}) "));
        vec![
            row.observer.clone(),
            row.seq_no.to_string(),
            row.state.clone(),
            row.attempts.to_string(),
            at(row.first_seen_at).format("%Y-%m-%d %H:%M:%S").to_string(),
            format!("{}{}", discarded.unwrap_or_default(), row.error),
        ]
    };
    print(&if rows.is_empty() { "no dead letters".to_owned() } else { table(&COLUMNS, rows.iter().map(line)) })
}

fn show(Letter { row, meaning }: &Letter, json: bool) -> Outcome {
    let (activity, refusal) = match meaning {
        Ok(activity) => (json!(activity), Value::Null),
        Err(refusal) => (Value::Null, json!(refusal)),
    };
    let mut letter = json!(row);
    if json {
        (letter["activity"], letter["refusal"]) = (activity, refusal);
        return print(&letter.to_string());
    }
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    // What is no JSON is shown as it is.
    letter["data"] = serde_json::from_str(&row.data).unwrap_or(Value::Null);
    let data = if letter["data"].is_null() { row.data.clone() } else { pretty(&letter["data"]) };
    let mut text: Vec<_> = letter.as_object().into_iter().flatten().filter(|(name, _)| *name != "data").collect();
    text.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name));
    let mut text: Vec<_> = text.into_iter().map(|(name, value)| format!("{name:15} {}", plain(value))).collect();
    text.push(format!("data\n{data}"));
    text.push(match meaning {
        Ok(_) => format!(
            "decodes now; `event-worker dead-letters retry {} {}` would bring the activity\n{}",
            row.observer,
            row.seq_no,
            pretty(&activity)
        ),
        Err(refusal) => format!("does not decode: {refusal}"),
    });
    print(&text.join("\n"))
}

/// The columns in the order of the table.
const ORDER: [&str; 10] = [
    "observer",
    "seq_no",
    "version",
    "event_type",
    "error",
    "attempts",
    "first_seen_at",
    "last_seen_at",
    "state",
    "discard_reason",
];

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.escape_debug().to_string())
}

struct Retrier<'a> {
    store: &'a Store,
    markets: &'a Markets,
    discarded: bool,
    tally: Tally,
}

impl Retrier<'_> {
    /// These, or all of an observer, or simply all.
    async fn retry(mut self, keys: Option<Vec<LetterKey>>, observer: Option<&str>) -> Outcome {
        if let Some(keys) = keys {
            self.batch(&keys).await?;
            return self.tally.outcome();
        }
        let mut last: Option<LetterKey> = None;
        loop {
            let keys = self.store.letters_to_retry(observer, self.discarded, last.as_ref()).await?;
            if keys.is_empty() {
                return self.tally.outcome();
            }
            self.batch(&keys).await?;
            last = keys.into_iter().next_back();
        }
    }

    /// Together; if that lastingly fails, each alone, so that only the one at fault is left.
    async fn batch(&mut self, keys: &[LetterKey]) -> Outcome {
        let together = patiently(|| self.store.retry(self.markets, keys, self.discarded)).await;
        let error = match together {
            Ok(handled) => return self.tally.add(handled),
            Err(error) if error.trouble() != Trouble::Lasting => return Err(error.into()),
            Err(error) => error,
        };
        if let [key] = keys {
            return self.tally.add(vec![(key.clone(), Handled::Impossible(error.to_string()))]);
        }
        for key in keys {
            Box::pin(self.batch(std::slice::from_ref(key))).await?;
        }
        Ok(())
    }
}

/// Tries again while somebody else holds a lock, for a while.
async fn patiently<T>(task: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let (mut backoff, since) = (Backoff::default(), Instant::now());
    loop {
        match task().await {
            Err(error) if error.trouble() == Trouble::Contended && since.elapsed() < PATIENCE => {
                backoff.wait(&CancellationToken::new()).await;
            }
            done => return done,
        }
    }
}

/// What came of it all.
#[derive(Default)]
struct Tally {
    /// Or discarding.
    retrying: bool,
    retried: u64,
    discarded: u64,
    unchanged: u64,
    failed: u64,
}

impl Tally {
    /// Counts, and names each that is not simply done.
    fn add(&mut self, handled: Vec<(LetterKey, Handled)>) -> Outcome {
        for (key, done) in handled {
            let said = match done {
                Handled::Retried => {
                    self.retried += 1;
                    continue;
                }
                Handled::Discarded => {
                    self.discarded += 1;
                    continue;
                }
                Handled::RetriedBefore => {
                    self.unchanged += 1;
                    "was retried before: nothing to do".to_owned()
                }
                Handled::DiscardedBefore(reason) if self.retrying => {
                    self.failed += 1;
                    format!("is discarded ({reason}): say --discarded to retry it all the same")
                }
                Handled::DiscardedBefore(reason) => {
                    self.unchanged += 1;
                    format!("was discarded before ({reason}): nothing to do")
                }
                Handled::Undecodable(why) => {
                    self.failed += 1;
                    format!("still does not decode: {why}")
                }
                Handled::Impossible(why) => {
                    self.failed += 1;
                    why
                }
            };
            print(&format!("{key}: {said}"))?;
        }
        Ok(())
    }

    fn outcome(self) -> Outcome {
        let Self { retrying, retried, discarded, unchanged, failed } = self;
        let counts = [(retried, "retried"), (discarded, "discarded"), (unchanged, "unchanged"), (failed, "not done")];
        let told: Vec<_> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(n, what)| format!("{n} {what}")).collect();
        print(&if told.is_empty() { "nothing is parked".to_owned() } else { told.join(", ") })?;
        let remedy = match (failed, retrying) {
            (0, _) => return Ok(()),
            (_, true) => ": mend the market file (MARKETS) and try again, or discard them with a reason",
            (_, false) => "",
        };
        Err(Failure::Failed(format!("{failed} dead letters could not be handled, each is named above{remedy}")))
    }
}

impl State {
    fn stored(self) -> Option<LetterState> {
        match self {
            Self::Parked => Some(LetterState::Parked),
            Self::Retried => Some(LetterState::Retried),
            Self::Discarded => Some(LetterState::Discarded),
            Self::All => None,
        }
    }
}
