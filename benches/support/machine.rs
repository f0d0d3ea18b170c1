//! What the figures were measured on.

use std::fs;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

/// The machine. What the system does not tell is null.
#[derive(Serialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: Option<String>,
    pub memory_mb: Option<u64>,
    /// What it costs to make 4 KiB durable, in microseconds: the median, below `target`, where `SQLite`'s files are.
    pub fdatasync_us: f64,
    /// The same in the temporary folder, where `scripts/databases` keeps its servers' files.
    pub fdatasync_us_of_servers: f64,
}

impl Machine {
    pub fn this(folder: &Path) -> Result<Self> {
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            cpu: told("/proc/cpuinfo", "model name"),
            memory_mb: told("/proc/meminfo", "MemTotal")
                .and_then(|text| text.trim_end_matches(" kB").parse().ok())
                .map(|kibibytes: u64| kibibytes * 1024 / 1_000_000),
            fdatasync_us: fdatasync(folder)?,
            fdatasync_us_of_servers: fdatasync(&std::env::temp_dir())?,
        })
    }
}

/// The commit that was built, marked if there are changes beside it.
pub fn commit() -> Option<String> {
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&described.stdout).trim().to_owned())
}

/// The first value of `name` in a file of `name : value` lines.
fn told(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

/// Microseconds to make 4 KiB durable in `folder`: the median of rewriting one block again and again, as a database does
/// with its log.
pub fn fdatasync(folder: &Path) -> Result<f64> {
    const TIMES: usize = 101;
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times: Vec<Duration> = vec![];
    for time in 0..=TIMES {
        file.rewind()?;
        file.write_all(&[u8::try_from(time).unwrap_or_default(); 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    // The first one made the file.
    times.remove(0);
    times.sort();
    Ok((times[TIMES / 2].as_secs_f64() * 10_000_000.0).round() / 10.0)
}
