//! The nodes of `NODE_URL` and the archive: which one is asked, and what its answer means.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, redirect};

use super::answer::{Answer, Failed, Failure};
use super::blocks::Blocks;
use super::node::{Clients, Node, Question};
use super::turns::Turns;
use super::{Ledger, NodeUrl, SubjectError};
use crate::chain::{ChainId, LOCAL_CHAIN, Version};

/// How often nodes are asked again, one by one, that have not come as far as what is asked for.
const LAGGING: u32 = 3;

/// Which nodes to ask, in order of preference.
#[derive(Debug, Clone)]
pub struct Config {
    /// The nodes, each with its key. Not empty.
    pub nodes: Vec<(NodeUrl, Option<String>)>,
    /// Asked, without a key, for history that the nodes have no more.
    pub archive: Option<NodeUrl>,
}

/// The nodes, shared by all observers: a pause that one is asked for holds for all.
pub struct Nodes {
    clients: Clients,
    pub(super) nodes: Vec<Node>,
    archive: Option<Arc<Node>>,
    /// The archive that an answer has named last, where none is set.
    named: Mutex<Option<Arc<Node>>>,
    newest_version: AtomicU64,
    /// Of those who ask for the order within a version, all beside the blocks, as each holds up the writer first.
    pub(super) orders: Turns,
    pub(super) blocks: Blocks,
    /// The chain whose answers are taken.
    chain: OnceLock<Chain>,
    /// What to do about a refusal, where it is not a node's.
    remedy: Option<&'static str>,
}

#[derive(Clone, Copy)]
struct Chain {
    id: ChainId,
    /// What is of that chain.
    whose: &'static str,
    /// Whether a local network may stand for it.
    or_local: bool,
}

