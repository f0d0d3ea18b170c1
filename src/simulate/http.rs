//! Routes, and what goes wrong on the way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, Response, StatusCode, Uri};
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::answer::{self, CHAIN_ID, Head, Page, Refusal};
use super::fault::{Faults, Mishap};
use super::gallery::Gallery;
use super::ledger::Ledger;
use super::query::{self, Query};
use super::spoil::spoil;
use super::wire::Scissors;
use super::{Config, Node, chain, lock, raw_data, read};

/// Longer bodies are refused.
const MOST_BYTES: usize = 8 << 20;
/// Longer than anybody waits.
pub const HANG: Duration = Duration::from_mins(1);

/// The ledger as one answer shows it: up to a version, from another one on.
pub struct View<'a> {
    /// What has happened.
    pub ledger: &'a Ledger,
    /// What had happened before all that.
    pub gallery: &'a Gallery,
    /// What goes wrong.
    pub faults: &'a Faults,
    /// The seed of all hashes.
    pub seed: u64,
    /// The versions shown.
    pub head: Head,
    /// Whether the market's events are of no handle.
    pub module_events: bool,
}

impl<'a> View<'a> {
    pub fn new(node: &'a Node, ledger: &'a Ledger, faults: &'a Faults, behind: u64) -> Self {
        let version = ledger.head().saturating_sub(behind);
        let oldest = faults.pruned().map_or(0, |(_, oldest)| oldest);
        let chain_id = faults.chain().unwrap_or(CHAIN_ID);
        let head = Head { chain_id, version, oldest, timestamp: ledger.timestamp(version) };
        let Config { seed, module_events, .. } = node.config;
        Self { ledger, gallery: &node.gallery, faults, seed, head, module_events }
    }

    /// Refuses what is about a version that is gone.
    pub fn refuse_pruned(&self, code: &str, version: u64) -> Result<(), Refusal> {
        if version < self.head.oldest {
            let message = format!("Ledger version({version}) has been pruned");
            return Err(Refusal::gone(code, &message, self.head.oldest));
        }
        Ok(())
    }

    fn answer(&self, method: &Method, segments: &[&str], query: &Query<'_>, body: &[u8]) -> Result<Page, Refusal> {
        let is_for_post = matches!(segments, ["tables", _, "item"] | ["graphql"]);
        match method {
            &Method::POST if is_for_post => self.post(segments, query, body),
            &Method::GET | &Method::HEAD if !is_for_post => self.route(segments, query),
            _ => Err(Refusal::framework(StatusCode::METHOD_NOT_ALLOWED, "request-method not allowed")),
        }
    }

    fn route(&self, segments: &[&str], query: &Query<'_>) -> Result<Page, Refusal> {
        let body = match segments {
            [] => self.ledger_info(),
            ["info"] => chain::info(),
            ["-", "healthy"] => r#"{"message":"aptos-node:ok"}"#.to_owned(),
            ["accounts", address] => self.account(&query::address(address)?),
            ["accounts", address, "resources"] => return self.resources(&query::address(address)?, query),
            ["accounts", address, "resource", tag] => {
                self.resource(&query::address(address)?, &query::struct_tag("resource_type", tag)?, query)?
            }
            ["accounts", address, "modules"] => chain::modules(&query::address(address)?),
            ["accounts", address, "module", name] => self.module(&query::address(address)?, name)?,
            ["accounts", address, "transactions"] => self.transactions_of(&query::address(address)?, query)?,
            ["accounts", address, "events", number] => {
                let (address, number) = (query::address(address)?, query::path_u64("creation_number", number)?);
                self.events_by_number(&address, number, query)?
            }
            ["accounts", address, "events", tag, field] => {
                let (address, tag) = (query::address(address)?, query::struct_tag("event_handle", tag)?);
                self.events_by_handle(&address, &tag, field, query)?
            }
            ["transactions"] => self.transactions(query)?,
            ["transactions", "by_version", version] => self.transaction_at(query::path_u64("txn_version", version)?)?,
            ["blocks", "by_version", version] => self.block(query::path_u64("version", version)?)?,
            _ => return Err(Refusal::framework(StatusCode::NOT_FOUND, "not found")),
        };
        Ok(body.into())
    }

