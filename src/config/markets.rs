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
        let wrong = |remedy: String| SettingError { setting: SETTING, value: self.markets.clone(), remedy };
        let texts = list(set_or(&self.markets, default::MARKETS));
        let markets = texts.into_iter().map(|text| market(SETTING, text)).collect::<Result<Vec<_>>>()?;
        if markets.is_empty() {
            return Err(wrong(format!("names no market; built in: {}", market::names().join(", "))));
        }
        let markets = market::Markets::new(markets)
            .map_err(|twice| wrong(format!("market {twice} is there twice: each name only once")))?;
        let mut chains = markets.chains();
        let first = chains.next();
        let other = first.and_then(|(_, chain)| chains.find(|(_, other)| *other != chain));
        if let (Some((one, chain)), Some((two, other))) = (first, other) {
            let (one, two) = (&one.name, &two.name);
            return Err(wrong(format!(
                "{one} is on chain {chain}, {two} on chain {other}: each chain needs a worker and a database of its own"
            )));
        }
        drop(chains);
        Ok(Arc::new(markets))
    }
}

const SETTING: &str = "MARKETS";

/// The market that `text` names: a file ending in `.toml`, or a built-in one, at another deployment behind an `@`.
pub fn market(setting: &'static str, text: &str) -> Result<Market> {
    let wrong = |remedy: String| SettingError { setting, value: text.to_owned(), remedy };
    let is_file = |text: &str| Path::new(text).extension().is_some_and(|extension| extension == "toml");
    if is_file(text) {
        let file = std::fs::read(text).map_err(|error| wrong(format!("the file cannot be read: {error}")))?;
        return Market::of_bytes(text, &file).map_err(|error| wrong(error.to_string()));
    }
    let (name, address) = text.rsplit_once('@').map_or((text, None), |(name, address)| (name, Some(address)));
    if is_file(name) {
        let remedy =
            "a file is moved by `address` in it; one that is `like` a built-in market says another address, too";
        return Err(wrong(remedy.to_owned()));
    }
    let address = address.map(str::parse).transpose().map_err(|error| wrong(format!("{error}")))?;
    Market::built_in(name, address).map_err(|error| wrong(error.to_string()))
}
