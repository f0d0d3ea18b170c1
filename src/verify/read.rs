//! Reading a snapshot, a stretch at a time, for whoever checks it meanwhile.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use crate::chain::Version;
use crate::market::Stream;
use crate::state::entities::{collections, offers, orders, tokens};
use crate::state::{Chunk, Snapshot, StoreError};

/// Rows that are read at once: fewer where their texts are long.
const ROWS: u64 = 500;
const FEWEST: u64 = 10;
/// What the data of the events read at once should not be beyond.
const BYTES: usize = 1 << 20;

/// Some rows.
pub enum Rows {
    Events { stream: usize, chunk: Chunk },
    Orders(Vec<orders::Model>),
    Offers(Vec<offers::Model>),
    Tokens(Vec<tokens::Model>),
    Collections(Vec<collections::Model>),
}

/// Where a stream is read next.
struct Position {
    after: i64,
    version: Option<Version>,
    ended: bool,
    limit: u64,
}

/// All streams, the one that lags behind in the ledger first, so that none is far ahead of the others; then all rows, without
/// `items` those of deals only. Ends early if nobody listens.
pub async fn all(
    snapshot: &Snapshot,
    streams: &[Arc<Stream>],
    items: bool,
    rows: &Sender<Rows>,
) -> Result<(), StoreError> {
    let mut positions: Vec<_> =
        streams.iter().map(|_| Position { after: i64::MIN, version: None, ended: false, limit: ROWS }).collect();
    while let Some((number, position)) =
        positions.iter_mut().enumerate().filter(|(_, one)| !one.ended).min_by_key(|(_, one)| one.version)
    {
        let chunk = snapshot.chunk(&streams[number].observer, position.after, position.limit).await?;
        position.move_behind(&chunk);
        if rows.send(Rows::Events { stream: number, chunk }).await.is_err() {
            return Ok(());
        }
    }
    deals(snapshot, rows).await?;
    if items { self::items(snapshot, rows).await } else { Ok(()) }
}

async fn deals(snapshot: &Snapshot, rows: &Sender<Rows>) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let some = snapshot.orders(&after, ROWS).await?;
        let Some(last) = some.last() else { break };
        after.clone_from(&last.order_id);
        if rows.send(Rows::Orders(some)).await.is_err() {
            return Ok(());
        }
    }
    let mut after = String::new();
    loop {
        let some = snapshot.offers(&after, ROWS).await?;
        let Some(last) = some.last() else { return Ok(()) };
        after.clone_from(&last.offer_id);
        if rows.send(Rows::Offers(some)).await.is_err() {
            return Ok(());
        }
    }
}

async fn items(snapshot: &Snapshot, rows: &Sender<Rows>) -> Result<(), StoreError> {
    let mut after = (String::new(), i64::MIN);
    loop {
        let some = snapshot.tokens((&after.0, after.1), ROWS).await?;
        let Some(last) = some.last() else { break };
        after = (last.token_id.clone(), last.property_version);
        if rows.send(Rows::Tokens(some)).await.is_err() {
            return Ok(());
        }
    }
    let mut after = String::new();
    loop {
        let some = snapshot.collections(&after, ROWS).await?;
        let Some(last) = some.last() else { return Ok(()) };
        after.clone_from(&last.collection_id);
        if rows.send(Rows::Collections(some)).await.is_err() {
            return Ok(());
        }
    }
}

impl Position {
    fn move_behind(&mut self, chunk: &Chunk) {
        match chunk.through {
            Some(through) => self.after = through,
            None => self.ended = true,
        }
        if let Some(last) = chunk.events.last() {
            self.version = self.version.max(Some(Version::from_column(last.version)));
        }
        let bytes: usize = chunk.events.iter().map(|event| event.data.len()).sum();
        let rows = chunk.events.len() * BYTES / bytes.max(1);
        self.limit = u64::try_from(rows).unwrap_or(ROWS).clamp(FEWEST, ROWS);
    }
}
