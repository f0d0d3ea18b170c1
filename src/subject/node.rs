//! The nodes of `NODE_URL`: which one is asked, how fast, and what its answers mean.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, redirect};
use url::{Host, Url};

use super::answer::{Answer, Failed, Failure};
use super::{Ledger, SubjectError};

/// More than any page: 100 events of a whole transaction's size.
const MAX_BODY: usize = 32 << 20;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a node that failed stands behind the others.
const REST: Duration = Duration::from_secs(5);

/// Which nodes to ask, in order of preference.
#[derive(Debug, Clone)]
pub struct Config {
    /// The nodes, each with its key. Not empty.
    pub nodes: Vec<(NodeUrl, Option<String>)>,
    /// Asked, without a key, for history that the nodes have no more.
    pub archive: Option<NodeUrl>,
}

/// A node's REST address, up to and including `/v1`. Displaying it hides a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeUrl(Url);

/// The nodes, shared by all observers: a pause that one is asked for holds for all.
pub struct Nodes {
    client: Client,
    pub(super) nodes: Vec<Node>,
    archive: Option<NodeUrl>,
    newest_version: AtomicU64,
    /// What to do about a refusal, where it is not a node's.
    remedy: Option<&'static str>,
}

/// What a node is asked: a path with its query, and a JSON body if it is a POST.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub path: &'a str,
    pub body: Option<&'a str>,
}

impl<'a> Question<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { path, body: None }
    }

    pub fn post(path: &'a str, body: &'a str) -> Self {
        Self { path, body: Some(body) }
    }
}

pub(super) struct Node {
    pub(super) url: NodeUrl,
    authorization: Option<HeaderValue>,
    health: Mutex<Health>,
    pub(super) requests: AtomicU64,
    pub(super) throttled: AtomicU64,
}

#[derive(Default)]
struct Health {
    /// Throttled: nobody asks before.
    paused_until: Option<Instant>,
    throttled_in_a_row: u32,
    /// Failed: others are preferred before.
    resting_until: Option<Instant>,
}

impl Nodes {
    /// A client for these nodes. Nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, String> {
        // The crate has two providers to offer or none: the choice is made here, once. A second time is no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .user_agent(concat!("event-worker/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            // A redirected request would take the key elsewhere.
            .redirect(redirect::Policy::none())
            .tcp_nodelay(true);
        if config.nodes.iter().all(|(url, _)| url.is_local()) {
            // A proxy of the environment cannot reach this machine's own addresses.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        let mut nodes = Vec::with_capacity(config.nodes.len());
        for (url, key) in config.nodes {
            let authorization = key.map(|key| HeaderValue::from_str(&format!("Bearer {key}"))).transpose();
            let mut authorization =
                authorization.map_err(|_| "NODE_API_KEY holds characters that no header can carry".to_owned())?;
            if let Some(value) = &mut authorization {
                value.set_sensitive(true);
            }
            let (requests, throttled) = (AtomicU64::new(0), AtomicU64::new(0));
            nodes.push(Node { url, authorization, health: Mutex::default(), requests, throttled });
        }
        Ok(Self { client, nodes, archive: config.archive, newest_version: AtomicU64::new(0), remedy: None })
    }

    /// The same, but every refusal has this remedy: what is asked is not a node.
    pub(super) fn with_remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// Asks the first node that is well, then the others, and reads the answer with `read`.
    pub(super) async fn ask<T>(
        &self,
        question: Question<'_>,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let (mut passing, mut lasting) = (None, None);
        for node in self.by_preference() {
            if let Some(pause) = node.paused() {
                let message = format!("{} asked for fewer requests", node.url);
                passing.get_or_insert(SubjectError::Throttled { message, pause });
                continue;
            }
            match self.ask_one(node, question, &read).await {
                Ok(answered) => return Ok(answered),
                Err(
                    error @ (SubjectError::Unreachable(_)
                    | SubjectError::ArchiveUnreachable(_)
                    | SubjectError::Throttled { .. }),
                ) => passing = Some(error),
                Err(
                    error @ (SubjectError::Pruned(_)
                    | SubjectError::Missing { .. }
                    | SubjectError::TooLong(_)
                    | SubjectError::Refused(_)),
                ) => lasting = lasting.or(Some(error)),
            }
        }
        // While one of them may still come back, nothing is final.
        let nobody = || SubjectError::Refused("NODE_URL names no node".to_owned());
        Err(passing.or(lasting).unwrap_or_else(nobody))
    }

