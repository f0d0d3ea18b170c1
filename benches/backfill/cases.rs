//! What is measured, and which figures would be good ones.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::LocalBoxFuture;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::report::Settings;
use crate::support::database::Server;
use crate::{contention, growth, latency, live, naive, rebuild, scan, sink, verify};

/// One measurement: the worker into one kind of database.
pub struct Case {
    /// Its name in the report.
    pub name: &'static str,
    /// Where the worker writes.
    pub server: Server,
    /// What is measured there.
    pub kind: Kind,
    /// The shortest run that it is part of.
    pub from: Length,
}

/// What a case is about; each has a module of its own.
#[derive(Clone, Copy)]
pub enum Kind {
    Sink,
    /// How long the node takes for every answer.
    Latency(Duration),
    Naive,
    Live,
    Contention,
    Growth,
    Verify,
    Rebuild,
    /// The `SUBJECT` by which it reads.
    Scan(&'static str),
}

/// How long a run of the benchmark may take.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    Quick,
    Usual,
    Long,
}

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    Case { name: "sink/sqlite", server: Server::Sqlite, kind: Kind::Sink, from: Length::Quick },
    Case { name: "sink/mariadb", server: Server::MariaDb, kind: Kind::Sink, from: Length::Quick },
    Case { name: "sink/postgres", server: Server::Postgres, kind: Kind::Sink, from: Length::Quick },
    Case {
        name: "latency/50ms",
        server: Server::MariaDb,
        kind: Kind::Latency(Duration::from_millis(50)),
        from: Length::Quick,
    },
    Case {
        name: "latency/200ms",
        server: Server::MariaDb,
        kind: Kind::Latency(Duration::from_millis(200)),
        from: Length::Usual,
    },
    Case { name: "naive/mariadb", server: Server::MariaDb, kind: Kind::Naive, from: Length::Quick },
    Case { name: "live", server: Server::MariaDb, kind: Kind::Live, from: Length::Usual },
    Case { name: "live/sqlite", server: Server::Sqlite, kind: Kind::Live, from: Length::Usual },
    Case { name: "contention/mariadb", server: Server::MariaDb, kind: Kind::Contention, from: Length::Usual },
    Case { name: "verify/sqlite", server: Server::Sqlite, kind: Kind::Verify, from: Length::Usual },
    Case { name: "verify/mariadb", server: Server::MariaDb, kind: Kind::Verify, from: Length::Usual },
    Case { name: "verify/postgres", server: Server::Postgres, kind: Kind::Verify, from: Length::Usual },
    Case { name: "rebuild/sqlite", server: Server::Sqlite, kind: Kind::Rebuild, from: Length::Usual },
    Case { name: "rebuild/mariadb", server: Server::MariaDb, kind: Kind::Rebuild, from: Length::Usual },
    Case { name: "rebuild/postgres", server: Server::Postgres, kind: Kind::Rebuild, from: Length::Usual },
    Case { name: "scan/transactions", server: Server::Sqlite, kind: Kind::Scan("transactions"), from: Length::Usual },
    Case { name: "scan/stream", server: Server::Sqlite, kind: Kind::Scan("stream"), from: Length::Usual },
    Case { name: "growth/mariadb", server: Server::MariaDb, kind: Kind::Growth, from: Length::Long },
    Case { name: "growth/sqlite", server: Server::Sqlite, kind: Kind::Growth, from: Length::Long },
];

/// Between two polls of the worker that follows a live market, and how soon it should then have an event committed: half
/// of the pause is waited for on average, all of it at worst.
pub const LIVE_POLL: Duration = Duration::from_millis(100);
pub const LIVE_P50_MS: f64 = 100.0 / 2.0 + 20.0;
pub const LIVE_P99_MS: f64 = 100.0 + 50.0;

