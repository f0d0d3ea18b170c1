//! The transaction stream: a gRPC service that sends the ledger's transactions in order, of them only those that a filter
//! asks for, and tells with each response which versions it has looked through.
//!
//! gRPC is spoken by hand over the same HTTP client as with nodes: one call, five bytes before a message, a status at the end.

mod call;
mod messages;
mod passes;
mod range;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, TE};
use reqwest::{Client, StatusCode, redirect};
use tokio::time::timeout;

use super::super::node::cause;
use super::super::pace::Gate;
use super::super::{NodeUrl, Nodes, SubjectError};
use super::piece::{Piece, Types};
use crate::chain::Version;
use call::{Call, Ended, Status};
use messages::{Request, Response, StructTag};
pub(super) use passes::Passes;

/// A stream that says nothing for so long, though there is something to say, is left.
const PATIENCE: Duration = Duration::from_secs(10);
const METHOD: &str = "/aptos.indexer.v1.RawData/GetTransactions";
/// What one pass may have under way before it is asked for.
const WINDOW: u32 = 1 << 20;
/// The same for all of a connection: a pass that nobody reads from must not stop the others.
const WINDOW_OF_ALL: u32 = WINDOW * 8;

/// Where the transaction stream is.
#[derive(Clone)]
pub struct StreamConfig {
    /// Its address, without the method.
    pub url: NodeUrl,
    /// Sent as a bearer.
    pub key: Option<String>,
}

impl fmt::Debug for StreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamConfig").field("url", &self.url).field("key", &self.key.as_ref().map(|_| "***")).finish()
    }
}

/// The service at `STREAM_URL`.
pub struct StreamService {
    client: Client,
    url: NodeUrl,
    authorization: Option<HeaderValue>,
    gate: Gate,
    /// Whether it has ever answered as a stream does: then its address is right.
    has_answered: AtomicBool,
}

impl StreamService {
    /// A client for this service. Nothing is sent yet.
    pub fn new(config: StreamConfig) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .user_agent(concat!("event-worker/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            // gRPC is nothing else; and it packs its messages itself, if at all.
            .http2_prior_knowledge()
            .no_gzip()
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW_OF_ALL)
            // A connection that has died without a word would else be taken for the next call, too.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_keep_alive_while_idle(true)
            // A redirected request would take the key elsewhere.
            .redirect(redirect::Policy::none())
            .tcp_nodelay(true);
        if config.url.is_local() {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        let authorization = config.key.map(|key| HeaderValue::from_str(&format!("Bearer {key}"))).transpose();
        let mut authorization =
            authorization.map_err(|_| "STREAM_KEY holds characters that no header can carry".to_owned())?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self { client, url: config.url, authorization, gate: Gate::default(), has_answered: AtomicBool::new(false) })
    }

    /// Asks for `tip`, which the nodes know, to see whether the stream can be read.
    pub async fn try_out(&self, tip: Version, nodes: &Nodes) -> Result<(), SubjectError> {
        let asked = async {
            // The framework's own event, which hardly any transaction is without.
            let request = Request::of(tip.get(), StructTag::of("0x1::transaction_fee::FeeStatement"));
            let mut call = self.open(&request).await?;
            let response = self.next(&mut call).await?;
            self.read(&response, tip, nodes, &Types::new([])).map(|_| ())
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(self.silent(tip)))
    }

    /// Begins a call.
    async fn open(&self, request: &Request) -> Result<Call, SubjectError> {
        let url = &self.url;
        drop(self.gate.enter().await.map_err(|pause| self.throttled("asked for fewer requests", pause))?);
        let mut sent = self.client.post(format!("{}{METHOD}", url.address()));
        sent = sent.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers").body(call::framed(request));
        if let Some(authorization) = &self.authorization {
            sent = sent.header(AUTHORIZATION, authorization);
        }
        let answer = sent.send().await;
        let answer = answer.map_err(|error| SubjectError::Unreachable(format!("{url}: {}", cause(&error))))?;
        let is_grpc =
            answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        match (answer.status(), Status::of(answer.headers())) {
            // Without a message there are no trailers but these.
            (StatusCode::OK, Some(status)) => Err(self.failure(Ended::Status(status)).await),
            (StatusCode::OK, None) if is_grpc => Ok(Call::new(answer.into())),
            (code, _) => Err(self.misplaced(code)),
        }
    }

