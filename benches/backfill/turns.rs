//! The worker and something to compare it with, measured in turns, so that a machine that is busy with other things for a
//! while slows down both.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::cases::{Case, Figures, rounded};

/// What is compared.
pub struct Turns {
    case: &'static str,
    /// The name of the other's events per second.
    other: &'static str,
    reps: u32,
    /// Events per second of the worker and of the other.
    runs: Vec<(f64, f64)>,
}

impl Turns {
    /// So many turns to come.
    pub fn new(case: &Case, other: &'static str, reps: u32) -> Self {
        Self { case: case.name, other, reps, runs: vec![] }
    }

    /// One turn: how long each took for so many events.
    pub fn push(&mut self, (events, ours): (u32, Duration), (others, other): (u32, Duration)) {
        let run = (per_second(events, ours), per_second(others, other));
        self.runs.push(run);
        eprintln!(
            "{}: run {} of {}: {:.0} events/s, {} {:.0}",
            self.case,
            self.runs.len(),
            self.reps,
            run.0,
            self.other,
            run.1
        );
    }

    /// The other's events per second.
    pub fn others_median(&self) -> f64 {
        median(self.runs.iter().map(|run| run.1))
    }

    /// Adds both medians, how many times faster the worker is, and every run.
    pub fn tell(self, figures: Figures, ratio: &'static str) -> Figures {
        let (ours, other) = (median(self.runs.iter().map(|run| run.0)), median(self.runs.iter().map(|run| run.1)));
        let runs = self.runs.iter().map(|(ours, other)| {
            let run = [("events_per_s", *ours), (self.other, *other)];
            Value::Object(
                run.map(|(name, value)| (name.to_owned(), rounded(value, 0).into())).into_iter().collect::<Map<_, _>>(),
            )
        });
        figures
            .with_number("events_per_s", ours, 0)
            .with_number(self.other, other, 0)
            .with_number(ratio, ours / other, 3)
            .with("runs", runs.collect::<Value>())
    }
}

/// Events per second.
pub fn per_second(events: u32, time: Duration) -> f64 {
    f64::from(events) / time.as_secs_f64()
}

/// The one in the middle, or between the two there; not a number if there are none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count => f64::midpoint(figures[(count - 1) / 2], figures[count / 2]),
    }
}
