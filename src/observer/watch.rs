//! The watchdog: whoever is asked and does not answer is named after some seconds, without an error from anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::board::{Board, Cause, State};
use crate::chain::{EventOrder, SeqNo, Timestamp, Version};
use crate::state::now;
use crate::subject::{Counter, Page, Subject, SubjectError};

/// Longer than any answer takes that is on its way.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// The questions to one of the others that wait for an answer.
#[derive(Default)]
pub(super) struct Asked {
    since: BTreeMap<u64, Instant>,
    questions: u64,
    answered: Option<Instant>,
}

impl Asked {
    pub fn ask(&mut self) -> u64 {
        self.questions += 1;
        self.since.insert(self.questions, Instant::now());
        self.questions
    }

    pub fn answer(&mut self, question: u64) {
        self.since.remove(&question);
        self.answered = Some(Instant::now());
    }

    /// For how long there has been no answer at all, while one was waited for; `None` if that is nothing to speak of.
    pub fn silent(&self) -> Option<Duration> {
        let oldest = self.since.values().min()?;
        let silent = self.answered.map_or(*oldest, |answered| answered.max(*oldest)).elapsed();
        (silent >= SILENCE).then_some(silent)
    }
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// A node, for the observer of this index.
    Node(usize),
    Database,
}

/// A question on the board, until it is dropped.
pub(super) struct Asking {
    board: Arc<Board>,
    whom: Whom,
    question: u64,
}

impl Asking {
    pub fn of(board: &Arc<Board>, whom: Whom) -> Self {
        Self { board: Arc::clone(board), whom, question: board.ask(whom) }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.board.answer(self.whom, self.question);
    }
}

/// A source whose questions stand on the board.
pub(super) struct Watched<S> {
    subject: S,
    index: usize,
    board: Arc<Board>,
}

impl<S> Watched<S> {
    pub fn new(subject: S, index: usize, board: &Arc<Board>) -> Self {
        Self { subject, index, board: Arc::clone(board) }
    }

    fn asking(&self) -> Asking {
        Asking::of(&self.board, Whom::Node(self.index))
    }
}

impl<S: Subject> Subject for Watched<S> {
    fn reads_ahead(&self) -> bool {
        self.subject.reads_ahead()
    }

    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        let _asking = self.asking();
        self.subject.page(from).await
    }

    async fn archived_page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        let _asking = self.asking();
        self.subject.archived_page(from).await
    }

    async fn order(&self, version: Version) -> Result<Option<EventOrder>, SubjectError> {
        let _asking = self.asking();
        self.subject.order(version).await
    }

    async fn times(&self, versions: &BTreeSet<Version>) -> Result<BTreeMap<Version, Timestamp>, SubjectError> {
        let _asking = self.asking();
        self.subject.times(versions).await
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        let _asking = self.asking();
        self.subject.counter().await
    }

    /// Waits before it asks: how long an answer takes then, only the source knows.
    async fn next_counter(&self, interval: Duration) -> Result<Counter, SubjectError> {
        self.subject.next_counter(interval).await
    }
}

impl Board {
    /// Names whoever does not answer. What does not get an answer from a database that answers others is locked out.
    pub(super) fn watch(&self, database_answers: bool) {
        let observers = self.lanes().len();
        for index in 0..observers {
            let Some(silent) = self.silent(Whom::Node(index)) else { continue };
            let state = self.lanes()[index].shown.state;
            match state {
                State::Starting | State::CatchingUp | State::Following => {
                    let detail = format!("the node has given no answer for {} s", silent.as_secs());
                    self.waits(index, Cause::NodeUnreachable, &detail);
                    self.lanes()[index].shown.since = before(silent);
                }
                // It has its cause.
                State::Waiting | State::Stopped | State::Ended => {}
            }
        }
        if let Some(silent) = self.silent(Whom::Database) {
            self.database_is_silent(silent, database_answers);
        }
    }

    /// For how long the node of that observer has been away.
    pub(super) fn away(&self, index: usize) -> Option<Duration> {
        self.lanes()[index].away.map(|since| since.elapsed())
    }

    /// It is there again.
    pub(super) fn back(&self, index: usize) {
        self.lanes()[index].away = None;
    }

    pub(super) fn database_is_silent(&self, silent: Duration, answers: bool) {
        let seconds = silent.as_secs();
        if answers {
            let detail = format!("a write has had no answer for {seconds} s, reads have: another process holds a lock");
            self.database_waits_since(Cause::DatabaseLocked, &detail, before(silent));
        } else {
            let detail = format!("no answer for {seconds} s: check the database server and the network");
            self.database_waits_since(Cause::DatabaseUnreachable, &detail, before(silent));
        }
    }
}

/// So long ago.
fn before(span: Duration) -> Timestamp {
    let micros = u128::from(now().micros().unsigned_abs()).saturating_sub(span.as_micros());
    Timestamp::from_micros(micros).unwrap_or_else(now)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::market::{Market, Markets};

    fn board() -> Arc<Board> {
        Arc::new(Board::new(&Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap()))
    }

    fn standing(board: &Board, index: usize) -> (State, Option<Cause>) {
        let snapshot = &board.snapshots()[index];
        (snapshot.state, snapshot.cause)
    }

    const LESS: Duration = Duration::from_secs(4);

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_answer_is_named_until_it_does() {
        let board = board();
        board.reads(1, None);
        let asking = Asking::of(&board, Whom::Node(1));
        advance(LESS).await;
        board.watch(true);
        assert_eq!(standing(&board, 1), (State::CatchingUp, None));
        advance(LESS).await;
        board.watch(true);
        assert_eq!(standing(&board, 1), (State::Waiting, Some(Cause::NodeUnreachable)));
        assert_eq!(standing(&board, 0), (State::Starting, None), "others are not meant");
        let told = board.snapshots()[1].clone();
        assert!(told.last_error.unwrap().contains("no answer"));
        assert!(crate::state::now().micros() - told.since.micros() >= 8_000_000, "since it was asked");
        drop(asking);
        board.reads(1, None);
        board.watch(true);
        assert_eq!(standing(&board, 1), (State::CatchingUp, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_answers_one_of_several_questions_is_not_silent() {
        let board = board();
        let (first, _other) = (Asking::of(&board, Whom::Node(0)), Asking::of(&board, Whom::Node(0)));
        advance(LESS).await;
        drop(first);
        advance(LESS).await;
        board.watch(true);
        assert_eq!(standing(&board, 0), (State::Starting, None));
        advance(LESS).await;
        board.watch(true);
        assert_eq!(standing(&board, 0), (State::Waiting, Some(Cause::NodeUnreachable)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_without_an_answer_is_locked_out_or_the_database_is_away() {
        let board = board();
        board.stopped(2, Cause::Gap, "gap");
        let asking = Asking::of(&board, Whom::Database);
        advance(LESS).await;
        board.watch(true);
        assert_eq!(standing(&board, 0), (State::Starting, None));
        advance(LESS).await;
        board.watch(true);
        assert_eq!(standing(&board, 0), (State::Waiting, Some(Cause::DatabaseLocked)));
        board.watch(false);
        assert_eq!(standing(&board, 0), (State::Waiting, Some(Cause::DatabaseUnreachable)));
        assert_eq!(standing(&board, 2), (State::Stopped, Some(Cause::Gap)), "what has stopped has its own cause");
        drop(asking);
        board.database_works();
        board.watch(true);
        assert_eq!(standing(&board, 0), (State::Starting, None));
    }
}
