//! Transactions that are planned ahead, on every database: a plan holds, or is found to be overtaken.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use event_worker::chain::SeqNo;
use event_worker::market::{Market, Markets};
use event_worker::simulate::Config;
use event_worker::state::{Executed, Import, Plan, Slice, Store, StoreError};
use event_worker::subject::{self, EventHandle, Nodes, Subject};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

on_every_database!(plans_made_ahead_hold_or_are_overtaken);

/// Plans are made while the one before is not executed yet, as a worker does, and sometimes somebody writes in between.
async fn plans_made_ahead_hold_or_are_overtaken(backend: Backend) {
    let node = TestNode::start(Config { events: 1_500, collections: 0, ..Config::default() }).await;
    let creators = node.creators().join(",");
    let database = TestDatabase::create(backend).await;
    Setup::of(&database.url, &node.url)
        .command("collection-import")
        .with("--account")
        .with(&creators)
        .to_end()
        .await
        .expect(0);
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    let other = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    let markets = Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap();
    store.prepare(&markets).await.unwrap();
    let config = subject::Config { nodes: vec![(node.url.parse().unwrap(), None)], archive: None };
    let nodes = Arc::new(Nodes::new(config).unwrap());
    let mut slices: Vec<Arc<[Slice]>> = vec![];
    for stream in markets.streams() {
        let handle = &stream.handle;
        let subject = EventHandle::new(Arc::clone(&nodes), handle.account, &handle.resource, &handle.field);
        let mut next = SeqNo::ZERO;
        loop {
            let page = subject.page(next).await.unwrap();
            let Some(last) = page.events.last() else { break };
            next = last.seq_no.next();
            let executed = |raw| Executed { meaning: stream.entry(&raw), raw };
            let events = page.events.into_iter().map(executed).collect();
            slices.push([Slice { stream: Arc::clone(stream), chain_id: page.ledger.chain_id, events }].into());
        }
    }
    // Stream after stream: many events come late.
    let (mut planned, mut overtaken, mut late) = (0, 0, 0);
    let mut waiting: Option<(Plan, Arc<[Slice]>)> = None;
    for (at, slices) in slices.into_iter().enumerate() {
        let before = waiting.as_ref().map(|(plan, _)| plan.after());
        let plan = store.plan(&markets, Arc::clone(&slices), before).await.unwrap();
        let mut as_planned = true;
        if let Some((plan, slices)) = waiting.take() {
            if at % 5 == 0 {
                other.import(&Import::default()).await.unwrap();
            }
            match store.execute(plan).await {
                Ok(_) => planned += 1,
                Err(StoreError::Overtaken) => {
                    overtaken += 1;
                    as_planned = false;
                    store.commit(&markets, &slices).await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        match plan {
            Some(plan) if as_planned => waiting = Some((plan, slices)),
            _ => {
                late += 1;
                store.commit(&markets, &slices).await.unwrap();
            }
        }
    }
    if let Some((plan, _)) = waiting {
        store.execute(plan).await.unwrap();
    }
    assert!(planned > 2 && overtaken > 0 && late > 0, "{planned} {overtaken} {late}");
    let tables = tables::folded_alone(&tables::read(&database.db).await);
    tables::assert_equal(
        &tables::folded_alone(&plain_fold(&node.node.history())),
        &tables,
        &format!("{backend:?}, planned ahead"),
    );
    assert!(database.number("SELECT COUNT(*) FROM collections WHERE imported > 0").await > Some(3));
    store.close().await.unwrap();
    other.close().await.unwrap();
}
