//! Transactions as the node shows them.

use serde_json::{Value, json};

use super::address::{self, Address};
use super::answer::Refusal;
use super::creator::Creator;
use super::fault::PrunedForm;
use super::http::View;
use super::ledger::Executed;
use super::market::Member;
use super::query::Query;
use super::stream::Stream;
use super::v1::{self, Table};
use super::{CONTRACT, dice, state};

const TRANSACTION_HASH: u64 = 0x7A;
const STATE_HASH: u64 = 0x57A7E;
const MULTISIG: u64 = 0x3516;
/// So many of the market's transactions are those of accounts with several owners.
const MULTISIGS: f64 = 0.1;

/// A transaction that an account signed.
pub struct Sent {
    /// Its version.
    pub version: u64,
    /// Its signer.
    pub sender: Address,
    /// How many transactions the signer had sent before.
    pub sequence_number: u64,
    /// The function that it called.
    pub function: String,
    /// The account that called it, if that is one of several owners.
    pub multisig: Option<Address>,
    /// How it ended.
    pub verdict: Verdict,
    /// What it told; the framework adds one event.
    pub events: Vec<Value>,
    /// What it wrote.
    pub changes: Vec<Value>,
}

impl Sent {
    const fn gas(&self) -> usize {
        400 + 300 * self.events.len() + (self.events.len() > 2) as usize
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Executed,
    /// A contract refused; the signer paid all the same.
    Aborted,
}

impl View<'_> {
    /// `/transactions?start={version}&limit={count}`; without a start the last ones. Unlike of events, a start beyond the end is
    /// an error.
    pub fn transactions(&self, query: &Query<'_>) -> Result<String, Refusal> {
        let (start, limit) = (query.u64("start")?, query.page_limit()?);
        let (oldest, behind) = (self.head.oldest, self.head.version + 1);
        let start = start.unwrap_or_else(|| behind.saturating_sub(limit as u64).max(oldest));
        if start >= behind {
            let message = format!(
                "Given start value ({start}) is higher than the current ledger version, it must be < {}",
                self.head.version
            );
            return Err(Refusal::invalid(&message));
        }
        if let Some((form, oldest)) = self.faults.pruned().filter(|_| start < oldest) {
            let message = format!("Ledger version({start}) has been pruned");
            return Err(match form {
                PrunedForm::Internal => Refusal::internal(&message),
                PrunedForm::Gone | PrunedForm::Empty => Refusal::gone("version_pruned", &message, oldest),
            });
        }
        let page: Value = (start..behind).take(limit).map(|version| self.transaction(version)).collect();
        Ok(page.to_string())
    }

    /// `/transactions/by_version/{version}`
    pub fn transaction_at(&self, version: u64) -> Result<String, Refusal> {
        if version > self.head.version {
            let message = format!("Transaction not found by Ledger version({version})");
            return Err(Refusal::not_found("transaction_not_found", &message));
        }
        self.refuse_pruned("version_pruned", version)?;
        Ok(self.transaction(version).to_string())
    }

    /// The transaction of a version, whoever sent it.
    pub fn transaction(&self, version: u64) -> Value {
        let mut transaction = json!({
            "version": version.to_string(),
            "hash": dice::hash(self.seed, TRANSACTION_HASH, version),
            "state_change_hash": dice::hash(self.seed, STATE_HASH, version),
            "event_root_hash": dice::hash(self.seed, STATE_HASH, version + 1),
            "state_checkpoint_hash": null,
            "gas_used": "0",
            "success": true,
            "vm_status": "Executed successfully",
            "accumulator_root_hash": dice::hash(self.seed, STATE_HASH, version + 2),
            "changes": [],
            "timestamp": self.ledger.timestamp(version).to_string(),
            "type": "state_checkpoint_transaction",
        });
        if let Some(sent) = self.sent(version) {
            self.describe(sent, &mut transaction);
        }
        transaction
    }

    /// The transaction of a version, if somebody signed it, with the framework's own event.
    pub fn signed(&self, version: u64) -> Option<Sent> {
        let mut sent = self.sent(version)?;
        sent.events.push(fee(sent.gas()));
        Some(sent)
    }

    fn sent(&self, version: u64) -> Option<Sent> {
        let of_market = self.ledger.transaction(version).map(|executed| self.of_market(executed));
        of_market.or_else(|| self.gallery.transaction(version))
    }

