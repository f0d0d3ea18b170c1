//! `market test`: what given events would become.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use super::super::list::money;
use super::super::{Failure, Outcome, print};
use crate::chain::{RawEvent, SeqNo, Source};
use crate::config;
use crate::market::fold::{self, Entry, Rows};
use crate::market::{Market, Stream, confused};
use crate::state::convert;
use crate::state::entities::{activities, offers, orders};
use crate::subject::event_of_line;
use crate::telemetry::table::{brief, shortened, table};

#[derive(clap::Args)]
pub struct Args {
    /// A built-in market (imart, marketplace@0xADDRESS), or a market file ending in .toml
    #[arg(value_name = "NAME-or-FILE")]
    market: String,
    /// The events, as a node's REST API has them, one JSON object a line; `-` for stdin
    #[arg(long, value_name = "FILE")]
    events: String,
    /// One JSON object a line, with the columns of the table `activities`
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Outcome {
    let market = config::market("MARKET", &args.market)?;
    let text = read(&args.events)?;
    if let Some(why) = &market.unverified {
        eprintln!("{} is not verified: not known: {why}", market.name);
    }
    let trial = Trial::of(&market, &text);
    if args.json {
        let lines: Result<Vec<_>, _> = trial.rows().iter().map(serde_json::to_string).collect();
        let lines = lines.map_err(|error| Failure::Failed(error.to_string()))?;
        if !lines.is_empty() {
            print(&lines.join("\n"))?;
        }
    } else {
        print(&trial.shown())?;
    }
    for remark in &trial.remarks {
        eprintln!("{remark}");
    }
    match trial.failed {
        0 => Ok(()),
        failed => {
            Err(Failure::Failed(format!("{failed} of {} lines could not be decoded, each is named above", trial.lines)))
        }
    }
}

fn read(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::Setting(format!("--events {path}: cannot be read: {error}")))?;
    Ok(text)
}

/// What became of the events.
struct Trial {
    lines: usize,
    /// Each with its line, in the order of the file.
    entries: Vec<(usize, Entry)>,
    /// What could not be decoded, what is of no stream, what is there twice.
    remarks: Vec<String>,
    failed: usize,
}

/// An event, and where it stands.
struct Given<'m> {
    line: usize,
    stream: &'m Arc<Stream>,
    raw: RawEvent,
}

impl Trial {
    fn of(market: &Market, text: &str) -> Self {
        let mut trial = Self { lines: 0, entries: vec![], remarks: vec![], failed: 0 };
        let mut given = trial.given(market, text);
        number(&mut given);
        let mut seen = BTreeSet::new();
        for Given { line, stream, raw } in given {
            let place = format!("line {line}: {} {}", stream.observer, raw.seq_no);
            if !seen.insert((stream.order, raw.seq_no)) {
                trial.remarks.push(format!("{place}: is there twice; the first counts"));
                continue;
            }
            match stream.entry(&raw) {
                Ok(entry) => trial.entries.push((line, entry)),
                Err(why) => trial.fail(&format!("{place}: {why}")),
            }
        }
        trial
    }

    fn given<'m>(&mut self, market: &'m Market, text: &str) -> Vec<Given<'m>> {
        let mut given = vec![];
        let mut strange: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            self.lines += 1;
            match event_of_line(text) {
                Err(why) => self.fail(&format!("line {line}: {why}")),
                Ok(raw) => match market.stream_of(&raw) {
                    Some(stream) => given.push(Given { line, stream, raw }),
                    None => strange.entry(origin(&raw)).or_default().push(line),
                },
            }
        }
        for (origin, lines) in &strange {
            let first = lines.first().copied().unwrap_or_default();
            let more = if lines.len() > 1 { format!(" and {} more", lines.len() - 1) } else { String::new() };
            self.remarks.push(format!("line {first}{more}: {origin}: of no stream of {}", market.name));
        }
        let untold: Vec<_> = market.streams.iter().filter(|stream| stream.events.is_empty()).collect();
        if !strange.is_empty() && !untold.is_empty() {
            let names: Vec<_> = untold.iter().map(|stream| stream.name()).collect();
            self.remarks.push(format!(
                "events of a handle are told by their type: name the `event` of {} in the market file",
                names.join(", ")
            ));
        }
        let streams: Vec<_> = market.streams.iter().map(AsRef::as_ref).collect();
        if let Some((one, two, event)) = confused(&streams) {
            let (one, two) = (one.name(), two.name());
            self.remarks.push(format!(
                "{one} and {two} have events of one type, {event}, which are all taken for {one}: name both handles by `creation_number`"
            ));
        }
        given
    }

    fn fail(&mut self, remark: &str) {
        self.failed += 1;
        self.remarks.push(format!("{remark} (such events are parked)"));
    }

    fn rows(&self) -> Vec<activities::Model> {
        self.entries.iter().map(|(_, entry)| convert::activity(entry)).collect()
    }

    /// The rows that folding makes of them.
    fn folded(&self) -> Rows {
        let entries: Vec<_> = self.entries.iter().map(|(_, entry)| entry).collect();
        fold::fold(&entries, &Rows::default(), &[]).rows
    }

    fn shown(&self) -> String {
        let rows = self.folded();
        let mut parts = vec![part("activities", &ACTIVITIES, self.rows().iter().map(activity).collect())];
        let orders = rows.orders.values().map(|row| order(&convert::order_row(row))).collect::<Vec<_>>();
        let offers = rows.offers.values().map(|row| offer(&convert::offer_row(row))).collect::<Vec<_>>();
        parts.extend([part("orders", &ORDERS, orders), part("offers", &OFFERS, offers)]);
        parts.join("\n\n")
    }
}

