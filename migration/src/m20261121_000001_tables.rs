//! The first schema: all tables.

use sea_orm_migration::prelude::*;

use crate::TABLES;
use crate::columns::Columns;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = Columns::of(manager).await?;
        progress(manager, &columns).await?;
        events(manager, &columns).await?;
        orders(manager, &columns).await?;
        offers(manager, &columns).await?;
        activities(manager, &columns).await?;
        items(manager, &columns).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).if_exists().take()).await?;
        }
        Ok(())
    }
}

/// Floor price of a collection.
pub const FLOORS: &[&str] = &["collection_id", "status", "price"];
/// Open listings of a token.
pub const LISTINGS: &[&str] = &["token_id", "status"];
/// Best offer for a token.
pub const TOKEN_OFFERS: &[&str] = &["token_id", "status"];
/// Best offer for a collection.
pub const COLLECTION_OFFERS: &[&str] = &["collection_id", "status"];
/// Somebody's sales.
pub const SALES: &[&str] = &["from_address", "occurred_at"];
/// What somebody owns.
pub const OWNED: &[&str] = &["owner"];
/// What a collection holds.
pub const HELD: &[&str] = &["collection_id"];

/// Observers' names: market and stream, 30 characters each.
pub const OBSERVER: u32 = 64;
/// Ids of orders and offers: market and key.
const DEAL: u32 = 100;

async fn progress(manager: &SchemaManager<'_>, c: &Columns) -> Result<(), DbErr> {
    let mut table = c.table("checkpoints");
    table
        .col(c.key("observer", OBSERVER).not_null().primary_key())
        .col(ColumnDef::new("chain_id").integer())
        .col(ColumnDef::new("executed_seq_no").big_integer().not_null())
        .col(ColumnDef::new("executed_version").big_integer())
        .col(ColumnDef::new("scanned_version").big_integer())
        .col(ColumnDef::new("events_total").big_integer().not_null())
        .col(c.time("updated_at").not_null());
    c.create(manager, table, "checkpoints", &[]).await?;

    let mut table = c.table("observer_status");
    table
        .col(c.key("observer", OBSERVER).not_null().primary_key())
        .col(c.key("state", 20).not_null())
        .col(c.text("cause"))
        .col(c.text("last_error"))
        .col(ColumnDef::new("rate").double().not_null())
        .col(ColumnDef::new("counter").big_integer())
        .col(ColumnDef::new("lag_seconds").big_integer())
        .col(c.text("worker").not_null())
        .col(c.time("since").not_null())
        .col(c.time("updated_at").not_null());
    c.create(manager, table, "observer_status", &[]).await?;

    let mut table = c.table("markets");
    table
        .col(c.key("market", OBSERVER).not_null().primary_key())
        .col(c.address("address").not_null())
        .col(ColumnDef::new("unexpected").big_integer().not_null());
    c.create(manager, table, "markets", &[]).await
}

async fn events(manager: &SchemaManager<'_>, c: &Columns) -> Result<(), DbErr> {
    let mut table = c.table("events");
    table
        .col(c.key("observer", OBSERVER).not_null())
        .col(ColumnDef::new("seq_no").big_integer().not_null())
        .col(ColumnDef::new("version").big_integer().not_null())
        .col(ColumnDef::new("event_index").integer())
        .col(c.text("event_type").not_null())
        .col(c.address("account_address").not_null())
        .col(ColumnDef::new("creation_number").big_integer().not_null())
        .col(c.text("data").not_null())
        .col(c.time("occurred_at"))
        .col(c.time("recorded_at").not_null())
        .primary_key(Index::create().col("observer").col("seq_no"));
    c.create(manager, table, "events", &[]).await?;

    let mut table = c.table("dead_letters");
    table
        .col(c.key("observer", OBSERVER).not_null())
        .col(ColumnDef::new("seq_no").big_integer().not_null())
        .col(ColumnDef::new("version").big_integer().not_null())
        .col(c.text("event_type").not_null())
        .col(c.text("data").not_null())
        .col(c.text("error").not_null())
        .col(ColumnDef::new("attempts").integer().not_null())
        .col(c.time("first_seen_at").not_null())
        .col(c.time("last_seen_at").not_null())
        .col(c.key("state", 20).not_null())
        .primary_key(Index::create().col("observer").col("seq_no"));
    c.create(manager, table, "dead_letters", &[]).await
}

/// The columns that say which collection and token a row is about.
fn item(table: &mut TableCreateStatement, c: &Columns) {
    table
        .col(c.address("collection_id"))
        .col(c.text("collection_name"))
        .col(c.address("creator"))
        .col(c.address("token_id"))
        .col(c.text("token_name"))
        .col(ColumnDef::new("property_version").big_integer().not_null());
}

