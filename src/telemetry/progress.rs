//! How far long work is: a bar on a terminal, a line now and then elsewhere. Always on stderr, as stdout is the answer's.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// Shows steps done of steps expected, how fast, and how long the rest will take.
pub struct Progress {
    unit: &'static str,
    started: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Progress {
    /// For steps that are called `unit`.
    #[must_use]
    pub fn new(unit: &'static str) -> Self {
        let shown = if std::io::stderr().is_terminal() { Shown::Bar(bar(unit)) } else { Shown::Lines { last: None } };
        Self { unit, started: Instant::now(), shown }
    }

    /// As things stand now; `note` is what else is to be said.
    pub fn show(&mut self, done: u64, expected: u64, note: &str) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_length(expected);
                bar.set_position(done);
                bar.set_message(note.to_owned());
            }
            Shown::Lines { last } if last.is_none_or(|last| last.elapsed() >= LINE) => {
                *last = Some(Instant::now());
                eprintln!("{}", line(done, expected, self.unit, self.started.elapsed(), note));
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Takes the bar away.
    pub fn end(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{speed}}, {{eta}} left  {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        let speed = |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.0} a second", state.per_sec());
        };
        bar.set_style(style.with_key("speed", speed));
    }
    bar
}

fn line(done: u64, expected: u64, unit: &str, elapsed: Duration, note: &str) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown without decimals")]
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = format!("{done}/{expected} {unit}");
    if done > 0 && elapsed >= Duration::from_secs(1) {
        #[expect(clippy::cast_precision_loss, reason = "shown in whole seconds")]
        let left = Duration::from_secs_f64(expected.saturating_sub(done) as f64 / rate);
        let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
        let _ = write!(line, ", {rate:.0} a second, {left} left");
    }
    if !note.is_empty() {
        let _ = write!(line, "  {note}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_rest_once_they_are_known() {
        assert_eq!(line(0, 10, "steps", Duration::ZERO, ""), "0/10 steps");
        let text = line(50, 250, "steps", Duration::from_secs(10), "12 tokens");
        assert_eq!(text, "50/250 steps, 5 a second, 40s left  12 tokens");
        assert_eq!(line(7, 0, "steps", Duration::from_secs(7), ""), "7/0 steps, 1 a second, 0s left");
    }
}
