//! `MARKETS`, for every command that reads events.

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::{Result, SettingError, default, list, set_or};
use crate::market::{self, Market};

/// The markets that a command is about.
#[derive(Debug, Clone, Args)]
pub struct Markets {
    /// Names of built-in markets (imart, or imart@0xADDRESS for another deployment) or market files, comma-separated
    #[arg(long, env = "MARKETS", value_name = "MARKETS", help_heading = "Settings", default_value = default::MARKETS)]
    markets: String,
}

impl Markets {
    /// The markets, each read from its file.
    pub fn markets(&self) -> Result<Arc<market::Markets>> {
        let wrong = |value: &str, remedy: String| SettingError { setting: "MARKETS", value: value.to_owned(), remedy };
        let mut markets = vec![];
        for text in list(set_or(&self.markets, default::MARKETS)) {
            let market = if Path::new(text).extension().is_some_and(|extension| extension == "toml") {
                let file = std::fs::read_to_string(text)
                    .map_err(|error| wrong(text, format!("the file cannot be read: {error}")))?;
                Market::parse(text, &file, None)
            } else {
                let (name, address) =
                    text.split_once('@').map_or((text, None), |(name, address)| (name, Some(address)));
                let address = address.map(str::parse).transpose().map_err(|error| wrong(text, format!("{error}")))?;
                Market::built_in(name, address)
            };
            markets.push(market.map_err(|error| wrong(text, error.to_string()))?);
        }
        if markets.is_empty() {
            return Err(wrong(&self.markets, "names no market; `imart` is built in".to_owned()));
        }
        let markets = market::Markets::new(markets)
            .map_err(|twice| wrong(&self.markets, format!("market {twice} is there twice: each name only once")))?;
        Ok(Arc::new(markets))
    }
}
