//! Routes, and what goes wrong on the way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, Response, StatusCode, Uri};
use rand::RngExt;

use super::answer::{self, Head, Refusal};
use super::fault::{Faults, Mishap};
use super::ledger::Ledger;
use super::query::{self, Query};
use super::wire::Scissors;
use super::{Node, chain, lock, read};

/// The ledger as one answer shows it: up to a version, from another one on.
pub struct View<'a> {
    /// What has happened.
    pub ledger: &'a Ledger,
    /// What goes wrong.
    pub faults: &'a Faults,
    /// The seed of all hashes.
    pub seed: u64,
    /// The versions shown.
    pub head: Head,
}

impl<'a> View<'a> {
    fn new(ledger: &'a Ledger, faults: &'a Faults, seed: u64, behind: u64) -> Self {
        let version = ledger.head().saturating_sub(behind);
        let oldest = faults.pruned().map_or(0, |(_, oldest)| oldest);
        Self { ledger, faults, seed, head: Head { version, oldest, timestamp: ledger.timestamp(version) } }
    }

    /// Refuses what is about a version that is gone.
    pub fn refuse_pruned(&self, code: &str, version: u64) -> Result<(), Refusal> {
        if version < self.head.oldest {
            let message = format!("Ledger version({version}) has been pruned");
            return Err(Refusal::gone(code, &message, self.head.oldest));
        }
        Ok(())
    }

    fn route(&self, segments: &[&str], query: &Query<'_>) -> Result<String, Refusal> {
        match segments {
            [] => Ok(self.ledger_info()),
            ["info"] => Ok(chain::info()),
            ["-", "healthy"] => Ok(r#"{"message":"aptos-node:ok"}"#.to_owned()),
            ["accounts", address] => Ok(self.account(&query::address(address)?)),
            ["accounts", address, "resources"] => self.resources(&query::address(address)?, query),
            ["accounts", address, "resource", tag] => {
                self.resource(&query::address(address)?, &query::struct_tag("resource_type", tag)?, query)
            }
            ["accounts", address, "modules"] => Ok(chain::modules(&query::address(address)?)),
            ["accounts", address, "module", name] => self.module(&query::address(address)?, name),
            ["accounts", address, "events", number] => {
                let (address, number) = (query::address(address)?, query::path_u64("creation_number", number)?);
                self.events_by_number(&address, number, query.u64("start")?, query.u16("limit")?)
            }
            ["accounts", address, "events", tag, field] => {
                let (address, tag) = (query::address(address)?, query::struct_tag("event_handle", tag)?);
                self.events_by_handle(&address, &tag, field, query.u64("start")?, query.u16("limit")?)
            }
            ["transactions", "by_version", version] => self.transaction(query::path_u64("txn_version", version)?),
            ["blocks", "by_version", version] => self.block(query::path_u64("version", version)?),
            _ => Err(Refusal::framework(StatusCode::NOT_FOUND, "not found")),
        }
    }
}

/// Answers every request.
pub async fn handle(
    State(node): State<Arc<Node>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response<Body> {
    node.requests.fetch_add(1, Ordering::Relaxed);
    if !node.config.latency.is_zero() {
        tokio::time::sleep(node.config.latency).await;
    }
    node.respond(request.method(), request.uri(), &scissors)
}

impl Node {
    fn respond(&self, method: &Method, uri: &Uri, scissors: &Scissors) -> Response<Body> {
        let faults = read(&self.faults);
        let segments: Vec<String> = uri.path().split('/').skip(1).map(query::decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let is_health = segments == ["v1", "-", "healthy"];
        let (mishap, behind) = if is_health { (None, 0) } else { self.draw(&faults) };
        match mishap {
            Some(Mishap::TooMany) => return answer::too_many(false),
            Some(Mishap::TooManyRetryAfter) => return answer::too_many(true),
            Some(Mishap::Unavailable) => return answer::unavailable(),
            Some(Mishap::Reset) => scissors.reset(),
            Some(Mishap::Internal | Mishap::Truncate | Mishap::Stale) | None => {}
        }
        let ledger = read(&self.ledger);
        let view = View::new(&ledger, &faults, self.config.seed, behind);
        let outcome = match segments.as_slice() {
            _ if mishap == Some(Mishap::Internal) => Err(Refusal::internal("Failed to get state view: DB is busy")),
            _ if ![Method::GET, Method::HEAD].contains(method) => {
                Err(Refusal::framework(StatusCode::METHOD_NOT_ALLOWED, "request-method not allowed"))
            }
            ["v1"] | ["v1", ""] => view.route(&[], &Query("")),
            ["v1", rest @ ..] => view.route(rest, &Query(uri.query().unwrap_or_default())),
            _ => Err(Refusal::framework(StatusCode::NOT_FOUND, "not found")),
        };
        let response = answer::answer(outcome, &view.head);
        if mishap == Some(Mishap::Truncate) {
            let length = response.body().size_hint().lower();
            scissors.hold_back(usize::try_from(length / 2).unwrap_or(1).max(1));
        }
        response
    }

    /// What happens to this answer, and how many versions its node is behind.
    fn draw(&self, faults: &Faults) -> (Option<Mishap>, u64) {
        let mut luck = lock(&self.luck);
        let mishap = faults.draw(&mut luck);
        let behind = if mishap == Some(Mishap::Stale) { luck.random_range(2_000..20_000) } else { 0 };
        (mishap, behind)
    }
}
