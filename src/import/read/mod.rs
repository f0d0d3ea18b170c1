//! What a thing is now: its tables' items or its object's resources, as rows.

mod v1;
mod v2;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::find::{Thing, Wanted};
use super::source::{Failed, Source, Tables};
use super::summary::Kind;
use crate::chain::{Address, Amount};
use crate::state::{ImportedCollection, ImportedToken};
use crate::telemetry::table::shortened;

/// The answer for one thing.
#[derive(Debug)]
pub(super) enum Read {
    Collection(Box<ImportedCollection>),
    Token(Box<ImportedToken>),
    /// It is no longer on chain.
    Gone(Kind),
    /// It never was, or is somebody else's.
    NotOurs,
    /// This one could not be read.
    Failed {
        kind: Kind,
        what: String,
        reason: String,
    },
}

/// Reads the things of one account.
pub(super) struct Reader {
    account: Address,
    source: Arc<Source>,
    tables: Option<Tables>,
    /// v2 collections by address: the name of each that is the account's.
    collections: Mutex<HashMap<Address, Arc<OnceCell<Option<String>>>>>,
}

impl Reader {
    pub fn new(account: Address, source: Arc<Source>, tables: Option<Tables>) -> Self {
        Self { account, source, tables, collections: Mutex::default() }
    }

    /// Reads the present state of `wanted`. An `Err` tells that nothing can be read any more.
    pub async fn read(&self, wanted: Wanted) -> Result<Read, Failed> {
        let read = match &wanted.thing {
            Thing::V1Collection { name } => v1::collection(self, name, &wanted).await,
            Thing::V1Token { collection, name } => v1::token(self, collection, name, &wanted).await,
            Thing::V2Collection { object } => v2::collection(self, *object, &wanted).await,
            Thing::V2Token { object, collection } => v2::token(self, *object, *collection, &wanted).await,
        };
        match read {
            Ok(read) => Ok(read),
            Err(Failed::Missing(_)) if wanted.is_guess => Ok(Read::NotOurs),
            Err(Failed::Missing(_)) => Ok(Read::Gone(wanted.thing.kind())),
            Err(Failed::Pruned(reason) | Failed::Refused(reason)) => {
                Ok(Read::Failed { kind: wanted.thing.kind(), what: wanted.thing.to_string(), reason })
            }
            Err(failed @ (Failed::Cancelled | Failed::GaveUp(_))) => Err(failed),
        }
    }

    fn collection_cell(&self, address: Address) -> Arc<OnceCell<Option<String>>> {
        let mut known = self.collections.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(address).or_default())
    }
}

/// Characters of an answer that a message shows.
const SHOWN: usize = 200;

/// A field of what the node answered; what is not as it should be is told with its name.
fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value, Failed> {
    let missing =
        || Failed::Refused(format!("the node's answer has no {name}: {}", shortened(&value.to_string(), SHOWN)));
    value.get(name).ok_or_else(missing)
}

fn text(value: &Value, name: &str) -> Result<String, Failed> {
    let found = field(value, name)?;
    let wrong =
        || Failed::Refused(format!("expected a text as {name}, found {}", shortened(&found.to_string(), SHOWN)));
    found.as_str().map(str::to_owned).ok_or_else(wrong)
}

fn number(value: &Value, name: &str) -> Result<Amount, Failed> {
    let found = field(value, name)?;
    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    text.parse().map_err(|error| Failed::Refused(format!("{name}: {error}")))
}

fn address(value: &Value, name: &str) -> Result<Address, Failed> {
    text(value, name)?.parse().map_err(|error| Failed::Refused(format!("{name}: {error}")))
}

/// `{"numerator", "denominator", "payee"}` under the key `royalty`.
fn royalty(numerator: Amount, denominator: Amount, payee: Address) -> Value {
    serde_json::json!({ "numerator": numerator, "denominator": denominator, "payee": payee.to_string() })
}

fn metadata<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