/// Module events have no numbers on chain: theirs are counted here, in the order of the ledger as far as it is known.
fn number(given: &mut [Given]) {
    let mut uncounted: Vec<&mut Given> =
        given.iter_mut().filter(|given| given.stream.source == Source::ModuleEvent).collect();
    uncounted.sort_by_key(|given| (given.raw.version, given.raw.event_index, given.line));
    let mut next: BTreeMap<u8, SeqNo> = BTreeMap::new();
    for given in uncounted {
        let next = next.entry(given.stream.order).or_default();
        given.raw.seq_no = *next;
        *next = next.next();
    }
}

/// What an event is told by.
fn origin(raw: &RawEvent) -> String {
    if raw.account_address == Source::ModuleEvent.account() {
        return raw.event_type.to_string();
    }
    format!("{} of {}, creation number {}", raw.event_type, raw.account_address, raw.creation_number)
}

fn part(title: &str, header: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return format!("{title}: none");
    }
    format!("{title}:\n{}", table(header, rows))
}

const ACTIVITIES: [&str; 11] =
    ["stream", ">seq no", "kind", "order or offer", "token", ">price", ">quantity", ">total", "from", "to", "at"];

fn activity(row: &activities::Model) -> Vec<String> {
    vec![
        row.observer.clone(),
        row.seq_no.to_string(),
        row.kind.clone(),
        key(row.order_id.as_ref().or(row.offer_id.as_ref())),
        thing(
            row.token_name
                .as_ref()
                .or(row.token_id.as_ref())
                .or(row.collection_name.as_ref())
                .or(row.collection_id.as_ref()),
        ),
        money(row.price, row.currency.as_deref()),
        row.quantity.map(|quantity| quantity.to_string()).unwrap_or_default(),
        money(row.total, row.currency.as_deref()),
        thing(row.from_address.as_ref()),
        thing(row.to_address.as_ref()),
        time(row.occurred_at),
    ]
}

const ORDERS: [&str; 9] = ["order", "status", "token", ">price", ">left", ">paid", "seller", "buyer", "listed at"];

fn order(row: &orders::Model) -> Vec<String> {
    vec![
        key(Some(&row.order_id)),
        row.status.clone(),
        thing(row.token_name.as_ref().or(row.token_id.as_ref())),
        money(row.price, row.currency.as_deref()),
        row.remaining_quantity.map(|left| left.to_string()).unwrap_or_default(),
        money(row.sale_price, row.currency.as_deref()),
        thing(row.seller.as_ref()),
        thing(row.buyer.as_ref()),
        time(row.listed_at),
    ]
}

const OFFERS: [&str; 9] = ["offer", "status", "of", "for", ">price", ">left", "offerer", "acceptor", "opened at"];

fn offer(row: &offers::Model) -> Vec<String> {
    vec![
        key(Some(&row.offer_id)),
        row.status.clone(),
        row.scope.clone(),
        thing(
            row.token_name
                .as_ref()
                .or(row.token_id.as_ref())
                .or(row.collection_name.as_ref())
                .or(row.collection_id.as_ref()),
        ),
        money(row.price, row.currency.as_deref()),
        row.remaining_quantity.map(|left| left.to_string()).unwrap_or_default(),
        thing(row.offerer.as_ref()),
        thing(row.acceptor.as_ref()),
        time(row.opened_at),
    ]
}

/// A name, or an address that is short enough for a table.
fn thing(text: Option<&String>) -> String {
    text.map(|text| brief(text)).unwrap_or_default()
}

/// The parts of a key, behind the market.
fn key(id: Option<&String>) -> String {
    let Some((market, parts)) = id.and_then(|id| id.split_once(':')) else { return String::new() };
    let short = |part: &str| if part.starts_with('#') { shortened(part, 9) } else { brief(part) };
    let parts: Vec<_> = parts.split('/').map(short).collect();
    format!("{market}:{}", parts.join("/"))
}

fn time(time: Option<crate::chain::Timestamp>) -> String {
    time.map(|time| crate::state::at(time).format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}
