//! `market init`: a first market file, from what a node says of a contract's modules.

use std::path::PathBuf;

use super::super::{Failure, Outcome, log_to_stderr, print};
use super::draft::Draft;
use crate::chain::Address;
use crate::config::{Logs, Node};
use crate::subject::{Nodes, SubjectError};

#[derive(clap::Args)]
pub struct Args {
    /// The account of the contract
    #[arg(value_name = "0xADDRESS")]
    address: String,
    #[command(flatten)]
    node: Node,
    /// What the market is to be called
    #[arg(long, value_name = "NAME", default_value = "my_market")]
    name: String,
    /// Write the file here, where there is none yet, instead of to stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    let address: Address =
        args.address.parse().map_err(|error| Failure::Setting(format!("market init {}: {error}", args.address)))?;
    let nodes = Nodes::new(args.node.nodes()?).map_err(Failure::Setting)?;
    let _guard = log_to_stderr(logs, args.node.secrets())?;
    let failed = |error: SubjectError| Failure::Failed(error.to_string());
    let ledger = nodes.ledger().await.map_err(failed)?;
    let modules = nodes.modules(address).await.map_err(failed)?;
    if modules.is_empty() {
        return Err(Failure::Failed(format!(
            "{address} has no modules on chain {}: check the address, and that NODE_URL is of the right chain",
            ledger.chain_id.map(|chain| chain.to_string()).unwrap_or_default()
        )));
    }
    let draft = Draft::of(&args.name, address, ledger.chain_id, &modules).map_err(Failure::Setting)?;
    match &args.output {
        None => print(draft.text.trim_end())?,
        Some(path) => {
            let shown = path.display();
            let mut file = std::fs::File::create_new(path)
                .map_err(|error| Failure::Setting(format!("--output {shown}: cannot be written: {error}")))?;
            std::io::Write::write_all(&mut file, draft.text.as_bytes())?;
            eprintln!(
                "{shown}: {} streams, {} more commented out; see the guesses, then `event-worker check`",
                draft.streams, draft.unknown
            );
        }
    }
    if draft.streams == 0 {
        return Err(Failure::Failed(format!(
            "nothing of the {} kinds of events could be guessed: the file says what they have, and is no market yet",
            draft.unknown
        )));
    }
    Ok(())
}
