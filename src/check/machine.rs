//! What the worker wants of this machine.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;

use super::{Config, Line};

pub(super) async fn check(config: &Config) -> Vec<Line> {
    vec![listen(config.listen).await, logs(&config.log_folder)]
}

async fn listen(listen: Option<SocketAddr>) -> Line {
    const CHECK: &str = "API_LISTEN";
    let Some(listen) = listen else { return Line::ok(CHECK, "off") };
    match TcpListener::bind(listen).await {
        Ok(_) => Line::ok(CHECK, format!("{listen} is free")),
        Err(error) => Line::warn(
            CHECK,
            format!("{listen}: {error}"),
            "if no worker of yours is running there, set another address, or off: the worker runs without",
        ),
    }
}

fn logs(folder: &Path) -> Line {
    const CHECK: &str = "LOG_DIR";
    match written(folder, 0) {
        Ok(()) => Line::ok(CHECK, format!("{} can be written", folder.display())),
        Err(error) => Line::warn(
            CHECK,
            format!("{}: {error}", folder.display()),
            "set a folder that the worker may write: without, there is no error.log",
        ),
    }
}

/// Writes a file of so many bytes into `folder`, of which nothing stays.
pub(super) fn written(folder: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![1; bytes])?;
    file.sync_data()
}