impl Nodes {
    /// A client for these nodes. Nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, String> {
        // The crate has two providers to offer or none: the choice is made here, once. A second time is no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let are_local = config.nodes.iter().all(|(url, _)| url.is_local());
        let clients = Clients { large: client(are_local, true)?, small: client(are_local, false)? };
        let mut nodes = Vec::with_capacity(config.nodes.len());
        for (url, key) in config.nodes {
            let authorization = key.map(|key| HeaderValue::from_str(&format!("Bearer {key}"))).transpose();
            let mut authorization =
                authorization.map_err(|_| "NODE_API_KEY holds characters that no header can carry".to_owned())?;
            if let Some(value) = &mut authorization {
                value.set_sensitive(true);
            }
            nodes.push(Node::new(url, authorization));
        }
        Ok(Self {
            clients,
            nodes,
            archive: config.archive.map(|url| Arc::new(Node::new(url, None))),
            named: Mutex::default(),
            newest_version: AtomicU64::new(0),
            orders: Turns::default(),
            blocks: Blocks::default(),
            chain: OnceLock::new(),
            remedy: None,
        })
    }

    /// The same, but every refusal has this remedy: what is asked is not a node.
    pub(super) fn with_remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// Takes answers of `chain` only, of which the database's rows are. Otherwise the first answer decides which chain it is.
    pub fn expect_chain(&self, chain: ChainId) {
        let _ = self.chain.set(Chain { id: chain, whose: "the database's rows are", or_local: false });
    }

    /// Takes answers of `chain` only, on which a market's contract is, or of a local network that has a copy of it.
    pub fn expect_chain_of_market(&self, chain: ChainId) {
        let _ = self.chain.set(Chain { id: chain, whose: "the market (MARKETS) is", or_local: true });
    }

    /// Asks the first node that is well, then the others, and reads the answer with `read`.
    pub(super) async fn ask<T>(
        &self,
        question: Question<'_>,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let (mut passing, mut lasting) = (None::<SubjectError>, None);
        for node in self.by_preference() {
            match self.ask_one(node, question, &read).await {
                Ok(answered) => return Ok(answered),
                // The node that comes back first decides when to ask again.
                Err(error) if error.may_pass() => {
                    passing = passing.into_iter().chain([error]).min_by_key(SubjectError::pause);
                }
                Err(error) => lasting = lasting.or(Some(error)),
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
        nodes.sort_by_cached_key(|node| node.is_resting());
        nodes
    }

    async fn ask_one<T>(
        &self,
        node: &Node,
        question: Question<'_>,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let paused =
            |pause| SubjectError::Throttled { message: format!("{} asked for fewer requests", node.url), pause };
        let pass = node.gate.enter().await.map_err(paused)?;
        node.is_tried();
        // Answers may overtake one another: only what was known when this one was asked for can be held against it.
        let known = self.newest_version.load(Ordering::Relaxed);
        let answer = node.request(&self.clients, question).await.inspect_err(|_| node.rest())?;
        if let Some(oldest) = answer.ledger().oldest_version {
            node.oldest_version.store(oldest.get(), Ordering::Relaxed);
        }
        let failed = answer.failure();
        if let Some((theirs, ours)) = self.other_chain(&answer, is_a_nodes(failed.as_ref())) {
            node.rest();
            let message = format!(
                "{} is of chain {theirs}, {} of chain {}: correct NODE_URL, or give chain {theirs} a database of its own (DATABASE_URL)",
                node.url, ours.whose, ours.id
            );
            // Where it is the only one, the refusal tells.
            if self.nodes.len() > 1 && node.is_to_be_told() {
                tracing::warn!("{message}");
            }
            return Err(SubjectError::Refused(message));
        }
        let Some(failed) = failed else {
            pass.answered();
            return self.accept(node, &answer, known, &read);
        };
        let message = self.said(&node.url, &failed);
        match failed.failure {
            Failure::Throttled(asked) => {
                node.throttled.fetch_add(1, Ordering::Relaxed);
                Err(SubjectError::Throttled { message, pause: pass.throttled(asked) })
            }
            Failure::Unreachable => {
                node.rest();
                Err(SubjectError::Unreachable(message))
            }
            // Its address has been right before: something stands between, and will go.
            Failure::Misplaced if node.has_answered() => {
                node.rest();
                Err(SubjectError::Unreachable(format!("{} {}", node.url, failed.said)))
            }
            Failure::Missing => {
                pass.answered();
                node.is_well();
                Err(SubjectError::Missing { message, ledger: self.compared(answer.ledger(), known) })
            }
            Failure::Refused | Failure::Misplaced => Err(SubjectError::Refused(message)),
            Failure::Pruned(told) => {
                pass.answered();
                match self.archive_for(&node.url, told) {
                    Some(archive) => self.read_archive(&archive, question, &message, read).await,
                    None => Err(SubjectError::Pruned(message)),
                }
            }
        }
    }

    /// Asks `NODE_ARCHIVE_URL`, for history that a node does not admit to have lost; without one, the node that goes back the
    /// furthest.
    pub(super) async fn ask_archived<T>(
        &self,
        question: Question<'_>,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        if let Some(archive) = &self.archive {
            return self.read_archive(archive, question, "history is pruned", read).await;
        }
        let oldest = |node: &&Node| node.oldest_version.load(Ordering::Relaxed);
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_cached_key(oldest);
        let mut passing = None;
        // One alone has said what it has.
        for at in 0..nodes.len().saturating_sub(1) {
            match self.ask_one(nodes[at], question, &read).await {
                // How far back it goes may have been unknown until it answered.
                Ok(answered) if nodes[at + 1..].iter().all(|other| oldest(&nodes[at]) <= oldest(other)) => {
                    return Ok(answered);
                }
                Err(error) if error.may_pass() => passing = passing.or(Some(error)),
                Ok(_) | Err(_) => {}
            }
        }
        // Nothing is lost while one of them may come back.
        if let Some(error) = passing {
            return Err(error);
        }
        Err(SubjectError::Pruned("no archive is set, and the nodes no longer have it".to_owned()))
    }

    /// Asks at `path` for what there must be of `version`, as events of it are known; `None` where nobody has it any more.
    pub(super) async fn ask_about<T>(
        &self,
        version: Version,
        path: &str,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<Option<T>, SubjectError> {
        let question = Question::small(path);
        let mut behind = 0;
        loop {
            return match self.ask(question, &read).await {
                Ok((value, _)) => Ok(Some(value)),
                Err(SubjectError::Pruned(_)) => Ok(None),
                // It has lost it without saying so.
                Err(SubjectError::Missing { ledger, .. }) if ledger.oldest_version > Some(version) => {
                    match self.ask_archived(question, &read).await {
                        Ok((value, _)) => Ok(Some(value)),
                        Err(SubjectError::Pruned(_)) => Ok(None),
                        Err(SubjectError::Missing { ledger, .. }) if ledger.oldest_version > Some(version) => Ok(None),
                        Err(SubjectError::Missing { message, .. }) => Err(SubjectError::ArchiveUnreachable(message)),
                        Err(error) => Err(error),
                    }
                }
                // Behind its address are several, of which that one lags.
                Err(SubjectError::Missing { ledger, .. }) if ledger.version < Some(version) && behind < LAGGING => {
                    behind += 1;
                    continue;
                }
                Err(SubjectError::Missing { message, ledger }) if ledger.version < Some(version) => {
                    Err(SubjectError::Behind(message))
                }
                Err(SubjectError::Missing { message, .. }) => Err(SubjectError::Unreachable(message)),
                Err(error) => Err(error),
            };
        }
    }

    /// Where history is that a node has no more: `NODE_ARCHIVE_URL`, else where its answer says. It is asked once, without a
    /// key, and whoever it names is not.
    fn archive_for(&self, node: &NodeUrl, told: Option<String>) -> Option<Arc<Node>> {
        if let Some(archive) = &self.archive {
            return Some(Arc::clone(archive));
        }
        let told = told?.parse::<NodeUrl>().ok().filter(|told| told.is_secure() || !node.is_secure())?;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let known = named.take().filter(|known| known.url == told);
        let archive = known.unwrap_or_else(|| Arc::new(Node::new(told, None)));
        *named = Some(Arc::clone(&archive));
        Some(archive)
    }

    async fn read_archive<T>(
        &self,
        archive: &Node,
        question: Question<'_>,
        pruned: &str,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let url = &archive.url;
        let paused = |pause| {
            let message = format!("{pruned}; the archive {url} asked for fewer requests");
            SubjectError::Throttled { message, pause }
        };
        let pass = archive.gate.enter().await.map_err(paused)?;
        let unreachable = |error| match error {
            SubjectError::Unreachable(said) => {
                SubjectError::ArchiveUnreachable(format!("{pruned}; the archive {said}"))
            }
            other => other,
        };
        let answer = archive.request(&self.clients, question).await.map_err(unreachable)?;
        if let Some((theirs, ours)) = self.other_chain(&answer, false) {
            return Err(SubjectError::Refused(format!(
                "{pruned}; the archive {url} is of chain {theirs}, {} of chain {}: set NODE_ARCHIVE_URL to one of chain {}",
                ours.whose, ours.id, ours.id
            )));
        }
        let Some(failed) = answer.failure() else {
            pass.answered();
            return self.accept(archive, &answer, 0, &read).map_err(unreachable);
        };
        let message = format!("{pruned}; the archive {}", self.said(url, &failed));
        Err(match failed.failure {
            Failure::Throttled(asked) => SubjectError::Throttled { message, pause: pass.throttled(asked) },
            Failure::Unreachable => SubjectError::ArchiveUnreachable(message),
            Failure::Misplaced if archive.has_answered() => SubjectError::ArchiveUnreachable(message),
            Failure::Missing => SubjectError::Missing { message, ledger: answer.ledger() },
            Failure::Pruned(_) | Failure::Refused | Failure::Misplaced => SubjectError::Pruned(message),
        })
    }

    fn said(&self, url: &NodeUrl, failed: &Failed) -> String {
        let remedy = if failed.remedy.is_empty() { "" } else { self.remedy.unwrap_or(failed.remedy) };
        format!("{url} {}{remedy}", failed.said)
    }

    /// Says of which chain the nodes are, if it is another than that of whoever else is asked.
    pub(super) fn chain_other_than(&self, theirs: u64) -> Option<String> {
        let ours = self.chain.get().filter(|ours| u64::from(ours.id) != theirs)?;
        let is_local = ours.or_local && theirs == u64::from(LOCAL_CHAIN);
        (!is_local).then(|| format!("{} of chain {}", ours.whose, ours.id))
    }

    /// The chain of an answer that is of another one than ours. If ours is not known yet, an answer that `decides` tells it.
    fn other_chain(&self, answer: &Answer, decides: bool) -> Option<(ChainId, Chain)> {
        let theirs = answer.ledger().chain_id?;
        let first = || Chain { id: theirs, whose: "what was read first is", or_local: false };
        let ours = if decides { Some(self.chain.get_or_init(first)) } else { self.chain.get() };
        ours.filter(|ours| ours.id != theirs && !(ours.or_local && theirs == LOCAL_CHAIN)).map(|ours| (theirs, *ours))
    }

    fn accept<T>(
        &self,
        node: &Node,
        answer: &Answer,
        known: u64,
        read: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<(T, Ledger), SubjectError> {
        let value = read(answer).map_err(|error| {
            node.rest();
            SubjectError::Unreachable(format!("{} {error}", node.url))
        })?;
        let ledger = self.compared(answer.ledger(), known);
        node.is_well();
        if ledger.behind {
            // Others may know more.
            node.rest();
        }
        Ok((value, ledger))
    }

    /// Whether this ledger is older than one that had been seen before.
    fn compared(&self, mut ledger: Ledger, known: u64) -> Ledger {
        if let Some(version) = ledger.version {
            ledger.behind = version.get() < known;
            self.newest_version.fetch_max(version.get(), Ordering::Relaxed);
        }
        ledger
    }
}

/// A client whose requests have `apart` a connection of their own each, or else share one where the node offers HTTP/2.
fn client(are_local: bool, apart: bool) -> Result<Client, String> {
    let mut client = Client::builder()
        .user_agent(concat!("event-worker/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(30))
        // A redirected request would take the key elsewhere.
        .redirect(redirect::Policy::none())
        .tcp_nodelay(true);
    client = if apart {
        // Many pages at once over one connection would wait for one another.
        client.http1_only()
    } else {
        // One that has died without a word would be taken for the next questions, too.
        client.http2_keep_alive_interval(Duration::from_secs(10)).http2_keep_alive_timeout(Duration::from_secs(10))
    };
    if are_local {
        // A proxy of the environment cannot reach this machine's own addresses.
        client = client.no_proxy();
    }
    client.build().map_err(|error| format!("cannot make an HTTP client: {error}"))
}

/// Whether an answer shows that it comes from a node that serves what is asked for, or did.
fn is_a_nodes(failed: Option<&Failed>) -> bool {
    failed.is_none_or(|failed| matches!(failed.failure, Failure::Pruned(_)))
}
