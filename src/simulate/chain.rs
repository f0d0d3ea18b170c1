//! What the node says about itself, its blocks and its contract.

use serde_json::{Value, json};

use super::answer::{Head, Refusal};
use super::http::View;
use super::{CONTRACT, abi, dice};

const BLOCK_HASH: u64 = 0xB10C;

impl View<'_> {
    /// `/`
    pub fn ledger_info(&self) -> String {
        let head = &self.head;
        format!(
            r#"{{"chain_id":{},"epoch":"{}","ledger_version":"{}","oldest_ledger_version":"{}","ledger_timestamp":"{}","node_role":"full_node","oldest_block_height":"{}","block_height":"{}","git_hash":"{}","encryption_key":null}}"#,
            head.chain_id,
            head.epoch(),
            head.version,
            head.oldest,
            head.timestamp,
            head.oldest_height(),
            head.height(),
            &dice::hash(self.seed, 0x617, 0)[2..42],
        )
    }

    /// `/accounts/{address}/module/{name}`
    pub fn module(&self, address: &str, name: &str) -> Result<String, Refusal> {
        let module = abi::module_of(address, name);
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
        let first = height * Head::BLOCK;
        // A block has one time, which its transactions tell as well: it ends where theirs moves on.
        let (first, last) = self.ledger.of_one_time(version, first, first + Head::BLOCK - 1);
        let block = json!({
            "block_height": height.to_string(),
            "block_hash": dice::hash(self.seed, BLOCK_HASH, first),
            "block_timestamp": self.ledger.timestamp(version).to_string(),
            "first_version": first.to_string(),
            "last_version": last.to_string(),
            "transactions": null,
        });
        Ok(block.to_string())
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
