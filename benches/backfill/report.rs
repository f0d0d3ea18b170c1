//! The figures, for people and for scripts.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use event_worker::telemetry::table::table;
use serde::Serialize;

use crate::cases::Figures;
use crate::support::machine::{self, Machine};
use crate::support::program;

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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peaks = self.settings.memory_events.map(|events| format!(">peak memory, {events} events"));
        let header =
            ["case", "database", ">events/s", ">bare/s", ">ratio", ">best/s", ">bare/best", &peaks[0], &peaks[1]];
        let rows = self.cases.iter().map(|figures| {
            let mut row = vec![
                figures.case.to_owned(),
                figures.database.clone(),
                format!("{:.0}", figures.events_per_s),
                format!("{:.0}", figures.bare_per_s),
                format!("{:.2}", figures.ratio_to_bare),
                format!("{:.0} ({})", figures.best_per_s, figures.best),
                format!("{:.2}", figures.bare_to_best),
            ];
            row.extend(figures.memory.iter().map(|peak| program::shown(peak.rss_mb)));
            row
        });
        write!(f, "{}\n\n{}", self.preface(), table(&header, rows))
    }
}
