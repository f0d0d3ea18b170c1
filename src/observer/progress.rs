//! Catching up, for people: a bar per observer on a terminal, a line in the log now and then elsewhere.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Snapshot, State, Work};
use super::speed::Speed;
use crate::telemetry::bars::{Bar, Bars};

/// How often bars are drawn.
const FRAME: Duration = Duration::from_millis(250);
/// How often a line is logged.
const LINE: Duration = Duration::from_secs(5);

/// Shows until `stop`.
pub(super) async fn run(board: Arc<Board>, stop: CancellationToken) {
    let seen = Bars::are_seen();
    let mut ticks = interval(if seen { FRAME } else { LINE });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut speed, mut bars) = (Speed::default(), Bars::default());
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let observers: Vec<_> = board.snapshots().into_iter().map(|one| (speed.observe(&one), one)).collect();
        let work = board.work();
        let is_behind = |one: &Snapshot| one.next < one.counter.unwrap_or_default();
        let behind: Vec<_> =
            observers.iter().filter(|(_, one)| is_behind(one) && one.state != State::Following).collect();
        if !behind.iter().any(|(_, one)| one.state == State::CatchingUp) && !seen {
            continue;
        }
        if seen {
            let shown: Vec<_> = behind.iter().map(|(rate, one)| bar(*rate, one)).collect();
            if shown.is_empty() { bars.clear() } else { bars.show(&shown, &worded(work)) }
        } else {
            tracing::info!("{}", line(&observers, work));
        }
    }
}

fn bar(rate: f64, one: &Snapshot) -> Bar {
    let expected = one.counter.unwrap_or_default();
    let note = match (one.state, one.cause) {
        (State::Waiting | State::Stopped, Some(cause)) => format!("{}: {cause}", one.state.name()),
        _ => pace(rate, one.next.until(expected)),
    };
    Bar { name: one.observer.to_string(), done: one.next.get(), expected: expected.get(), note }
}

/// `1234 a second, 5s left`.
fn pace(rate: f64, left: u64) -> String {
    if rate < 1.0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown in whole seconds")]
    let left = Duration::from_secs_f64((left as f64 / rate).ceil());
    format!("{rate:.0} a second, {} left", humantime::format_duration(left))
}

fn worded(work: Work) -> String {
    let mut text = format!("{} events a commit", work.last_commit);
    if let Some(waits) = work.waits_for {
        let _ = write!(text, ", waiting for the {}", waits.name());
    }
    text
}

/// The same in one line: all together, and where those stand that are behind.
fn line(observers: &[(f64, Snapshot)], work: Work) -> String {
    let executed: u64 = observers.iter().map(|(_, one)| one.next.get()).sum();
    let known: u64 = observers.iter().map(|(_, one)| one.counter.unwrap_or(one.next).max(one.next).get()).sum();
    let rate: f64 = observers.iter().map(|(rate, _)| rate).sum();
    let mut text = format!("catching up: {executed}/{known} events");
    let pace = pace(rate, known - executed);
    if !pace.is_empty() {
        let _ = write!(text, ", {pace}");
    }
    let _ = write!(text, ", {};", worded(work));
    for (_, one) in observers.iter().filter(|(_, one)| one.next < one.counter.unwrap_or_default()) {
        let _ = write!(text, " {} {}/{}", one.observer, one.next, one.counter.unwrap_or_default());
        if let (State::Waiting | State::Stopped, Some(cause)) = (one.state, one.cause) {
            let _ = write!(text, " ({}: {cause})", one.state.name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::board::{Cause, Waits};
    use super::*;
    use crate::chain::{SeqNo, Timestamp};

    fn snapshot(observer: &str, next: u64, counter: u64, state: State, cause: Option<Cause>) -> Snapshot {
        Snapshot {
            observer: observer.into(),
            state,
            cause,
            last_error: None,
            next: SeqNo::new(next).unwrap(),
            counter: SeqNo::new(counter),
            lag_seconds: None,
            since: Timestamp::from_micros(0).unwrap(),
            elsewhere: false,
        }
    }

    #[test]
    fn a_line_tells_all_of_it_and_who_is_behind() {
        let observers = [
            (900.0, snapshot("m:list", 1_000, 10_000, State::CatchingUp, None)),
            (100.0, snapshot("m:buy", 500, 2_500, State::Waiting, Some(Cause::Throttled))),
            (0.0, snapshot("m:delist", 70, 70, State::Following, Some(Cause::CaughtUp))),
        ];
        let work = Work { last_commit: 1024, waits_for: Some(Waits::Database) };
        assert_eq!(
            line(&observers, work),
            "catching up: 1570/12570 events, 1000 a second, 11s left, 1024 events a commit, waiting for the database; \
             m:list 1000/10000 m:buy 500/2500 (waiting: throttled)"
        );
    }

    #[test]
    fn a_bar_tells_pace_or_cause() {
        let listed = bar(250.0, &snapshot("m:list", 500, 1_500, State::CatchingUp, None));
        assert_eq!((listed.done, listed.expected, &*listed.note), (500, 1_500, "250 a second, 4s left"));
        let stopped = bar(0.0, &snapshot("m:buy", 5, 9, State::Stopped, Some(Cause::Gap)));
        assert_eq!(stopped.note, "stopped: gap");
    }
}