/// A figure is good from here on.
pub struct Bar {
    /// How the names of its cases start.
    cases: &'static str,
    figure: &'static str,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// All bars. Memory is in MB (10^6 bytes).
pub const BARS: &[Bar] = &[
    Bar { cases: "sink/", figure: "ratio_to_bare", limit: Limit::AtLeast(0.9) },
    Bar { cases: "sink/", figure: "bare_to_best", limit: Limit::AtLeast(0.8) },
    Bar { cases: "sink/", figure: "peak_rss_mb", limit: Limit::AtMost(64.0) },
    Bar { cases: "latency/", figure: "ratio_to_sink", limit: Limit::AtLeast(0.8) },
    Bar { cases: "latency/", figure: "peak_rss_mb", limit: Limit::AtMost(64.0) },
    Bar { cases: "naive/", figure: "ours_to_naive", limit: Limit::AtLeast(10.0) },
    Bar { cases: "live", figure: "p50_ms", limit: Limit::AtMost(LIVE_P50_MS) },
    Bar { cases: "live", figure: "p99_ms", limit: Limit::AtMost(LIVE_P99_MS) },
    Bar { cases: "live", figure: "idle_cpu_percent", limit: Limit::AtMost(1.0) },
    Bar { cases: "contention/", figure: "ratio_to_one_stream", limit: Limit::AtLeast(0.9) },
    Bar { cases: "verify/", figure: "ratio_to_backfill", limit: Limit::AtLeast(1.0) },
    Bar { cases: "verify/", figure: "peak_rss_mb", limit: Limit::AtMost(64.0) },
    Bar { cases: "rebuild/", figure: "ratio_to_backfill", limit: Limit::AtLeast(1.0) },
    Bar { cases: "scan/", figure: "versions_per_s", limit: Limit::AtLeast(20_000.0) },
    Bar { cases: "scan/", figure: "peak_rss_mb", limit: Limit::AtMost(64.0) },
    Bar { cases: "growth/", figure: "ratio_to_small", limit: Limit::AtLeast(0.8) },
    Bar { cases: "growth/", figure: "startup_ms", limit: Limit::AtMost(300.0) },
    Bar { cases: "growth/", figure: "peak_rss_mb", limit: Limit::AtMost(64.0) },
];

impl Case {
    /// Runs it. Boxed, because the compiler looks only so deep into futures of futures.
    pub fn measure<'a>(&'a self, settings: &'a Settings, folder: &'a Path) -> LocalBoxFuture<'a, Result<Figures>> {
        match self.kind {
            Kind::Sink => Box::pin(sink::measure(self, settings, folder)),
            Kind::Latency(latency) => Box::pin(latency::measure(self, latency, settings, folder)),
            Kind::Naive => Box::pin(naive::measure(self, settings, folder)),
            Kind::Live => Box::pin(live::measure(self, settings, folder)),
            Kind::Contention => Box::pin(contention::measure(self, settings, folder)),
            Kind::Growth => Box::pin(growth::measure(self, settings, folder)),
            Kind::Verify => Box::pin(verify::measure(self, settings, folder)),
            Kind::Rebuild => Box::pin(rebuild::measure(self, settings, folder)),
            Kind::Scan(subject) => Box::pin(scan::measure(self, subject, settings, folder)),
        }
    }
}

impl Bar {
    /// The bar for a figure of a case, if there is one.
    pub fn find(case: &str, figure: &str) -> Option<&'static Self> {
        BARS.iter().find(|bar| case.starts_with(bar.cases) && bar.figure == figure)
    }

    /// Whether a figure is not even half as good.
    pub fn is_missed_by_half(&self, value: f64) -> bool {
        match self.limit {
            Limit::AtLeast(limit) => value < limit / 2.0,
            Limit::AtMost(limit) => value > limit * 2.0,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Limit::AtLeast(limit) => write!(f, "at least {limit}"),
            Limit::AtMost(limit) => write!(f, "at most {limit}"),
        }
    }
}

/// What came out of a case: figures by name, in the order in which people read them.
#[derive(Serialize)]
pub struct Figures {
    /// The case's name.
    pub case: &'static str,
    /// Numbers, texts, null for what the system does not tell, and lists of single repetitions.
    #[serde(flatten, serialize_with = "as_map")]
    pub figures: Vec<(&'static str, Value)>,
}

impl Figures {
    /// Nothing yet.
    pub fn of(case: &Case) -> Self {
        Self { case: case.name, figures: vec![] }
    }

    /// One more figure.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.figures.push((name, value.into()));
        self
    }

    /// One more that is a number, rounded to so many decimal places.
    pub fn with_number(self, name: &'static str, value: f64, places: i32) -> Self {
        self.with(name, rounded(value, places))
    }
}

fn as_map<S: Serializer>(figures: &[(&'static str, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|(name, value)| (name, value)))
}

/// So many decimal places.
pub fn rounded(value: f64, places: i32) -> f64 {
    let factor = 10_f64.powi(places);
    (value * factor).round() / factor
}
