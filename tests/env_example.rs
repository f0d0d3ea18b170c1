//! `.env.example` is a file that dotenv readers take, and lists every setting with its true default.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The lines `NAME=value`, those behind a `#` too.
fn settings() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(".env.example").unwrap();
    let is_setting = |line: &&str| {
        let name = line.split('=').next().unwrap_or_default();
        line.contains('=') && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let lines: Vec<_> = text.lines().map(|line| line.trim_start_matches(['#', ' '])).filter(is_setting).collect();
    dotenvy::from_read_iter(lines.join("\n").as_bytes()).collect::<Result<_, _>>().unwrap()
}

#[test]
fn it_parses_as_it_stands() {
    for line in dotenvy::from_path_iter(".env.example").unwrap() {
        line.unwrap();
    }
}

#[test]
fn it_lists_every_setting() {
    let listed: BTreeSet<_> = settings().into_keys().collect();
    assert_eq!(listed, event_worker::config::names());
}

#[test]
fn its_values_are_the_defaults_that_help_shows() {
    let help = Command::new(env!("CARGO_BIN_EXE_event-worker"))
        .args(["run", "--help"])
        .env("COLUMNS", "400")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for (name, value) in settings().into_iter().filter(|(_, value)| !value.is_empty()) {
        if help.contains(&format!("[env: {name}")) && !["DB_URL", "NODE_ARCHIVE_URL", "NODE_API_KEY"].contains(&&*name)
        {
            assert!(help.contains(&format!("[default: {value}]")), "{name}={value} is not a default of --help");
        }
    }
}
