//! `list`: rows for people, or for scripts.

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use super::{Failure, Outcome, connect_to_schema, log_to_stderr};
use crate::chain::{Address, Amount, Timestamp};
use crate::config::{Database, Logs};
use crate::state::entities::{activities, collections, offers, orders, tokens};
use crate::state::{Filter, Store};
use crate::telemetry::table::{brief, table};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Args)]
struct Options {
    /// One JSON object a line, with all columns
    #[arg(long, global = true)]
    json: bool,
    /// At most so many rows
    #[arg(long, global = true, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Of this collection (id or name)
    #[arg(long, global = true, value_name = "ID|NAME")]
    collection: Option<String>,
    /// Of this creator
    #[arg(long, global = true, value_name = "ADDRESS")]
    creator: Option<String>,
}

#[derive(clap::Args)]
struct Deals {
    /// Of this market
    #[arg(long, value_name = "NAME")]
    market: Option<String>,
    /// Of this token (id or name)
    #[arg(long, value_name = "ID|NAME")]
    token: Option<String>,
    /// In which this account has a part
    #[arg(long, value_name = "ADDRESS")]
    account: Option<String>,
}

#[derive(Subcommand)]
enum What {
    /// Listings, the last changed first
    Orders {
        #[command(flatten)]
        deals: Deals,
        /// Only in this status
        #[arg(long)]
        status: Option<OrderStatus>,
    },
    /// Offers, the last changed first
    Offers {
        #[command(flatten)]
        deals: Deals,
        /// Only in this status
        #[arg(long)]
        status: Option<OfferStatus>,
    },
    /// What happened, the newest first
    Activities {
        #[command(flatten)]
        deals: Deals,
        /// Only of this kind, like `fill_listing`
        #[arg(long)]
        kind: Option<String>,
    },
    /// Collections, by name
    Collections,
    /// Tokens, by collection and name
    Tokens {
        /// Of this owner, as far as market events tell
        #[arg(long, value_name = "ADDRESS")]
        owner: Option<String>,
        /// This token (id or name)
        #[arg(long, value_name = "ID|NAME")]
        token: Option<String>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum OrderStatus {
    Listing,
    Sold,
    Canceled,
}

#[derive(Clone, Copy, ValueEnum)]
enum OfferStatus {
    Created,
    Accepted,
    Canceled,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let _guard = log_to_stderr(logs, args.database.secrets())?;
    let (what, filter) = filter(args.what, &args.options)?;
    let store = connect_to_schema(&args.database).await?;
    list(&store, what, &filter, args.options.json).await?;
    Ok(store.close().await?)
}

enum Table {
    Orders,
    Offers,
    Activities,
    Collections,
    Tokens,
}

fn filter(what: What, options: &Options) -> Result<(Table, Filter), Failure> {
    let base = Filter {
        collection: id_or_name(options.collection.as_deref()),
        creator: address("--creator", options.creator.as_deref())?,
        limit: options.limit,
        ..Filter::default()
    };
    let with = |deals: Deals, base: Filter| -> Result<Filter, Failure> {
        let account = address("--account", deals.account.as_deref())?;
        Ok(Filter { market: deals.market, token: id_or_name(deals.token.as_deref()), account, ..base })
    };
    let named = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    Ok(match what {
        What::Orders { deals, status } => (
            Table::Orders,
            Filter { status: named(status.and_then(|status| status.to_possible_value())), ..with(deals, base)? },
        ),
        What::Offers { deals, status } => (
            Table::Offers,
            Filter { status: named(status.and_then(|status| status.to_possible_value())), ..with(deals, base)? },
        ),
        What::Activities { deals, kind } => (Table::Activities, Filter { kind, ..with(deals, base)? }),
        What::Collections => (Table::Collections, base),
        What::Tokens { owner, token } => {
            let owner = address("--owner", owner.as_deref())?;
            (Table::Tokens, Filter { owner, token: id_or_name(token.as_deref()), ..base })
        }
    })
}

async fn list(store: &Store, what: Table, filter: &Filter, json: bool) -> Outcome {
    match what {
        Table::Orders => print(json, &ORDERS, &store.orders(filter).await?, order),
        Table::Offers => print(json, &OFFERS, &store.offers(filter).await?, offer),
        Table::Activities => print(json, &ACTIVITIES, &store.activities(filter).await?, activity),
        Table::Collections => print(json, &COLLECTIONS, &store.collections(filter).await?, collection),
        Table::Tokens => print(json, &TOKENS, &store.tokens(filter).await?, token),
    }
}

fn print<T: Serialize>(json: bool, header: &[&str], rows: &[T], cells: fn(&T) -> Vec<String>) -> Outcome {
    if json {
        let lines: Result<Vec<_>, _> = rows.iter().map(serde_json::to_string).collect();
        let lines = lines.map_err(|error| Failure::Failed(error.to_string()))?;
        return if lines.is_empty() { Ok(()) } else { super::print(&lines.join("\n")) };
    }
    super::print(&if rows.is_empty() { "no rows".to_owned() } else { table(header, rows.iter().map(cells)) })
}

/// Column titles of [`order`].
pub const ORDERS: [&str; 8] = ["order", "status", "collection", "token", ">price", ">left", "seller", "listed at"];

/// An order as a line.
pub fn order(row: &orders::Model) -> Vec<String> {
    vec![
        brief(&row.order_id),
        row.status.clone(),
        text(row.collection_name.as_ref()),
        text(row.token_name.as_ref()),
        money(row.price, row.currency.as_deref()),
        count(row.remaining_quantity),
        account(row.seller.as_ref()),
        time(row.listed_at),
    ]
}

const OFFERS: [&str; 7] = ["status", "collection", "token", ">price", ">left", "offerer", "opened at"];

fn offer(row: &offers::Model) -> Vec<String> {
    vec![
        row.status.clone(),
        text(row.collection_name.as_ref()),
        text(row.token_name.as_ref()),
        money(row.price, row.currency.as_deref()),
        count(row.remaining_quantity),
        account(row.offerer.as_ref()),
        time(row.opened_at),
    ]
}

/// Column titles of [`activity`].
pub const ACTIVITIES: [&str; 8] = ["at", "kind", "collection", "token", ">quantity", ">total", "from", "to"];

/// An activity as a line.
pub fn activity(row: &activities::Model) -> Vec<String> {
    vec![
        time(row.occurred_at),
        row.kind.clone(),
        text(row.collection_name.as_ref()),
        text(row.token_name.as_ref()),
        count(row.quantity),
        money(row.total, row.currency.as_deref()),
        account(row.from_address.as_ref()),
        account(row.to_address.as_ref()),
    ]
}

const COLLECTIONS: [&str; 7] = ["collection", "name", "creator", "standard", ">supply", ">maximum", "uri"];

fn collection(row: &collections::Model) -> Vec<String> {
    vec![
        brief(&row.collection_id),
        text(row.name.as_ref()),
        account(row.creator.as_ref()),
        row.standard.clone(),
        count(row.supply),
        count(row.maximum),
        text(row.uri.as_ref()),
    ]
}

const TOKENS: [&str; 5] = ["token", "collection", "name", ">property version", "owner"];

fn token(row: &tokens::Model) -> Vec<String> {
    vec![
        brief(&row.token_id),
        text(row.collection_name.as_ref()),
        text(row.name.as_ref()),
        row.property_version.to_string(),
        account(row.owner.as_ref()),
    ]
}

fn text(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

fn account(address: Option<&String>) -> String {
    address.map(|address| brief(address)).unwrap_or_default()
}

fn count(number: Option<Amount>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn time(time: Option<Timestamp>) -> String {
    time.map(|time| crate::state::at(time).format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

/// APT with its eight decimals; other coins in their smallest unit, as nobody here knows their decimals.
pub fn money(amount: Option<Amount>, currency: Option<&str>) -> String {
    const OCTAS: u128 = 100_000_000;
    let Some(Amount(amount)) = amount else {
        return String::new();
    };
    match currency {
        Some("0x1::aptos_coin::AptosCoin") => {
            let decimals = format!("{:08}", amount % OCTAS);
            let decimals = decimals.trim_end_matches('0');
            format!("{}{}{decimals} APT", amount / OCTAS, if decimals.is_empty() { "" } else { "." })
        }
        Some(other) => format!("{amount} {}", other.rsplit("::").next().unwrap_or(other)),
        None => amount.to_string(),
    }
}

fn address(flag: &str, text: Option<&str>) -> Result<Option<String>, Failure> {
    let parsed = text.map(str::parse::<Address>).transpose();
    let wrong = |error| Failure::Setting(format!("{flag} {}: {error}", text.unwrap_or_default()));
    Ok(parsed.map_err(wrong)?.map(|address| address.to_string()))
}

/// An id may come trimmed, as the node writes it.
fn id_or_name(text: Option<&str>) -> Option<String> {
    text.map(|text| text.parse::<Address>().map_or_else(|_| text.to_owned(), |id| id.to_string()))
}
