//! The settings: flag beats environment beats `.env` beats default. The only reader of the environment.
//!
//! `.env.example` lists them with comments; `--help` of each command shows those that it has.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::market::{self, nearest};
use crate::state::DatabaseUrl;
use crate::subject::NodeUrl;
use crate::telemetry::log;
use crate::{api, subject};

mod markets;
mod reading;

pub use markets::{Markets, market};
pub use reading::{ReadFrom, Reading};

/// The defaults, as `--help` shows them.
mod default {
    pub const DATABASE_URL: &str = "sqlite://event-worker.db?mode=rwc";
    pub const NODE_URL: &str = "https://fullnode.testnet.aptoslabs.com/v1";
    pub const MARKETS: &str = "imart";
    pub const SUBJECT: &str = "handles";
    pub const POLL_INTERVAL: &str = "5s";
    pub const MAX_PARKED: &str = "100";
    pub const LEASE: &str = "3s";
    pub const API_LISTEN: &str = "127.0.0.1:8080";
    pub const LOG_DIR: &str = ".";
    pub const RUST_LOG: &str = "info";
}

/// The database, for every command that has one.
#[derive(Debug, Clone, Args)]
pub struct Database {
    /// Where orders and history are kept: mysql://, postgres:// or sqlite://
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Settings",
        long_help = "Where orders and history are kept: mysql://user:password@host:3306/database, postgres://… or sqlite://file.db?mode=rwc; demo and selftest make a temporary one unless told otherwise [default: sqlite://event-worker.db?mode=rwc]"
    )]
    database_url: Option<String>,
    /// Another name of `DATABASE_URL`, which wins
    #[arg(long, global = true, env = "DB_URL", hide = true, hide_env_values = true)]
    db_url: Option<String>,
}

/// The nodes that events are read from.
#[derive(Debug, Clone, Args)]
pub struct Node {
    /// Nodes' REST addresses, comma-separated: tried in order, healthy ones preferred
    #[arg(
        long,
        visible_alias = "node",
        env = "NODE_URL",
        hide_env_values = true,
        value_name = "URLS",
        help_heading = "Settings",
        default_value = default::NODE_URL
    )]
    node_url: String,
    /// Asked when history is pruned; never sent the API key [default: none]
    #[arg(long, env = "NODE_ARCHIVE_URL", hide_env_values = true, value_name = "URL", help_heading = "Settings")]
    node_archive_url: Option<String>,
    /// Sent as `Authorization: Bearer`; one key goes to the first node only, a comma-separated list by position [default: none]
    #[arg(long, env = "NODE_API_KEY", hide_env_values = true, value_name = "KEYS", help_heading = "Settings")]
    node_api_key: Option<String>,
}

/// What is done about events that cannot be decoded.
#[derive(Debug, Clone, Args)]
pub struct Parking {
    /// Parked events in a row before an observer stops
    #[arg(long, env = "MAX_PARKED", value_name = "N", help_heading = "Settings", default_value = default::MAX_PARKED)]
    max_parked: String,
}

/// How the worker goes about it.
#[derive(Debug, Clone, Args)]
pub struct Worker {
    #[command(flatten)]
    markets: Markets,
    #[command(flatten)]
    reading: Reading,
    /// Pause between polls of a caught-up observer (250ms, 2s, 1m)
    #[arg(long, env = "POLL_INTERVAL", value_name = "DURATION", help_heading = "Settings", default_value = default::POLL_INTERVAL)]
    poll_interval: String,
    #[command(flatten)]
    parking: Parking,
    /// How long an observer stays with a worker that no longer says that it lives: others of the same database take over a third
    /// later at most. Shorter is sooner, and more often a slow database is taken for a dead worker, which only wastes work
    #[arg(long, env = "LEASE", value_name = "DURATION", help_heading = "Settings", default_value = default::LEASE)]
    lease: String,
    /// Where to answer over HTTP, or `off`
    #[arg(
        long,
        env = "API_LISTEN",
        value_name = "ADDRESS",
        help_heading = "Settings",
        default_value = default::API_LISTEN
    )]
    api_listen: String,
}

