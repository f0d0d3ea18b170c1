//! The figures, for people and for scripts.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use event_worker::telemetry::table::table;
use serde::Serialize;
use serde_json::Value;

use crate::cases::{Bar, Figures};
use crate::support::machine::{self, Machine};

/// What was asked for.
#[derive(Serialize)]
pub struct Settings {
    /// Events of a run.
    pub events: u32,
    /// Repetitions.
    pub reps: u32,
    /// What the simulated market is made from.
    pub seed: u64,
    /// Events of the two runs that tell the peak memory.
    pub memory_events: [u32; 2],
    /// Events of a run of the naive program.
    pub naive_events: u32,
    /// How long a live market is followed.
    pub live_seconds: u64,
    /// Events of a long history.
    pub long_events: u32,
    /// Whether weak ways to write are measured, too.
    pub all_ways: bool,
}

/// All that is known at the end.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    commit: Option<String>,
    pub settings: Settings,
    pub cases: Vec<Figures>,
}

impl Report {
    /// Nothing measured yet but the machine.
    pub fn new(settings: Settings, folder: &Path) -> Result<Self> {
        Ok(Self { machine: Machine::this(folder)?, commit: machine::commit(), settings, cases: vec![] })
    }

    /// Where and how.
    pub fn preface(&self) -> String {
        let Self { machine, settings, .. } = self;
        let memory = machine.memory_mb.map_or_else(String::new, |memory| format!(", {memory} MB"));
        format!(
            "{} cores, {}{memory}; fdatasync {} us (servers: {} us)\ncommit {}; {} events, seed {}, {} repetitions",
            machine.cores,
            machine.cpu.as_deref().unwrap_or("unknown CPU"),
            machine.fdatasync_us,
            machine.fdatasync_us_of_servers,
            self.commit.as_deref().unwrap_or("unknown"),
            settings.events,
            settings.seed,
            settings.reps,
        )
    }

    /// Writes it as JSON; returns where.
    pub fn write(&self) -> Result<PathBuf> {
        // Beside cargo's own folder for temporary files, wherever the target folder is.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
        fs::create_dir_all(&folder)?;
        let file = folder.join("backfill.json");
        fs::write(&file, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(file)
    }
}

impl Report {
    /// Figures that are not even half as good as they should be, each as a sentence.
    pub fn failures(&self) -> Vec<String> {
        let told =
            self.cases.iter().flat_map(|case| case.figures.iter().map(move |(name, value)| (case.case, name, value)));
        told.filter_map(|(case, name, value)| {
            let (bar, number) = (Bar::find(case, name)?, value.as_f64()?);
            let is_missed = bar.is_missed_by_half(number);
            is_missed.then(|| format!("{case}: {name} is {number}, which is not even half as good as {bar}"))
        })
        .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![];
        for case in &self.cases {
            let mut name = case.case;
            for (figure, value) in &case.figures {
                let Some(value) = shown(value) else { continue };
                let bar = Bar::find(case.case, figure).map_or_else(String::new, Bar::to_string);
                rows.push(vec![name.to_owned(), (*figure).to_owned(), value, bar]);
                // Once for all its figures.
                name = "";
            }
        }
        write!(f, "{}\n\n{}", self.preface(), table(&["case", "figure", ">value", ">bar"], rows))
    }
}

/// A figure for people; lists are for scripts.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("unknown".to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string().trim_end_matches(".0").to_owned()),
        Value::Array(_) | Value::Object(_) => None,
    }
}