    /// The next message of a call.
    async fn next(&self, call: &mut Call) -> Result<Response, SubjectError> {
        match call.next().await {
            Ok(response) => {
                self.has_answered.store(true, Ordering::Relaxed);
                if !call.has_told
                    && let Ok(pass) = self.gate.enter().await
                {
                    pass.answered();
                }
                Ok(response)
            }
            Err(ended) => Err(self.failure(ended).await),
        }
    }

    /// What is new in a response where `next` comes next.
    fn read(
        &self,
        response: &Response,
        next: Version,
        nodes: &Nodes,
        types: &Types,
    ) -> Result<Option<Piece>, SubjectError> {
        let url = &self.url;
        if let Some(theirs) = response.chain_id
            && let Some(ours) = nodes.chain_other_than(theirs)
        {
            return Err(SubjectError::Refused(format!(
                "{url} is of chain {theirs}, {ours}; correct STREAM_URL, or NODE_URL"
            )));
        }
        range::read(response, next, types).map_err(|error| SubjectError::Unreachable(format!("{url} {error}")))
    }

    /// It says nothing of a version that there is.
    fn silent(&self, version: Version) -> SubjectError {
        SubjectError::Unreachable(format!(
            "{}: no word of transaction {version} for {} s, though the node knows it",
            self.url,
            PATIENCE.as_secs()
        ))
    }

    /// What the end of a call means.
    async fn failure(&self, ended: Ended) -> SubjectError {
        let url = &self.url;
        let status = match ended {
            Ended::Broken(why) => return SubjectError::Unreachable(format!("{url}: {why}")),
            Ended::Status(status) => status,
        };
        let said = format!("{url} answered {}: {}", status.name(), status.message);
        match status.name() {
            "UNAUTHENTICATED" | "PERMISSION_DENIED" => SubjectError::Refused(format!("{said}; check STREAM_KEY")),
            "RESOURCE_EXHAUSTED" => match self.gate.enter().await {
                Ok(pass) => SubjectError::Throttled { message: said, pause: pass.throttled(None) },
                Err(pause) => SubjectError::Throttled { message: said, pause },
            },
            "NOT_FOUND" | "OUT_OF_RANGE" if status.message.contains("pruned") => {
                SubjectError::Pruned(format!("{said}; or read it from a node's transactions (SUBJECT=transactions)"))
            }
            "INVALID_ARGUMENT" | "UNIMPLEMENTED" => SubjectError::Refused(format!(
                "{said}; STREAM_URL must be a transaction stream that takes filters, like https://grpc.mainnet.aptoslabs.com:443"
            )),
            _ => SubjectError::Unreachable(said),
        }
    }

    /// An answer that is not one of gRPC.
    fn misplaced(&self, code: StatusCode) -> SubjectError {
        let said = format!("{} answered {}, and not as a transaction stream does", self.url, code.as_u16());
        match code.as_u16() {
            401 | 403 => SubjectError::Refused(format!("{said}; check STREAM_KEY")),
            429 => SubjectError::Throttled { message: said, pause: Duration::from_secs(1) },
            // Something stands between, and will go.
            500.. => SubjectError::Unreachable(said),
            _ if self.has_answered.load(Ordering::Relaxed) => SubjectError::Unreachable(said),
            _ => SubjectError::Refused(format!(
                "{said}; STREAM_URL must be its gRPC address, like https://grpc.mainnet.aptoslabs.com:443"
            )),
        }
    }

    fn throttled(&self, said: &str, pause: Duration) -> SubjectError {
        SubjectError::Throttled { message: format!("{} {said}", self.url), pause }
    }
}
