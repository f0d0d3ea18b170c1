//! The database schema of event-worker, one change per file, for `MariaDB`, `MySQL`, `PostgreSQL` and `SQLite`.
//!
//! `MySQL` commits every DDL statement at once, so each migration consists of statements that can be repeated: a process
//! killed between two of them is finished by the next one.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod columns;
mod m20261121_000001_tables;
mod m20261121_000002_import;
mod m20261121_000003_commits;
mod m20261122_000004_leases;
mod m20261122_000005_letters;
mod m20261127_000006_addresses;
mod m20261127_000007_scanned;
mod m20261128_000008_mapping;
mod m20261128_000009_reordered;
mod m20261128_000010_parked;
mod m20261128_000011_transactions;

/// All schema changes, oldest first.
pub struct Migrator;

/// Where applied migrations are recorded: created before any other table, so that its absence tells a foreign database.
pub const MIGRATIONS_TABLE: &str = "event_worker_migrations";

/// The tables that migrations create.
pub const TABLES: [&str; 15] = [
    "checkpoints",
    "observer_status",
    "markets",
    "events",
    "orders",
    "offers",
    "activities",
    "collections",
    "tokens",
    "dead_letters",
    "imports",
    "commits",
    "workers",
    "reordered",
    "transactions",
];

/// The indexes that only readers need, by table and columns. The others find the events of an order or offer, for late ones.
pub const READERS: [(&str, &[&str]); 7] = [
    ("orders", m20261121_000001_tables::FLOORS),
    ("orders", m20261121_000001_tables::LISTINGS),
    ("offers", m20261121_000001_tables::TOKEN_OFFERS),
    ("offers", m20261121_000001_tables::COLLECTION_OFFERS),
    ("activities", m20261121_000001_tables::SALES),
    ("tokens", m20261121_000001_tables::OWNED),
    ("tokens", m20261121_000001_tables::HELD),
];

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_tables::Migration),
            Box::new(m20261121_000002_import::Migration),
            Box::new(m20261121_000003_commits::Migration),
            Box::new(m20261122_000004_leases::Migration),
            Box::new(m20261122_000005_letters::Migration),
            Box::new(m20261127_000006_addresses::Migration),
            Box::new(m20261127_000007_scanned::Migration),
            Box::new(m20261128_000008_mapping::Migration),
            Box::new(m20261128_000009_reordered::Migration),
            Box::new(m20261128_000010_parked::Migration),
            Box::new(m20261128_000011_transactions::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        Alias::new(MIGRATIONS_TABLE).into_iden()
    }
}