/// Where logs go.
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// Folder of error.log (WARN and worse)
    #[arg(long, env = "LOG_DIR", value_name = "FOLDER", help_heading = "Settings", default_value = default::LOG_DIR, global = true)]
    log_dir: String,
    /// What is logged on stdout: error, warn, info, debug, or per module
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        help_heading = "Settings",
        default_value = default::RUST_LOG,
        global = true
    )]
    rust_log: String,
}

/// A setting that cannot be right: its name, its value, and what would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    setting: &'static str,
    value: String,
    remedy: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: {}", self.setting, self.value, self.remedy)
    }
}

impl std::error::Error for SettingError {}

type Result<T> = std::result::Result<T, SettingError>;

/// Reads `.env` of the working directory into the environment, where it sets nothing that is set.
pub fn read_dotenv() -> Result<()> {
    let wrong = |value: String, remedy: String| SettingError { setting: ".env", value, remedy };
    match dotenvy::from_path(Path::new(".env")) {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::LineParse(..)) => Err(wrong(
            unreadable_line(),
            "cannot be read: write NAME=value, with quotes around a value that has spaces or #".to_owned(),
        )),
        Err(error) => Err(wrong("(file)".to_owned(), format!("cannot be read: {error}"))),
    }
}

/// Which line of `.env` cannot be read, by number and name: its value may be a password.
fn unreadable_line() -> String {
    let text = std::fs::read_to_string(".env").unwrap_or_default();
    let is_wrong = |line: &str| dotenvy::from_read_iter(line.as_bytes()).any(|setting| setting.is_err());
    let found = (1..).zip(text.lines()).find(|(_, line)| is_wrong(line));
    found.map_or("a line".to_owned(), |(number, line)| {
        format!("line {number} ({})", line.split('=').next().unwrap_or_default().trim())
    })
}

impl Database {
    /// The database's URL, if one is set.
    pub fn url(&self) -> Result<Option<DatabaseUrl>> {
        let (first, second) = (filled(self.database_url.as_ref()), filled(self.db_url.as_ref()));
        let setting = if first.is_some() { "DATABASE_URL" } else { "DB_URL" };
        let Some(text) = first.or(second) else { return Ok(None) };
        text.parse().map(Some).map_err(|remedy| SettingError { setting, value: without_password(text), remedy })
    }

    /// The database's URL, or the default.
    pub fn url_or_default(&self) -> Result<DatabaseUrl> {
        match self.url()? {
            Some(url) => Ok(url),
            None => parse("DATABASE_URL", default::DATABASE_URL),
        }
    }

    /// What to warn about, once logs are there.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        let (first, second) = (filled(self.database_url.as_ref()), filled(self.db_url.as_ref()));
        (first.is_some() && second.is_some() && first != second)
            .then_some("DATABASE_URL and DB_URL differ: DATABASE_URL is used")
    }

    /// Passwords, for redaction.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let urls = [self.database_url.as_ref(), self.db_url.as_ref()].into_iter().flatten();
        let passwords = urls.filter_map(|url| url.parse::<DatabaseUrl>().ok()?.password());
        passwords.flat_map(|password| [percent_decoded(&password), password]).collect()
    }
}

impl Node {
    /// The nodes.
    pub fn nodes(&self) -> Result<subject::Config> {
        let urls: Vec<_> = list(set_or(&self.node_url, default::NODE_URL)).collect();
        if urls.is_empty() {
            return Err(SettingError {
                setting: "NODE_URL",
                value: self.node_url.clone(),
                remedy: "names no node".to_owned(),
            });
        }
        let keys: Vec<_> = self.node_api_key.iter().flat_map(|keys| keys.split(',')).map(str::trim).collect();
        if keys.len() > urls.len() {
            let remedy = format!("there are {} keys for {} nodes (NODE_URL)", keys.len(), urls.len());
            return Err(SettingError { setting: "NODE_API_KEY", value: "***".to_owned(), remedy });
        }
        let nodes = urls.iter().enumerate().map(|(index, url)| {
            let key = keys.get(index).filter(|key| !key.is_empty()).map(|key| (*key).to_owned());
            Ok((node_url("NODE_URL", url)?, key))
        });
        let archive =
            filled(self.node_archive_url.as_ref()).map(|url| node_url("NODE_ARCHIVE_URL", url)).transpose()?;
        Ok(subject::Config { nodes: nodes.collect::<Result<_>>()?, archive })
    }

