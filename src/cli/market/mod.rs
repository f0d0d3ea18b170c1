//! `market`: writing market files, and trying them.

mod draft;
mod guess;
mod init;
mod test;

use clap::Subcommand;

use super::Outcome;
use crate::config::Logs;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A first market file for a contract, from what a node says of its modules
    Init(init::Args),
    /// What given events would become, without a database; status 1 if one of them cannot be decoded
    Test(test::Args),
}

pub async fn run(args: Args, logs: &Logs) -> Outcome {
    match args.what {
        What::Init(args) => init::run(args, logs).await,
        What::Test(args) => test::run(&args),
    }
}