    /// The routes that want a body.
    fn post(&self, segments: &[&str], query: &Query<'_>, body: &[u8]) -> Result<Page, Refusal> {
        match segments {
            ["tables", handle, "item"] => Ok(self.table_item(handle, body, query)?.into()),
            _ => Ok(self.graphql(body).into()),
        }
    }
}

/// Answers every request.
pub async fn handle(
    State((node, stop)): State<(Arc<Node>, CancellationToken)>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response<Body> {
    node.requests.fetch_add(1, Ordering::Relaxed);
    if !node.config.latency.is_zero() {
        tokio::time::sleep(node.config.latency).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BYTES).await else { return answer::too_large() };
    if parts.uri.path() == raw_data::PATH {
        return raw_data::handle(node, stop, scissors, &parts.headers, &body);
    }
    let (mishap, luck) = if parts.uri.path() == "/v1/-/healthy" { (None, 0) } else { node.draw() };
    match mishap {
        Some(Mishap::TooMany) => return answer::too_many(false),
        Some(Mishap::TooManyRetryAfter) => return answer::too_many(true),
        Some(Mishap::NotFound) => return answer::page_of_a_proxy(StatusCode::NOT_FOUND),
        Some(Mishap::BadGateway) => return answer::page_of_a_proxy(StatusCode::BAD_GATEWAY),
        Some(Mishap::Unavailable) => return answer::page_of_a_proxy(StatusCode::SERVICE_UNAVAILABLE),
        Some(Mishap::Redirect) => return answer::redirect(),
        Some(Mishap::Oversized) => return answer::oversized(),
        Some(Mishap::Reset) => scissors.reset(),
        Some(Mishap::Hang) => tokio::time::sleep(HANG).await,
        _ => {}
    }
    let response = node.respond(&parts.method, &parts.uri, &body, mishap, luck);
    match mishap {
        Some(Mishap::Truncate) => {
            let length = response.body().size_hint().lower();
            scissors.hold_back(usize::try_from(length / 2).unwrap_or(1).max(1));
            response
        }
        Some(Mishap::Drip) => answer::dripping(response).await,
        Some(Mishap::ContentType) => answer::mislabelled(response),
        _ => response,
    }
}

impl Node {
    /// The answer to a request when nothing goes wrong, without a connection.
    pub fn answer(&self, method: &Method, uri: &Uri, body: &[u8]) -> Response<Body> {
        self.respond(method, uri, body, None, 0)
    }

    fn respond(&self, method: &Method, uri: &Uri, body: &[u8], mishap: Option<Mishap>, luck: u64) -> Response<Body> {
        let faults = read(&self.faults);
        let segments: Vec<String> = uri.path().split('/').skip(1).map(query::decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let behind = if mishap == Some(Mishap::Stale) { 2_000 + luck % 18_000 } else { 0 };
        let ledger = read(&self.ledger);
        let view = View::new(self, &ledger, &faults, behind);
        let outcome = match segments.as_slice() {
            _ if mishap == Some(Mishap::Internal) => Err(Refusal::internal("Failed to get state view: DB is busy")),
            ["v1"] | ["v1", ""] => view.answer(method, &[], &Query(""), body),
            ["v1", rest @ ..] => view.answer(method, rest, &Query(uri.query().unwrap_or_default()), body),
            _ => Err(Refusal::framework(StatusCode::NOT_FOUND, "not found")),
        };
        let spoilt = outcome.map(|page| Page { body: spoil(mishap, page.body, luck), ..page });
        answer::answer(spoilt, &view.head)
    }

    /// What happens to this answer, and a number that decides how.
    fn draw(&self) -> (Option<Mishap>, u64) {
        let mut luck = lock(&self.luck);
        let mishap = read(&self.faults).draw(&mut luck);
        let how = mishap.map_or(0, |_| luck.random());
        (mishap, how)
    }
}