    /// The same settings, but for this node.
    #[must_use]
    pub fn at(url: String) -> Self {
        Self { node_url: url, node_archive_url: None, node_api_key: None }
    }

    /// Keys, for redaction.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.node_api_key.iter().flat_map(|keys| list(keys)).map(str::to_owned).collect()
    }
}

impl Parking {
    /// How many parked events in a row stop an observer; at least 1.
    pub fn max_parked(&self) -> Result<u64> {
        let number = parse::<u64>("MAX_PARKED", set_or(&self.max_parked, default::MAX_PARKED))
            .ok()
            .filter(|number| (1..=1_000_000).contains(number));
        number.ok_or_else(|| SettingError {
            setting: "MAX_PARKED",
            value: self.max_parked.clone(),
            remedy: "expected a number from 1 to 1000000".to_owned(),
        })
    }
}

impl Worker {
    /// The markets, each read from its file.
    pub fn markets(&self) -> Result<Arc<market::Markets>> {
        self.markets.markets()
    }

    /// What streams are read from.
    #[must_use]
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The pause between polls.
    pub fn poll_interval(&self) -> Result<Duration> {
        let interval = duration("POLL_INTERVAL", set_or(&self.poll_interval, default::POLL_INTERVAL))?;
        if interval.is_zero() {
            return Err(SettingError {
                setting: "POLL_INTERVAL",
                value: self.poll_interval.clone(),
                remedy: "must be longer than nothing, like 250ms".to_owned(),
            });
        }
        Ok(interval)
    }

    /// How long a worker's leases hold.
    pub fn lease(&self) -> Result<Duration> {
        let lease = duration("LEASE", set_or(&self.lease, default::LEASE))?;
        if !(Duration::from_millis(100)..=Duration::from_hours(1)).contains(&lease) {
            return Err(SettingError {
                setting: "LEASE",
                value: self.lease.clone(),
                remedy: "expected a duration from 100ms to 1h, like 3s".to_owned(),
            });
        }
        Ok(lease)
    }

    /// How many parked events in a row stop an observer.
    pub fn max_parked(&self) -> Result<u64> {
        self.parking.max_parked()
    }

    /// Where to answer over HTTP.
    pub fn api(&self) -> Result<api::Config> {
        let listen = set_or(&self.api_listen, default::API_LISTEN);
        if listen == "off" {
            return Ok(api::Config { listen: None });
        }
        let listen = listen.parse::<SocketAddr>().map_err(|_| SettingError {
            setting: "API_LISTEN",
            value: self.api_listen.clone(),
            remedy: "expected an address and a port, like 127.0.0.1:8080, or `off`".to_owned(),
        })?;
        Ok(api::Config { listen: Some(listen) })
    }
}

impl Logs {
    /// What is shown on the console.
    pub fn filter(&self) -> Result<EnvFilter> {
        const EXPECTED: &str = "expected error, warn, info, debug, or module=level";
        let wrong = |why: String| SettingError {
            setting: "RUST_LOG",
            value: self.rust_log.clone(),
            remedy: format!("{why}; {EXPECTED}"),
        };
        let text = set_or(&self.rust_log, default::RUST_LOG);
        if let Some(level) = text.split(',').find_map(misspelt_level) {
            return Err(wrong(format!("no level; did you mean `{level}`?")));
        }
        EnvFilter::try_new(log::quieted(text)).map_err(|error| wrong(error.to_string()))
    }

