//! Dead letters, by the program itself: listed, shown, retried in their place, or discarded for good.
//!
//! Events are parked by a market file that asks `list_token_events` for a field which only those worth more than some
//! price have in that type; the right file understands them all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::simulate::{Config, Emitted};
use serde_json::Value;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::{broken_field, observer, plain_fold};
use support::process::{Ended, Setup};
use support::tables;

on_every_database!(
    retried_events_end_in_the_rows_that_they_would_have_given_at_once,
    retrying_beside_a_worker_and_another_retry_is_exact,
    discarded_events_stay_out_of_the_tables_until_somebody_wants_them,
);
