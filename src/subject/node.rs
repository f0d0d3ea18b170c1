//! One node: its address and key, whether it is well, and how it is asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::time::Instant;

use super::answer::Answer;
use super::pace::Gate;
use super::{NodeUrl, SubjectError};

/// More than most pages: 100 events are some 100 KB. Counted as it is after decompression.
const MAX_BODY: usize = 32 << 20;
/// How long a node that failed stands behind the others; twice as long each time in a row.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_mins(1);

/// What a node is asked: a path with its query, and a JSON body if it is a POST.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub path: &'a str,
    pub body: Option<&'a str>,
    /// Whether the answer is short, as those about a version are.
    pub is_small: bool,
}

impl<'a> Question<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { path, body: None, is_small: false }
    }

    pub fn small(path: &'a str) -> Self {
        Self { is_small: true, ..Self::get(path) }
    }

    pub fn post(path: &'a str, body: &'a str) -> Self {
        Self { body: Some(body), ..Self::get(path) }
    }
}

/// Connections grow with what they have carried: those of many short answers are kept apart from those of few pages.
pub(super) struct Clients {
    pub large: Client,
    pub small: Client,
}

pub(super) struct Node {
    pub url: NodeUrl,
    pub gate: Gate,
    /// Requests so far, and how many of them were too many.
    pub requests: AtomicU64,
    pub throttled: AtomicU64,
    /// The first version that it still has, as it has told last; 0 before.
    pub oldest_version: AtomicU64,
    authorization: Option<HeaderValue>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    /// Others are preferred before.
    resting_until: Option<Instant>,
    failed_in_a_row: u32,
    /// Whether it has ever answered as a node does: then its address is right.
    has_answered: bool,
    /// Whether it has been said that it is of another chain.
    is_told: bool,
}

impl Node {
    pub fn new(url: NodeUrl, authorization: Option<HeaderValue>) -> Self {
        let (requests, throttled, oldest_version) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self {
            url,
            gate: Gate::default(),
            requests,
            throttled,
            oldest_version,
            authorization,
            health: Mutex::default(),
        }
    }

    /// Sends one request and reads the whole answer, whatever it is; neither longer nor slower than it may be.
    pub async fn request(&self, clients: &Clients, question: Question<'_>) -> Result<Answer, SubjectError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let url = &self.url;
        let address = format!("{}{}", url.address(), question.path);
        let client = if question.is_small { &clients.small } else { &clients.large };
        let mut request = match question.body {
            None => client.get(address),
            Some(body) => client.post(address).header(CONTENT_TYPE, "application/json").body(body.to_owned()),
        };
        request = request.header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let failed = |error| SubjectError::Unreachable(format!("{url}: {}", cause(&error)));
        let broke_off = |error| SubjectError::Unreachable(format!("{url}: the answer broke off: {}", cause(&error)));
        let mut response = request.send().await.map_err(failed)?;
        // Of which many may be on their way; what is compressed does not tell its length.
        let length = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = Vec::with_capacity(length.unwrap_or_default().min(64 << 10));
        while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
            if body.len() + chunk.len() > MAX_BODY {
                let message = format!("{url}: the answer is longer than {} MiB", MAX_BODY >> 20);
                return Err(SubjectError::TooLong(message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
    }

    /// It answered as a node does.
    pub fn is_well(&self) {
        self.with_health(|health| {
            *health = Health { has_answered: true, is_told: health.is_told, ..Health::default() };
        });
    }

    /// It did not, or not with what others know: they come first for a while.
    pub fn rest(&self) {
        self.with_health(|health| {
            let rest = FIRST_REST.saturating_mul(1 << health.failed_in_a_row.min(5)).min(LONGEST_REST);
            health.failed_in_a_row += 1;
            health.resting_until = Some(Instant::now() + rest);
        });
    }

    pub fn is_resting(&self) -> bool {
        self.with_health(|health| health.resting_until.is_some_and(|until| until > Instant::now()))
    }

    /// It is about to be asked. After a failure one request finds out whether it is well again; the others need not hang, too.
    pub fn is_tried(&self) {
        self.with_health(|health| {
            if health.failed_in_a_row > 0 {
                health.resting_until = health.resting_until.max(Some(Instant::now() + FIRST_REST));
            }
        });
    }

    pub fn has_answered(&self) -> bool {
        self.with_health(|health| health.has_answered)
    }

    /// Whether it is the first time that this is asked: what it says of itself is told once.
    pub fn is_to_be_told(&self) -> bool {
        self.with_health(|health| !std::mem::replace(&mut health.is_told, true))
    }

    fn with_health<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An HTTP error without its URL, which may hold a password, down to what really happened.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_fails_rests_longer_each_time_and_one_request_tries_it() {
        let node = Node::new("http://127.0.0.1:1/v1".parse().unwrap(), None);
        node.is_tried();
        assert!(!node.is_resting(), "a well one is asked by all at once");
        for rest in [5, 10, 20, 40, 60, 60] {
            node.rest();
            tokio::time::advance(Duration::from_secs(rest - 1)).await;
            assert!(node.is_resting());
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!node.is_resting());
            node.is_tried();
            assert!(node.is_resting(), "for everybody else");
        }
        node.is_well();
        assert!(!node.is_resting());
        node.rest();
        tokio::time::advance(FIRST_REST).await;
        assert!(!node.is_resting());
    }
}