    /// The same, but with nothing below WARN unless asked for.
    #[must_use]
    pub fn quieter(&self) -> Self {
        let rust_log = if self.rust_log == default::RUST_LOG { "warn".to_owned() } else { self.rust_log.clone() };
        Self { rust_log, log_dir: self.log_dir.clone() }
    }

    /// The folder of `error.log`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(set_or(&self.log_dir, default::LOG_DIR))
    }
}

/// A duration like `250ms`, `2s` or `1m`.
pub fn duration(setting: &'static str, text: &str) -> Result<Duration> {
    let wrong = |error: humantime::DurationError| SettingError {
        setting,
        value: text.to_owned(),
        remedy: format!("{error}; expected a duration like 250ms, 2s or 1m"),
    };
    humantime::parse_duration(text).map_err(wrong)
}

/// Any value that can be read from text.
pub fn parse<T: FromStr>(setting: &'static str, text: &str) -> Result<T>
where
    T::Err: fmt::Display,
{
    text.trim().parse().map_err(|error| SettingError { setting, value: text.to_owned(), remedy: format!("{error}") })
}

/// The address of a GraphQL indexer.
pub fn indexer_url(text: &str) -> Result<NodeUrl> {
    service_url("--indexer", text, "expected a GraphQL address, like https://api.testnet.aptoslabs.com/v1/graphql")
}

/// The address of something that is no node.
fn service_url(setting: &'static str, text: &str, expected: &str) -> Result<NodeUrl> {
    text.parse().map_err(|error: String| {
        let reason = error.split("; expected").next().filter(|reason| !reason.starts_with("expected"));
        let remedy = reason.map_or_else(|| expected.to_owned(), |reason| format!("{reason}; {expected}"));
        SettingError { setting, value: without_password(text), remedy }
    })
}

fn node_url(setting: &'static str, text: &str) -> Result<NodeUrl> {
    text.parse().map_err(|remedy| SettingError { setting, value: without_password(text), remedy })
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// A variable that is set to nothing is not set.
fn set_or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.trim().is_empty() { default } else { text }
}

fn filled(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// A URL for a message, whatever is wrong with it: without what may be a password, before an `@` or in a query.
fn without_password(url: &str) -> String {
    let Some((login, host)) = url.rsplit_once('@') else {
        return url.split('?').next().unwrap_or_default().to_owned();
    };
    let (scheme, login) = login.split_once("//").map_or(("", login), |(scheme, login)| (scheme, login));
    let slashes = if scheme.is_empty() { "" } else { "//" };
    let user = login.split([':', '?']).next().unwrap_or_default();
    format!("{scheme}{slashes}{user}:***@{}", host.split('?').next().unwrap_or_default())
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// The level that one of the words of `RUST_LOG` is nearly: a filter would take it for a module, and show nothing else.
fn misspelt_level(word: &str) -> Option<&'static str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let word = word.trim();
    let is_level = word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    if is_level { None } else { nearest(word, LEVELS) }
}

/// Names in the environment that are nearly settings', each with the one that may be meant. Short ones may mean anything.
#[must_use]
pub fn misspelt() -> Vec<(String, String)> {
    const SHORT: usize = 6;
    let environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let known = names();
    let meant = |name: String| {
        let meant = nearest(&name, known.iter().map(String::as_str))?.to_owned();
        Some((name, meant))
    };
    let mut told: Vec<_> =
        environment.filter(|name| name.len() >= SHORT && !known.contains(name)).filter_map(meant).collect();
    told.sort();
    told
}

/// All settings that `.env.example` must list.
#[must_use]
pub fn names() -> BTreeSet<String> {
    #[derive(clap::Parser)]
    struct All {
        #[command(flatten)]
        _database: Database,
        #[command(flatten)]
        _node: Node,
        #[command(flatten)]
        _worker: Worker,
        #[command(flatten)]
        _logs: Logs,
    }
    let command = <All as clap::CommandFactory>::command();
    command.get_arguments().filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned())).collect()
}
