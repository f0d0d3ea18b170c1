//! The house rules of ARCHITECTURE.md: which module may import which.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// Module, and what it may import. Whoever is not named as imported is imported by nobody.
const MAY_IMPORT: [(&str, &[&str]); 16] = [
    ("chain", &[]),
    ("telemetry", &[]),
    ("backoff", &[]),
    ("market", &["chain"]),
    ("subject", &["chain", "telemetry"]),
    ("state", &["chain", "subject", "market"]),
    ("observer", &["backoff", "chain", "subject", "market", "state", "telemetry"]),
    ("import", &["backoff", "chain", "subject", "market", "state", "telemetry"]),
    ("verify", &["backoff", "chain", "subject", "market", "state", "observer", "telemetry"]),
    ("check", &["chain", "market", "state", "subject"]),
    ("api", &["chain", "state", "telemetry"]),
    // The other side of the wire: it must not share a line with what reads it.
    ("simulate", &[]),
    ("selftest", &["chain", "market", "simulate", "state", "subject", "telemetry", "verify"]),
    // What settings are parsed into.
    ("config", &["api", "market", "state", "subject", "telemetry"]),
    (
        "cli",
        &[
            "api",
            "backoff",
            "chain",
            "check",
            "config",
            "import",
            "market",
            "observer",
            "selftest",
            "simulate",
            "state",
            "subject",
            "telemetry",
            "verify",
        ],
    ),
    ("main", &["cli"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}

/// `src/market/fold/mod.rs` is of module `market`.
fn module(file: &Path) -> String {
    let inside = file.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules named behind `crate::` in a line of code.
fn imports(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let names = |rest: &str| -> Vec<String> {
        let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or_default());
        let parts: Vec<_> = if list.len() < rest.len() { list.split(',').collect() } else { vec![list] };
        let name =
            |part: &str| part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        parts.into_iter().map(name).filter(|name| !name.is_empty()).collect()
    };
    code.split("crate::").skip(1).flat_map(names).collect()
}

#[test]
fn imports_point_up_the_table() {
    let files = sources(Path::new("src"));
    assert!(files.len() > 40, "the sources were not found");
    let mut seen = 0;
    for file in files {
        let module = module(&file);
        if module == "lib" {
            continue;
        }
        let rule = MAY_IMPORT.iter().find(|(name, _)| *name == module);
        let (_, allowed) =
            rule.unwrap_or_else(|| panic!("{} is of no module in the table: add {module}", file.display()));
        for (number, line) in (1..).zip(fs::read_to_string(&file).unwrap().lines()) {
            for import in imports(line).into_iter().filter(|import| *import != module) {
                seen += 1;
                assert!(
                    allowed.contains(&&*import),
                    "{}:{number}: {module} must not import {import}: {line}",
                    file.display()
                );
            }
        }
    }
    assert!(seen > 50, "no imports were found: {seen}");
}

#[test]
fn only_state_knows_sql_and_only_config_the_environment() {
    for file in sources(Path::new("src")) {
        let (module, text) = (module(&file), fs::read_to_string(&file).unwrap());
        let forbidden = |who: &str, words: &[&str]| {
            for word in words.iter().filter(|_| module != who) {
                assert!(!text.contains(word), "{}: only {who} may use {word}", file.display());
            }
        };
        forbidden("state", &["sea_orm::", "sqlx::"]);
        forbidden("config", &["env::var", "dotenvy::"]);
        forbidden("subject", &["reqwest::"]);
    }
}

/// No I/O, clock, async or float where meaning is made.
#[test]
fn chain_and_market_are_pure() {
    for module in ["chain", "market"] {
        for file in sources(&Path::new("src").join(module)) {
            let text = fs::read_to_string(&file).unwrap();
            for word in [
                "std::fs",
                "std::net",
                "std::time",
                "Utc::now",
                "async ",
                ".await",
                "tracing::",
                "tokio",
                "f64",
                "f32",
                "std::env",
            ] {
                assert!(!text.contains(word), "{}: {word} does not belong into {module}", file.display());
            }
        }
    }
}

#[test]
fn the_checker_itself_sees_imports() {
    assert_eq!(imports("use crate::chain::{Address, Amount};"), ["chain"]);
    assert_eq!(imports("use crate::{api, subject};"), ["api", "subject"]);
    assert_eq!(imports("    .map_err(|e: crate::chain::ParseError| e) // crate::state"), ["chain"]);
    assert_eq!(module(Path::new("src/market/fold/mod.rs")), "market");
}
