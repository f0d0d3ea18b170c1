//! What the node says about itself, its transactions, blocks and accounts.

use serde_json::{Value, json};

use super::answer::{CHAIN_ID, Head, Refusal};
use super::http::View;
use super::ledger::Executed;
use super::stream::Stream;
use super::{CONTRACT, abi, dice};

const BLOCK_HASH: u64 = 0xB10C;
const TRANSACTION_HASH: u64 = 0x7A;
const STATE_HASH: u64 = 0x57A7E;

impl View<'_> {
    /// `/`
    pub fn ledger_info(&self) -> String {
        let head = &self.head;
        format!(
            r#"{{"chain_id":{CHAIN_ID},"epoch":"{}","ledger_version":"{}","oldest_ledger_version":"{}","ledger_timestamp":"{}","node_role":"full_node","oldest_block_height":"{}","block_height":"{}","git_hash":"{}","encryption_key":null}}"#,
            head.epoch(),
            head.version,
            head.oldest,
            head.timestamp,
            head.oldest_height(),
            head.height(),
            &dice::hash(self.seed, 0x617, 0)[2..42],
        )
    }

    /// `/accounts/{address}`: an account that does not exist looks like one that has never sent anything.
    pub fn account(&self, address: &str) -> String {
        let sent = self.ledger.sent_by(address);
        let key = address.trim_start_matches("0x");
        format!(r#"{{"sequence_number":"{sent}","authentication_key":"0x{key:0>64}"}}"#)
    }

    /// `/accounts/{address}/module/{name}`
    pub fn module(&self, address: &str, name: &str) -> Result<String, Refusal> {
        let module = abi::module(name).filter(|_| address == CONTRACT);
        module.map(|module| module.to_string()).ok_or_else(|| {
            let version = self.head.version;
            let message =
                format!("Module not found by Address({address}), Module name({name}) and Ledger version({version})");
            Refusal::not_found("module_not_found", &message)
        })
    }

    /// `/blocks/by_version/{version}`
    pub fn block(&self, version: u64) -> Result<String, Refusal> {
        if version > self.head.version {
            let message = format!("Block not found by Ledger version({version})");
            return Err(Refusal::not_found("block_not_found", &message));
        }
        self.refuse_pruned("block_pruned", version)?;
        let height = version / Head::BLOCK;
        let (first, last) = (height * Head::BLOCK, height * Head::BLOCK + Head::BLOCK - 1);
        let block = json!({
            "block_height": height.to_string(),
            "block_hash": dice::hash(self.seed, BLOCK_HASH, height),
            "block_timestamp": self.ledger.timestamp(last).to_string(),
            "first_version": first.to_string(),
            "last_version": last.to_string(),
            "transactions": null,
        });
        Ok(block.to_string())
    }

    /// `/transactions/by_version/{version}`
    pub fn transaction(&self, version: u64) -> Result<String, Refusal> {
        if version > self.head.version {
            let message = format!("Transaction not found by Ledger version({version})");
            return Err(Refusal::not_found("transaction_not_found", &message));
        }
        self.refuse_pruned("version_pruned", version)?;
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
        if let Some(executed) = self.ledger.transaction(version) {
            self.describe(executed, &mut transaction);
        }
        Ok(transaction.to_string())
    }

    /// Makes a transaction that of a user of the market.
    fn describe(&self, executed: &Executed, transaction: &mut Value) {
        let events = self.ledger.events_of(executed);
        let gas = 400 + 300 * events.len() + usize::from(events.len() > 2);
        let function = events.first().map_or("fixed_price_market::noop", |(stream, _)| stream.entry_function());
        let signature = dice::hash(self.seed, TRANSACTION_HASH, executed.version + 1);
        transaction["type"] = "user_transaction".into();
        transaction["gas_used"] = gas.to_string().into();
        transaction["sender"] = (*executed.sender).into();
        transaction["sequence_number"] = executed.sequence_number.to_string().into();
        transaction["replay_protection_nonce"] = Value::Null;
        transaction["max_gas_amount"] = (gas * 2).to_string().into();
        transaction["gas_unit_price"] = "100".into();
        transaction["expiration_timestamp_secs"] = (executed.timestamp / 1_000_000 + 60).to_string().into();
        transaction["payload"] = json!({
            "function": format!("{CONTRACT}::{function}"),
            "type_arguments": [],
            "arguments": [],
            "type": "entry_function_payload",
        });
        transaction["signature"] = json!({
            "public_key": dice::hash(self.seed, TRANSACTION_HASH, executed.version + 2),
            "signature": format!("{signature}{}", &signature[2..]),
            "type": "ed25519_signature",
        });
        let market = events.iter().map(|(stream, seq_no)| self.event(*stream, *seq_no));
        // The framework's own event comes last, so that the market's have their indexes.
        transaction["events"] = market.chain([fee(gas)]).collect();
    }

    /// An event as a transaction shows it: without a version.
    fn event(&self, stream: Stream, seq_no: usize) -> Value {
        let data = &self.ledger.log(stream).data[seq_no];
        json!({
            "guid": {"creation_number": stream.creation_number().to_string(), "account_address": CONTRACT},
            "sequence_number": seq_no.to_string(),
            "type": stream.event_type(),
            "data": serde_json::from_str::<Value>(data).unwrap_or_default(),
        })
    }
}

/// `/accounts/{address}/modules`
pub fn modules(address: &str) -> String {
    let names = abi::MODULES.into_iter().filter(|_| address == CONTRACT);
    names.filter_map(abi::module).collect::<Value>().to_string()
}

/// `/info`
pub fn info() -> String {
    json!({
        "bootstrapping_mode": "ExecuteOrApplyFromGenesis",
        "chain_id": "testing",
        "continuous_syncing_mode": "ExecuteTransactionsOrApplyOutputs",
        "internal_indexer_config": {
            "enable_transaction": true,
            "enable_event": true,
            "enable_event_v2_translation": false,
            "event_v2_translation_ignores_below_version": 0,
            "enable_statekeys": true,
            "batch_size": 10_000,
            "runtime_threads": 2,
        },
        "node_type": "PublicFullnode",
    })
    .to_string()
}

fn fee(gas: usize) -> Value {
    json!({
        "guid": {"creation_number": "0", "account_address": "0x0"},
        "sequence_number": "0",
        "type": "0x1::transaction_fee::FeeStatement",
        "data": {
            "execution_gas_units": (gas / 2).to_string(),
            "io_gas_units": (gas - gas / 2).to_string(),
            "storage_fee_octas": "0",
            "storage_fee_refund_octas": "0",
            "total_charge_gas_units": gas.to_string(),
        },
    })
}