    /// The nodes, for a message about all of them.
    pub(super) fn names(&self) -> String {
        self.nodes.iter().map(|node| node.url.to_string()).collect::<Vec<_>>().join(", ")
    }

    fn by_preference(&self) -> Vec<&Node> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_key(|node| node.is_resting());
        nodes
    }

    async fn ask_one<T>(
        &self,
        node: &Node,
        question: Question<'_>,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        // Answers may overtake one another: only what was known when this one was asked for can be held against it.
        let known = self.newest_version.load(Ordering::Relaxed);
        node.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.request(&node.url, question, node.authorization.as_ref()).await;
        let answer = answer.inspect_err(|error| {
            if matches!(error, SubjectError::Unreachable(_)) {
                node.rest();
            }
        })?;
        let Some(failed) = answer.failure() else {
            node.well();
            return self.accept(&node.url, &answer, known, &read).inspect_err(|_| node.rest());
        };
        let message = self.said(&node.url, &failed);
        match failed.failure {
            Failure::Throttled(asked) => {
                node.throttled.fetch_add(1, Ordering::Relaxed);
                Err(SubjectError::Throttled { message, pause: node.pause(asked) })
            }
            Failure::Unreachable => {
                node.rest();
                Err(SubjectError::Unreachable(message))
            }
            Failure::Missing => {
                node.well();
                Err(SubjectError::Missing { message, ledger: self.compared(answer.ledger(), known) })
            }
            Failure::Refused => Err(SubjectError::Refused(message)),
            Failure::Pruned(told) => self.ask_archive(&node.url, told, question, &message, read).await,
        }
    }

    /// Asks `NODE_ARCHIVE_URL`, for history that the nodes do not admit to have lost.
    pub(super) async fn ask_archived<T>(
        &self,
        question: Question<'_>,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        match &self.archive {
            None => Err(SubjectError::Pruned("no archive is set, and the nodes no longer have it".to_owned())),
            Some(archive) => self.read_archive(archive, question, "history is pruned", read).await,
        }
    }

    /// History that a node has no more: `NODE_ARCHIVE_URL`, else where its answer says, once and without a key.
    async fn ask_archive<T>(
        &self,
        node: &NodeUrl,
        told: Option<String>,
        question: Question<'_>,
        pruned: &str,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let told =
            told.and_then(|told| told.parse::<NodeUrl>().ok()).filter(|told| told.is_secure() || !node.is_secure());
        let Some(archive) = self.archive.clone().or(told) else {
            return Err(SubjectError::Pruned(pruned.to_owned()));
        };
        self.read_archive(&archive, question, pruned, read).await
    }

    async fn read_archive<T>(
        &self,
        archive: &NodeUrl,
        question: Question<'_>,
        pruned: &str,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let answer = self.request(archive, question, None).await.map_err(|error| match error {
            SubjectError::Unreachable(message) => {
                SubjectError::ArchiveUnreachable(format!("{pruned}; the archive {message}"))
            }
            other => other,
        })?;
        let Some(failed) = answer.failure() else { return self.accept(archive, &answer, 0, &read) };
        let message = format!("{pruned}; the archive {}", self.said(archive, &failed));
        Err(match failed.failure {
            Failure::Throttled(asked) => SubjectError::Throttled { message, pause: asked.unwrap_or(FIRST_PAUSE) },
            Failure::Unreachable => SubjectError::ArchiveUnreachable(message),
            Failure::Missing => SubjectError::Missing { message, ledger: answer.ledger() },
            Failure::Pruned(_) | Failure::Refused => SubjectError::Pruned(message),
        })
    }

    fn said(&self, url: &NodeUrl, failed: &Failed) -> String {
        let remedy = if failed.remedy.is_empty() { "" } else { self.remedy.unwrap_or(failed.remedy) };
        format!("{url} {}{remedy}", failed.said)
    }

    fn accept<T>(
        &self,
        url: &NodeUrl,
        answer: &Answer,
        known: u64,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let value = read(answer).map_err(|error| SubjectError::Unreachable(format!("{url} {error}")))?;
        Ok((value, self.compared(answer.ledger(), known)))
    }

    /// Whether this ledger is older than one that had been seen before.
    fn compared(&self, mut ledger: Ledger, known: u64) -> Ledger {
        if let Some(version) = ledger.version {
            ledger.behind = version.get() < known;
            self.newest_version.fetch_max(version.get(), Ordering::Relaxed);
        }
        ledger
    }

    async fn request(
        &self,
        url: &NodeUrl,
        question: Question<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, SubjectError> {
        let address = format!("{}{}", url.address(), question.path);
        let mut request = match question.body {
            None => self.client.get(address),
            Some(body) => self.client.post(address).header(CONTENT_TYPE, "application/json").body(body.to_owned()),
        };
        request = request.header(ACCEPT, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let failed = |error| SubjectError::Unreachable(format!("{url}: {}", cause(&error)));
        let broke_off = |error| SubjectError::Unreachable(format!("{url}: the answer broke off: {}", cause(&error)));
        let mut response = request.send().await.map_err(failed)?;
        let mut body = Vec::with_capacity(64 << 10);
        while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
            if body.len() + chunk.len() > MAX_BODY {
                let message = format!("{url}: the answer is longer than {} MiB", MAX_BODY >> 20);
                return Err(SubjectError::TooLong(message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
    }
}

impl Node {
    fn with_health<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn well(&self) {
        self.with_health(|health| *health = Health { paused_until: health.paused_until, ..Health::default() });
    }

    fn rest(&self) {
        self.with_health(|health| health.resting_until = Some(Instant::now() + REST));
    }

    fn is_resting(&self) -> bool {
        self.with_health(|health| health.resting_until.is_some_and(|until| until > Instant::now()))
    }

    fn paused(&self) -> Option<Duration> {
        self.with_health(|health| {
            health
                .paused_until
                .map(|until| until.saturating_duration_since(Instant::now()))
                .filter(|left| !left.is_zero())
        })
    }

    /// Pauses this node for everybody, for as long as it asks, or 1 s and then twice as long each time in a row.
    fn pause(&self, asked: Option<Duration>) -> Duration {
        self.with_health(|health| {
            // Requests under way at once are answered at once: they count as one.
            if let Some(left) = health
                .paused_until
                .map(|until| until.saturating_duration_since(Instant::now()))
                .filter(|left| !left.is_zero())
            {
                return left;
            }
            let doubled = FIRST_PAUSE.saturating_mul(1 << health.throttled_in_a_row.min(5)).min(LONGEST_PAUSE);
            let pause = asked.unwrap_or(doubled);
            health.throttled_in_a_row += 1;
            health.paused_until = Some(Instant::now() + pause);
            pause
        })
    }
}

impl NodeUrl {
    fn address(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    fn is_local(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for NodeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a node's REST address, like https://fullnode.testnet.aptoslabs.com/v1";
        let url = Url::parse(text.trim()).map_err(|error| format!("{error}; {EXPECTED}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(EXPECTED.to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("a query or fragment does not belong here; {EXPECTED} (a key goes into NODE_API_KEY)"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        if url.password().is_some() {
            let _ = url.set_password(Some("***"));
        }
        f.write_str(url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An HTTP error without its URL, which may hold a password, down to what really happened.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
