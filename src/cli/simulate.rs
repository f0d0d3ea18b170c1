//! `simulate`: a node that never leaves this machine.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{Failure, Outcome, log_to_stderr, until_signal};
use crate::config::{self, Logs};
use crate::simulate::{CREATOR, Config, Node};

#[derive(clap::Args)]
pub struct Args {
    /// Where to answer; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: String,
    /// Events before the node starts to serve
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    events: u64,
    /// Events per second from then on
    #[arg(long, value_name = "R", default_value_t = 0.0, allow_negative_numbers = true)]
    rate: f64,
    /// Collections of one big creator, all older than the market
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    collections: u64,
    /// Tokens in them
    #[arg(long, value_name = "N", default_value_t = 240, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    tokens: u64,
    /// Versions from one of the market's transactions to the next, at most
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    spacing: u64,
    /// The market's events are module events: in transactions alone, and of no handle
    #[arg(long)]
    module_events: bool,
    /// Refuses the transaction stream without this key
    #[arg(long, value_name = "KEY")]
    stream_key: Option<String>,
    /// Some transactions do what nobody could put in order by the kinds of their events alone
    #[arg(long)]
    contrary: bool,
    /// The same seed gives the same chain to the last byte
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How long every answer takes (50ms)
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    latency: String,
    /// What goes wrong, like 429:0.1,500:0.05,stale:0.2,pruned:5000
    ///
    /// With a probability each: 429, 429-retry-after, 500, 404-html, 502-html, 503-html, redirect, content-type, truncate, reset,
    /// hang, drip, oversized, stale (a node that is behind), shuffle, repeat, skip, foreign, duplicate-keys (of a page's events),
    /// counter-low; of the transaction stream stream-drop, stream-reset, stream-throttled, stream-repeat, stream-stall, stream-split, stream-hole.
    /// Otherwise: pruned, pruned-500, pruned-empty:VERSION, gap:SEQNO, chain:ID, stream-chain:ID, mistyped:SHARE.
    #[arg(long, value_name = "SPEC", default_value = "")]
    fault: String,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let _guard = log_to_stderr(logs, vec![])?;
    let wrong = |flag: &str, value: &str, remedy: &str| Failure::Setting(format!("{flag} {value}: {remedy}"));
    let listen: SocketAddr = args
        .listen
        .parse()
        .map_err(|_| wrong("--listen", &args.listen, "expected an address and a port, like 127.0.0.1:8090"))?;
    if !args.rate.is_finite() || args.rate < 0.0 {
        return Err(wrong("--rate", &args.rate.to_string(), "expected events per second, 0 or more"));
    }
    let config = Config {
        seed: args.seed,
        events: args.events,
        rate: args.rate,
        latency: config::duration("--latency", &args.latency)?,
        collections: args.collections,
        tokens: args.tokens,
        spacing: args.spacing,
        module_events: args.module_events,
        stream_key: args.stream_key.filter(|key| !key.is_empty()),
        contrary: args.contrary,
        faults: args.fault.parse().map_err(|error| wrong("--fault", &args.fault, &format!("{error}")))?,
        ends_at: None,
    };
    let listener =
        TcpListener::bind(listen).await.map_err(|error| wrong("--listen", &args.listen, &error.to_string()))?;
    let node = Node::new(config);
    let creator = if args.collections > 0 { format!(", a creator at {CREATOR}") } else { String::new() };
    println!(
        "simulated node at http://{0}/v1, transaction stream at http://{0}, {1} events, ledger version {2}{creator}",
        listener.local_addr()?,
        args.events,
        node.ledger_version()
    );
    Ok(node.serve(listener, until_signal()?).await?)
}
