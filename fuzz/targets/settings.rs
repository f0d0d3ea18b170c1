//! A `.env` file: what cannot be right is refused by name, and no message shows a password or a key.
#![no_main]

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use clap::Parser;
use event_worker::config::{Database, Logs, Node, Worker};
use event_worker::state::DatabaseUrl;
use event_worker::subject::NodeUrl;
use libfuzzer_sys::fuzz_target;

/// Stands in every URL as its password, and is the key for the nodes.
const SECRET: &str = "hunter2";

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    node: Node,
    #[command(flatten)]
    worker: Worker,
    #[command(flatten)]
    logs: Logs,
}

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    let mut given: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "DATABASE_URL" | "DB_URL" | "NODE_URL" | "NODE_ARCHIVE_URL" => {
                given.insert(name, with_secret(value));
            }
            // Read from files, which fuzzing has none of.
            "MARKETS" if value.contains(".toml") => {}
            "MARKETS" | "POLL_INTERVAL" | "LEASE" | "MAX_PARKED" | "API_LISTEN" | "RUST_LOG" | "LOG_DIR" => {
                given.insert(name, value.to_owned());
            }
            _ => {}
        }
    }
    given.insert("NODE_API_KEY", SECRET.to_owned());
    let flag = |(name, value): (&&str, &String)| format!("--{}={value}", name.to_lowercase().replace('_', "-"));
    let arguments = std::iter::once("fuzz".to_owned()).chain(given.iter().map(flag));
    let settings = Settings::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
    all_are_right_or_refused_by_name(&settings);
});

/// `scheme://user:SECRET@rest` where the value has `scheme://user@rest`, unless that is the name of a file.
fn with_secret(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    match rest.split_once('@') {
        Some((user, rest))
            if is_scheme && !scheme.to_lowercase().starts_with("sqlite") && !user.contains(['/', '?', '#', '\\']) =>
        {
            format!("{scheme}://{user}:{SECRET}@{rest}")
        }
        _ => value.to_owned(),
    }
}

fn all_are_right_or_refused_by_name(settings: &Settings) {
    let Settings { database, node, worker, logs } = settings;
    if let Some(Some(url)) = told(&["DATABASE_URL", "DB_URL"], database.url()) {
        is_quiet(&url);
        let again: DatabaseUrl = url.secret().parse().expect("it has just been read");
        assert_eq!(again, url);
        let _ = (url.password(), url.is_missing_file(), url.existing());
    }
    let _ = (database.secrets(), database.warning());
    if let Some(nodes) = told(&["NODE_URL", "NODE_ARCHIVE_URL", "NODE_API_KEY"], node.nodes()) {
        assert!(!nodes.nodes.is_empty());
        for url in nodes.nodes.iter().map(|(url, _)| url).chain(&nodes.archive) {
            is_quiet::<NodeUrl>(url);
        }
    }
    assert_eq!(node.secrets(), [SECRET]);
    if let Some(interval) = told(&["POLL_INTERVAL"], worker.poll_interval()) {
        assert!(!interval.is_zero());
    }
    if let Some(markets) = told(&["MARKETS"], worker.markets()) {
        assert!(markets.streams().count() > 0);
    }
    told(&["LEASE"], worker.lease());
    told(&["MAX_PARKED"], worker.max_parked());
    told(&["API_LISTEN"], worker.api());
    told(&["RUST_LOG"], logs.filter());
    logs.folder();
}

/// The value, or a refusal that begins with the name of a setting and keeps its secrets.
fn told<T>(names: &[&str], setting: Result<T, event_worker::config::SettingError>) -> Option<T> {
    let error = setting.as_ref().err().map(ToString::to_string);
    if let Some(said) = error {
        assert!(names.iter().any(|name| said.starts_with(&format!("{name}="))), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    setting.ok()
}

fn is_quiet<T: Display + Debug>(url: &T) {
    assert!(!url.to_string().contains(SECRET), "{url}");
    assert!(!format!("{url:?}").contains(SECRET), "{url:?}");
}
