//! The database: there, ours, up to date, writable, and set up well.

use std::collections::BTreeMap;
use std::path::Path;

use super::machine::written;
use super::{Config, Line};
use crate::chain::{ChainId, SeqNo, Version};
use crate::state::{DatabaseUrl, Store, StoreError, Trouble};

/// What the database holds already.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub chain_id: Option<ChainId>,
    next: BTreeMap<String, SeqNo>,
    scanned: BTreeMap<String, Version>,
}

impl Stored {
    /// The next event that this observer executes.
    pub fn next(&self, observer: &str) -> SeqNo {
        self.next.get(observer).copied().unwrap_or_default()
    }

    /// Up to which version its stream has been read.
    pub fn scanned(&self, observer: &str) -> Option<Version> {
        self.scanned.get(observer).copied()
    }
}

const CHECK: &str = "database";

pub(super) async fn check(config: &Config) -> (Vec<Line>, Stored) {
    let url = &config.database;
    let existing = url.clone().existing();
    // Connecting would create it.
    if url.is_missing_file() && existing != *url {
        let lines = vec![Line::ok(CHECK, format!("{url} is not there yet: the worker creates it"))];
        return (lines.into_iter().chain(room(url)).collect(), Stored::default());
    }
    let store = match Store::connect(&existing).await {
        Ok(store) => store,
        Err(error) => return (vec![Line::of_database(CHECK, &error)], Stored::default()),
    };
    let mut lines = vec![Line::ok(CHECK, format!("{url} answers"))];
    let mut stored = Stored::default();
    match schema(&store).await {
        Ok(line) => {
            let is_up_to_date = line.remedy.is_none();
            lines.push(line);
            if is_up_to_date {
                lines.push(rights(&store).await);
                match rows(&store, config).await {
                    Ok((more, found)) => {
                        lines.extend(more);
                        stored = found;
                    }
                    Err(error) => lines.push(Line::of_database("rows", &error)),
                }
            }
        }
        Err(error) => lines.push(Line::of_database("schema", &error)),
    }
    lines.extend(server(&store).await);
    lines.extend(room(url));
    let _ = store.close().await;
    (lines, stored)
}

async fn schema(store: &Store) -> Result<Line, StoreError> {
    let missing = store.migrations().await?.into_iter().filter(|migration| !migration.applied);
    let missing: Vec<_> = missing.map(|migration| migration.name).collect();
    Ok(match &missing[..] {
        [] => Line::ok("schema", "up to date"),
        missing => Line::warn(
            "schema",
            format!("lacks {}", missing.join(", ")),
            "run `event-worker migrate up`; a worker does so when it starts, and needs the rights to",
        ),
    })
}

async fn rights(store: &Store) -> Line {
    const CHECK: &str = "rights";
    match store.may_write().await {
        Ok(()) => Line::ok(CHECK, "all tables can be written"),
        Err(error) if error.trouble() == Trouble::Contended => {
            Line::warn(CHECK, error.to_string(), "somebody holds a lock: check again")
        }
        Err(error) => Line::of_database(CHECK, &error),
    }
}

/// Where observers stand; lines if the rows are another deployment's, or were made by another file.
async fn rows(store: &Store, config: &Config) -> Result<(Vec<Line>, Stored), StoreError> {
    let overview = store.overview().await?;
    let other = overview.markets.iter().find_map(|stored| {
        let ours = config.markets.iter().find(|market| *market.name == *stored.market)?;
        (ours.address.to_string() != stored.address).then(|| format!("market {} of {}", stored.market, stored.address))
    });
    let other = other.map(|other| {
        let remedy = "correct MARKETS, or use a database of its own for each deployment (DATABASE_URL)";
        Line::fail("rows", format!("the database holds {other}"), remedy)
    });
    let mut lines: Vec<_> = other.into_iter().collect();
    for market in config.markets.iter() {
        let known = overview.markets.iter().find(|stored| *stored.market == *market.name);
        let changed = match known {
            Some(known) => {
                if let Err(StoreError::Refused(why)) = store.keep_sources(store.connection(), market, known).await {
                    lines.push(Line::fail(
                        &format!("source {}", market.name),
                        why,
                        "correct the market file (MARKETS)",
                    ));
                }
                store.changed_mapping(store.connection(), market, known).await?
            }
            None => vec![],
        };
        if !changed.is_empty() {
            let found = format!("the file says otherwise of {} than when their events were folded", changed.join(", "));
            let remedy = "`event-worker rebuild`, change it back, or go on with rows of both by `run --accept-mapping`";
            lines.push(Line::fail(&format!("mapping {}", market.name), found, remedy));
        }
    }
    let next = overview.checkpoints.iter();
    let next = next.map(|row| (row.observer.clone(), SeqNo::after_executed(row.executed_seq_no))).collect();
    let scanned = overview.checkpoints.iter().filter_map(|row| {
        let version = row.scanned_version.max(row.executed_version)?;
        Some((row.observer.clone(), Version::from_column(version)))
    });
    let chain_id = overview.checkpoints.iter().find_map(|row| ChainId::try_from(row.chain_id?).ok());
    Ok((lines, Stored { chain_id, next, scanned: scanned.collect() }))
}

async fn server(store: &Store) -> Vec<Line> {
    const CHECK: &str = "server";
    match store.server_settings().await {
        Ok(settings) => settings
            .into_iter()
            .map(|setting| {
                let (check, found) = (format!("{CHECK} {}", setting.name), setting.value);
                match setting.remedy {
                    None => Line::ok(&check, found),
                    Some(remedy) => Line::warn(&check, found, remedy),
                }
            })
            .collect(),
        Err(error) => vec![Line::warn(CHECK, error.to_string(), "compare its settings with the README by hand")],
    }
}

/// Whether there is room for an SQLite file to grow.
fn room(url: &DatabaseUrl) -> Option<Line> {
    /// As much as some thousand events need.
    const BYTES: usize = 8 << 20;
    const CHECK: &str = "disk";
    let file = url.file()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(match written(folder, BYTES) {
        Ok(()) => Line::ok(CHECK, format!("{} has room", folder.display())),
        Err(error) => Line::fail(
            CHECK,
            format!("no file can be written in {}: {error}", folder.display()),
            "make room, make the folder writable, or set DATABASE_URL elsewhere: SQLite writes files beside the database",
        ),
    })
}
