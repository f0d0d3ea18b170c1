//! The program in a process of its own: how long it takes, and its peak memory.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use event_worker::state::DatabaseUrl;
use tokio::process::{Child, Command};

/// The program that is measured.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_event-worker");

/// The peak only grows, so what is missed is what the process adds in its last moment.
const LOOK: Duration = Duration::from_millis(5);

/// What a process took.
pub struct Took {
    /// From its start to its end.
    pub time: Duration,
    /// The most memory that it ever had, in MB (10^6 bytes); none where no `/proc` tells.
    pub peak_mb: Option<f64>,
}

/// Starts `event-worker` with these arguments; it ends at the latest when dropped.
pub fn start(arguments: &[&str], database: &DatabaseUrl, folder: &Path) -> Result<Child> {
    Ok(Command::new(PROGRAM)
        .args(arguments)
        // Nobody's settings, and no `.env`; a password is not for the list of processes.
        .env_clear()
        .env("DATABASE_URL", database.secret())
        .env("RUST_LOG", "error")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

/// Lets a process end by itself.
pub async fn terminate(process: &mut Child) -> Result<()> {
    if let Some(id) = process.id() {
        Command::new("kill").arg(id.to_string()).status().await?;
    }
    process.wait().await?;
    Ok(())
}

/// Runs `event-worker` with these arguments to its end, which must be a success.
pub async fn run(arguments: &[&str], database: &DatabaseUrl, folder: &Path) -> Result<Took> {
    let begin = Instant::now();
    let mut process = start(arguments, database, folder)?;
    let mut peak_mb = None;
    let status = loop {
        // Once it has ended there is nothing to read.
        peak_mb = process.id().and_then(peak_of).or(peak_mb);
        let ended = tokio::time::timeout(LOOK, process.wait()).await;
        if let Ok(status) = ended {
            break status?;
        }
    };
    ensure!(status.success(), "{arguments:?} failed: {status}");
    Ok(Took { time: begin.elapsed(), peak_mb })
}

pub fn shown(peak: Option<f64>) -> String {
    peak.map_or_else(|| "unknown".to_owned(), |peak| format!("{peak:.1} MB"))
}

/// The most memory that a process ever had, in MB: `VmHWM:     12345 kB`.
pub fn peak_of(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u32 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some((f64::from(kibibytes) * 1.024).round() / 1000.0)
}

/// The processor time that a process has taken so far; none where no `/proc` tells.
pub fn cpu_of(process: u32) -> Option<Duration> {
    /// What a tick is in `/proc`, whatever the kernel's own is.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may hold anything: the state, ten more, then the ticks as the user and in the kernel.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Some(TICK * ticks.sum::<Result<u32, _>>().ok()?)
}
