//! Streams that touch the same orders at once, against the same events in one stream.
//!
//! A market is made up in which every order is listed, delisted, listed again and bought, one after the other, and the next
//! transaction on the chain is of the next order. The same events, to the byte of their data, are served from memory in two
//! ways: as the three streams `list`, `delist` and `buy`, and as a single one. A stream has one kind, so the single one takes
//! all of them for listings; that writes the same number of rows to the same tables under the same keys. What three streams
//! lose is what they lose to one another: waits for locks, transactions done again, waiting for one another's pages, and late
//! events. A worker commits all its streams in one transaction at a time, so that there should be no locks to wait for;
//! `failed` counts transactions that had to be done again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_worker::chain::{Address, RawEvent, SeqNo, Version};
use event_worker::market::{Market, Markets, Stream};
use event_worker::state::DatabaseUrl;
use event_worker::subject::{Counter, Ledger, Page, Subject, SubjectError};

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::tape::LastCommit;
use crate::turns::Turns;
use crate::worker;

/// Events of a page.
const PAGE: usize = 100;
/// What happens to an order, by the stream that tells it.
const STEPS: [&str; 4] = ["list", "delist", "list", "buy"];

const HEAD: &str = r#"
name = "contended"
address = "0x1"
listing_key = ["id"]
"#;
const FIELDS: &str = r#"fields = { id = "offer_id", token = "token_id", seller = "seller", price = "price", quantity = "token_amount", time = "timestamp""#;

/// Three streams and one in turns.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let events = settings.events;
    let mut turns = Turns::new(case, "one_stream_per_s", settings.reps);
    let mut failed = 0;
    for _ in 0..settings.reps {
        let one = async |url| execute(&[("all", "place_listing")], events, &url).await;
        let (one, _) = case.server.with_database(folder, one).await?;
        let kinds = [("list", "place_listing"), ("delist", "cancel_listing"), ("buy", "fill_listing")];
        let three = async |url| execute(&kinds, events, &url).await;
        let (three, again) = case.server.with_database(folder, three).await?;
        failed += again;
        turns.push((events, three), (events, one));
    }
    Ok(turns.tell(Figures::of(case), "ratio_to_one_stream").with("failed", failed))
}

/// How long the worker takes, and how many transactions failed.
async fn execute(streams: &[(&str, &str)], events: u32, url: &DatabaseUrl) -> Result<(Duration, u32)> {
    let entry = |(name, kind)| {
        format!(
            "[[streams]]\nname = \"{name}\"\nkind = \"{kind}\"\nhandle = \"::m::H\"\nfield = \"{name}\"\n{FIELDS}{} }}\n",
            if kind == "fill_listing" { ", buyer = \"buyer\"" } else { "" }
        )
    };
    let text: String = streams.iter().copied().map(entry).collect();
    let markets = Markets::new(vec![Market::parse("contended", &(HEAD.to_owned() + &text), None)?]);
    let markets = markets.map_err(anyhow::Error::msg)?;
    let ledger = ledger(events)?;
    let subject = |stream: &Stream| Prepared::new(&ledger, stream.source.field().unwrap_or_default());
    let told: usize = markets.streams().map(|stream| subject(stream).events.len()).sum();
    ensure!(told == ledger.len(), "{told} of {} events are in a stream", ledger.len());
    let store = worker::prepared(url, &markets).await?;
    let last = Arc::new(LastCommit::default());
    let start = Instant::now();
    worker::backfill(store, markets, subject, events, last.clone()).await?;
    Ok((last.at().context("nothing was committed")? - start, last.failed()))
}

/// So many events in the order of the chain; in `event_type` the step.
fn ledger(events: u32) -> Result<Vec<RawEvent>> {
    (0..events).zip(STEPS.iter().cycle()).map(|(at, step)| event(at, step)).collect()
}

/// The same data whatever the step, so that the same event can be taken for any of them.
fn event(at: u32, step: &str) -> Result<RawEvent> {
    let order = at / 4;
    let token_id = format!(
        r#"{{"property_version":"0","token_data_id":{{"collection":"Cats","creator":"0x7","name":"Cat #{order}"}}}}"#
    );
    let data = format!(
        r#"{{"offer_id":"{order}","price":"120000000","buyer":"0xb{order:x}","seller":"0xa{order:x}","timestamp":"{}","token_amount":"1","token_id":{token_id}}}"#,
        1_767_225_600_000_000 + u64::from(at)
    );
    Ok(RawEvent {
        version: Version::new(1_000 + u64::from(at)).context("no such version")?,
        event_index: None,
        seq_no: SeqNo::ZERO,
        event_type: step.into(),
        account_address: Address::new([1; 32]),
        creation_number: 4,
        data,
        block_time: None,
        caller: None,
    })
}

/// One stream, in memory.
struct Prepared {
    events: Vec<RawEvent>,
    ledger: Ledger,
}

impl Prepared {
    /// The events of that step, or `all` of them, numbered.
    fn new(ledger: &[RawEvent], step: &str) -> Self {
        let own = ledger.iter().filter(|event| step == "all" || *event.event_type == *step).cloned();
        let numbered = own.zip(0..).map(|(event, seq_no)| RawEvent { seq_no: SeqNo::from_column(seq_no), ..event });
        let version = ledger.last().map(|event| event.version);
        Self { events: numbered.collect(), ledger: Ledger { chain_id: Some(4), version, ..Ledger::default() } }
    }
}

impl Subject for Prepared {
    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        let from = usize::try_from(from.get()).unwrap_or(usize::MAX);
        let events: Vec<_> = self.events.iter().skip(from).take(PAGE).cloned().collect();
        Ok(Page { full: events.len() == PAGE, events, scanned: None, ledger: self.ledger })
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        let next = SeqNo::new(self.events.len() as u64).unwrap_or_default();
        Ok(Counter { next, ledger: self.ledger })
    }
}
