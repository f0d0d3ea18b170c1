//! The simulated node, in a process of its own, so that it is neither measured nor counted as the worker's memory.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::program::{PROGRAM, peak_of};

/// A node that serves until dropped.
pub struct Node {
    process: Child,
    /// Its REST address.
    pub url: String,
}

impl Node {
    /// Starts a node with these arguments of `simulate`, and waits until it answers.
    pub fn start(arguments: &[(&str, &dyn Display)], folder: &Path) -> Result<Self> {
        let arguments = arguments.iter().flat_map(|(flag, value)| [(*flag).to_owned(), value.to_string()]);
        let mut process = Command::new(PROGRAM)
            .args(["simulate", "--listen", "127.0.0.1:0"])
            .args(arguments)
            // Nobody's settings, and no `.env`.
            .env_clear()
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the simulated node cannot be started")?;
        let stdout = process.stdout.take();
        let mut node = Self { process, url: String::new() };
        let mut line = String::new();
        BufReader::new(stdout.context("no stdout")?).read_line(&mut line)?;
        let told = line.split(' ').find(|word| word.starts_with("http://"));
        let told = told.with_context(|| format!("the simulated node does not say where it is: {line:?}"))?;
        told.trim_end_matches(',').clone_into(&mut node.url);
        Ok(node)
    }

    /// The most memory that it has had so far, in MB.
    pub fn peak_mb(&self) -> Option<f64> {
        peak_of(self.process.id())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