    /// Makes a transaction that of somebody.
    fn describe(&self, sent: Sent, transaction: &mut Value) {
        let gas = sent.gas();
        let Sent { version, sender, sequence_number, function, multisig, verdict, mut events, changes } = sent;
        let signature = dice::hash(self.seed, TRANSACTION_HASH, version + 1);
        transaction["type"] = "user_transaction".into();
        transaction["gas_used"] = gas.to_string().into();
        transaction["sender"] = address::trimmed(&sender).into();
        transaction["sequence_number"] = sequence_number.to_string().into();
        transaction["replay_protection_nonce"] = Value::Null;
        transaction["max_gas_amount"] = (gas * 2).to_string().into();
        transaction["gas_unit_price"] = "100".into();
        transaction["expiration_timestamp_secs"] = (self.ledger.timestamp(version) / 1_000_000 + 60).to_string().into();
        let call = json!({
            "function": function,
            "type_arguments": [],
            "arguments": [],
            "type": "entry_function_payload",
        });
        transaction["payload"] = match multisig {
            Some(account) => json!({
                "multisig_address": address::trimmed(&account),
                "transaction_payload": call,
                "type": "multisig_payload",
            }),
            None => call,
        };
        transaction["signature"] = json!({
            "public_key": dice::hash(self.seed, TRANSACTION_HASH, version + 2),
            "signature": format!("{signature}{}", &signature[2..]),
            "type": "ed25519_signature",
        });
        if verdict == Verdict::Aborted {
            transaction["success"] = false.into();
            transaction["vm_status"] =
                "Move abort in 0x3::token: ECOLLECTION_ALREADY_EXISTS(0x80003): There is such a collection".into();
        }
        // The framework's own event comes last, so that all others have their indexes.
        events.push(fee(gas));
        transaction["events"] = events.into();
        transaction["changes"] = changes.into();
    }

    /// The market's events first, so that they have their indexes; then what the framework tells of the same.
    fn of_market(&self, executed: &Executed) -> Sent {
        let told = self.ledger.events_of(executed);
        let version = executed.version;
        let sender = address::bytes(&executed.sender);
        let mut events: Vec<Value> = told.iter().map(|(stream, seq_no)| self.event(*stream, *seq_no)).collect();
        let mut changes = vec![state::account(&sender, executed.sequence_number + 1, v1::NUMBERS).written(&sender)];
        let multisig = dice::is_among(MULTISIGS, self.seed, MULTISIG, version);
        let multisig = multisig.then(|| address::bytes(&dice::hash(self.seed, MULTISIG, version)));
        let function = told.first().map_or("fixed_price_market::noop", |(stream, _)| stream.entry_function());
        let creations =
            told.iter().filter(|(stream, _)| matches!(stream, Stream::CreateCollection | Stream::CreateToken));
        if let Some(creator) = Member::find(self.ledger, &sender) {
            for (stream, at) in creations {
                let number = creator.seq_no(*stream, *at);
                let (event, written) = creation(&creator, *stream, number, version);
                events.push(event);
                changes.extend(written);
            }
        }
        Sent {
            version,
            sender,
            sequence_number: executed.sequence_number,
            function: format!("{CONTRACT}::{function}"),
            multisig,
            verdict: Verdict::Executed,
            events,
            changes,
        }
    }

    /// An event as a transaction shows it: without a version.
    fn event(&self, stream: Stream, seq_no: usize) -> Value {
        let data = serde_json::from_str::<Value>(&self.ledger.log(stream).data.get(seq_no)).unwrap_or_default();
        if self.module_events {
            return state::module_event(&stream.event_type(), &data);
        }
        let holder = address::bytes(CONTRACT);
        state::event(&holder, stream.creation_number(), seq_no as u64, &stream.event_type(), &data)
    }
}

/// The framework's event about what the market told in the same transaction, and what it wrote.
fn creation(creator: &Member, stream: Stream, number: u64, version: u64) -> (Value, Vec<Value>) {
    let holder = creator.address();
    let write = |table: Table, item: state::Item| item.written(&table.handle(&holder), true);
    if stream == Stream::CreateCollection {
        let (_, collection) = creator.told_collection(number);
        let kind = "0x3::token::CreateCollectionEvent";
        let event = state::event(&holder, v1::COLLECTION_EVENTS, number, kind, &collection.event());
        return (event, vec![write(Table::Collections, collection.item())]);
    }
    let (_, token) = creator.told_token(number);
    let kind = "0x3::token::CreateTokenDataEvent";
    let event = state::event(&holder, v1::TOKEN_EVENTS, number, kind, &token.event());
    let collection = creator.collection(&token.collection, version).filter(|collection| collection.maximum > 0);
    let counted = collection.map(|collection| write(Table::Collections, collection.item()));
    (event, [write(Table::Tokens, token.item())].into_iter().chain(counted).collect())
}

fn fee(gas: usize) -> Value {
    let data = json!({
        "execution_gas_units": (gas / 2).to_string(),
        "io_gas_units": (gas - gas / 2).to_string(),
        "storage_fee_octas": "0",
        "storage_fee_refund_octas": "0",
        "total_charge_gas_units": gas.to_string(),
    });
    state::module_event("0x1::transaction_fee::FeeStatement", &data)
}