/// The position of the last event that a row has folded.
fn last(table: &mut TableCreateStatement, c: &Columns) {
    table
        .col(ColumnDef::new("last_seq_no").big_integer().not_null())
        .col(c.key("last_observer", OBSERVER).not_null())
        .col(ColumnDef::new("last_version").big_integer().not_null())
        .col(ColumnDef::new("last_event_index").integer())
        .col(ColumnDef::new("unexpected").integer().not_null());
}

async fn orders(manager: &SchemaManager<'_>, c: &Columns) -> Result<(), DbErr> {
    let mut table = c.table("orders");
    table
        .col(c.key("order_id", DEAL).not_null().primary_key())
        .col(c.key("market", OBSERVER).not_null())
        .col(c.text("order_key").not_null());
    item(&mut table, c);
    table
        .col(c.address("seller"))
        .col(c.address("buyer"))
        .col(c.amount("price"))
        .col(c.count("quantity"))
        .col(c.count("remaining_quantity"))
        .col(c.text("currency"))
        .col(c.key("status", 20).not_null())
        .col(c.amount("sale_price"))
        .col(c.time("listed_at"))
        .col(c.time("closed_at"))
        .col(ColumnDef::new("listed_version").big_integer())
        .col(ColumnDef::new("closed_version").big_integer());
    last(&mut table, c);
    c.create(manager, table, "orders", &[FLOORS, LISTINGS]).await
}

async fn offers(manager: &SchemaManager<'_>, c: &Columns) -> Result<(), DbErr> {
    let mut table = c.table("offers");
    table
        .col(c.key("offer_id", DEAL).not_null().primary_key())
        .col(c.key("market", OBSERVER).not_null())
        .col(c.text("offer_key").not_null())
        .col(c.key("scope", 20).not_null());
    item(&mut table, c);
    table
        .col(c.address("offerer"))
        .col(c.address("acceptor"))
        .col(c.amount("price"))
        .col(c.count("quantity"))
        .col(c.count("remaining_quantity"))
        .col(c.text("currency"))
        .col(c.key("status", 20).not_null())
        .col(c.time("expires_at"))
        .col(c.time("opened_at"))
        .col(c.time("closed_at"))
        .col(ColumnDef::new("opened_version").big_integer())
        .col(ColumnDef::new("closed_version").big_integer());
    last(&mut table, c);
    c.create(manager, table, "offers", &[TOKEN_OFFERS, COLLECTION_OFFERS]).await
}

async fn activities(manager: &SchemaManager<'_>, c: &Columns) -> Result<(), DbErr> {
    let mut table = c.table("activities");
    table
        .col(c.key("observer", OBSERVER).not_null())
        .col(ColumnDef::new("seq_no").big_integer().not_null())
        .col(ColumnDef::new("version").big_integer().not_null())
        .col(ColumnDef::new("event_index").integer())
        .col(c.key("market", OBSERVER).not_null())
        .col(c.key("kind", 30).not_null())
        .col(c.key("order_id", DEAL))
        .col(c.key("offer_id", DEAL));
    item(&mut table, c);
    table
        .col(c.address("from_address"))
        .col(c.address("to_address"))
        .col(c.amount("price"))
        .col(c.count("quantity"))
        .col(c.amount("total"))
        .col(c.amount("royalty"))
        .col(c.amount("fee"))
        .col(c.text("currency"))
        .col(c.time("occurred_at"))
        .primary_key(Index::create().col("observer").col("seq_no"));
    // The events of one order or offer, for late ones.
    c.create(manager, table, "activities", &[&["order_id"], &["offer_id"], SALES]).await
}

async fn items(manager: &SchemaManager<'_>, c: &Columns) -> Result<(), DbErr> {
    let mut table = c.table("collections");
    table
        .col(c.address("collection_id").not_null().primary_key())
        .col(c.address("creator"))
        .col(c.text("name"))
        .col(c.text("description"))
        .col(c.text("uri"))
        .col(c.key("standard", 2).not_null())
        .col(c.count("supply"))
        .col(c.count("maximum"))
        .col(c.text("metadata"))
        .col(ColumnDef::new("created_version").big_integer())
        .col(c.time("updated_at").not_null());
    c.create(manager, table, "collections", &[]).await?;

    let mut table = c.table("tokens");
    table
        .col(c.address("token_id").not_null())
        .col(ColumnDef::new("property_version").big_integer().not_null())
        .col(c.address("collection_id"))
        .col(c.address("creator"))
        .col(c.text("collection_name"))
        .col(c.text("name"))
        .col(c.text("description"))
        .col(c.text("uri"))
        .col(ColumnDef::new("created_version").big_integer())
        .col(c.address("owner"))
        .col(ColumnDef::new("owner_version").big_integer())
        .col(ColumnDef::new("owner_place").big_integer())
        .col(ColumnDef::new("owner_seq_no").big_integer())
        .col(c.time("updated_at").not_null())
        .primary_key(Index::create().col("token_id").col("property_version"));
    c.create(manager, table, "tokens", &[OWNED, HELD]).await
}
