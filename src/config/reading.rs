//! What streams are read from.

use clap::Args;

use super::{Result, SettingError, default, filled, service_url, set_or};
use crate::subject::StreamConfig;

/// Where streams that have an event handle are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Each handle from its endpoint.
    Handles,
    /// All of them from the ledger's transactions.
    Transactions,
    /// All of them from a stream of transactions.
    Stream,
}

/// What streams are read from.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    /// Where streams that have an event handle are read from: `handles`, each from its own endpoint; `transactions`, of the
    /// nodes, for those that do not index events; `stream`, the transaction stream at `STREAM_URL`, filtered by the
    /// service, soonest and with the fewest requests. The latter two tell each event's place in its transaction, too. Module
    /// events are found in transactions, or in the stream. It may be changed between two runs
    #[arg(long, env = "SUBJECT", value_name = "SUBJECT", help_heading = "Settings", default_value = default::SUBJECT)]
    subject: String,
    /// The transaction stream's gRPC address (<https://grpc.mainnet.aptoslabs.com:443>), for `SUBJECT=stream` [default: none]
    #[arg(long, env = "STREAM_URL", hide_env_values = true, value_name = "URL", help_heading = "Settings")]
    stream_url: Option<String>,
    /// Sent to it as `authorization: Bearer` [default: none]
    #[arg(long, env = "STREAM_KEY", hide_env_values = true, value_name = "KEY", help_heading = "Settings")]
    stream_key: Option<String>,
}

impl Reading {
    /// Where streams that have an event handle are read from.
    pub fn from(&self) -> Result<ReadFrom> {
        match set_or(&self.subject, default::SUBJECT).trim() {
            "handles" => Ok(ReadFrom::Handles),
            "transactions" => Ok(ReadFrom::Transactions),
            "stream" => Ok(ReadFrom::Stream),
            _ => Err(SettingError {
                setting: "SUBJECT",
                value: self.subject.clone(),
                remedy: "expected handles, transactions or stream".to_owned(),
            }),
        }
    }

    /// The transaction stream, if that is what is read.
    pub fn stream(&self) -> Result<Option<StreamConfig>> {
        const EXPECTED: &str = "expected a gRPC address, like https://grpc.mainnet.aptoslabs.com:443";
        let url = filled(self.stream_url.as_ref()).map(|url| service_url("STREAM_URL", url, EXPECTED)).transpose()?;
        match (self.from()?, url) {
            (ReadFrom::Handles | ReadFrom::Transactions, _) => Ok(None),
            (ReadFrom::Stream, Some(url)) => {
                Ok(Some(StreamConfig { url, key: filled(self.stream_key.as_ref()).map(str::to_owned) }))
            }
            (ReadFrom::Stream, None) => {
                let remedy = format!("set STREAM_URL, too: {EXPECTED}");
                Err(SettingError { setting: "SUBJECT", value: self.subject.clone(), remedy })
            }
        }
    }

    /// The key, for redaction.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        filled(self.stream_key.as_ref()).map(str::to_owned).into_iter().collect()
    }
}
