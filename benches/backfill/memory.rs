//! The worker's peak memory, alone in its process.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use event_worker::state::DatabaseUrl;
use tokio::process::Command;

use crate::node::{Node, PROGRAM};

/// The peak only grows, so what is missed is what the process adds in its last moment.
const LOOK: Duration = Duration::from_millis(5);

/// The most memory that `event-worker run` ever had while it executed all events of `node`, in MB (10^6 bytes).
pub async fn peak_of_worker(node: &Node, database: &DatabaseUrl, folder: &Path) -> Result<Option<f64>> {
    let mut worker = Command::new(PROGRAM)
        .args(["run", "--until-caught-up", "--api-listen", "off", "--node-url", &node.url])
        // Nobody's settings, and no `.env`; a password is not for the list of processes.
        .env_clear()
        .env("DATABASE_URL", database.secret())
        .env("RUST_LOG", "error")
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut peak = None;
    let status = loop {
        // Once it has ended there is nothing to read.
        peak = worker.id().and_then(peak_of).or(peak);
        if let Some(status) = worker.try_wait()? {
            break status;
        }
        tokio::time::sleep(LOOK).await;
    };
    ensure!(status.success(), "the worker failed: {status}");
    Ok(peak)
}

pub fn shown(peak: Option<f64>) -> String {
    peak.map_or_else(|| "unknown".to_owned(), |peak| format!("{peak:.1} MB"))
}

/// `VmHWM:     12345 kB`
fn peak_of(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u32 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some((f64::from(kibibytes) * 1.024).round() / 1000.0)
}
