//! What the benchmarks share: databases, the machine, the simulated node and the program as processes of their own.

#![allow(dead_code, reason = "each benchmark needs another part")]

pub mod database;
pub mod machine;
pub mod node;
pub mod program;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use database::Server;

/// Becomes the script that starts MariaDB, with these options if the user has no others, and PostgreSQL, and runs this
/// program again.
pub fn start_again_with_databases(mariadb_options: &str) -> Result<()> {
    const OPTIONS: &str = "MARIADB_OPTIONS";
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/databases");
    let variables: Vec<_> = [Server::MariaDb, Server::Postgres].into_iter().filter_map(Server::variable).collect();
    let error = Command::new(&script)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(OPTIONS, std::env::var_os(OPTIONS).unwrap_or_else(|| mariadb_options.into()))
        .exec();
    Err(error).with_context(|| {
        let script = script.display();
        format!("{script} cannot be run; set {} to servers of your own", variables.join(" and "))
    })
}
