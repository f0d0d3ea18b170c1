//! What the contract writes into its events, as JSON text: every `u64` a string, every address trimmed of leading zeros.

use super::stream::Stream;

/// One event as the contract emits it; the ledger numbers it.
#[derive(Debug)]
pub struct Event {
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its `data`, as JSON text.
    pub data: String,
    /// What `data` was before it was broken.
    pub sound: Option<String>,
}

impl Event {
    /// An event that nobody has broken yet.
    pub const fn new(stream: Stream, data: String) -> Self {
        Self { stream, data, sound: None }
    }
}

/// The coins that this market trades in.
#[derive(Clone, Copy, Debug)]
pub enum Coin {
    /// `0x1::aptos_coin::AptosCoin`.
    Apt,
    /// A bridged dollar, six decimals.
    Usd,
}

impl Coin {
    /// `TypeInfo` of the coin: module and struct are byte vectors, hence hexadecimal.
    const fn type_info(self) -> &'static str {
        match self {
            Self::Apt => {
                r#"{"account_address":"0x1","module_name":"0x6170746f735f636f696e","struct_name":"0x4170746f73436f696e"}"#
            }
            Self::Usd => concat!(
                r#"{"account_address":"0xf22bede237a07e121b56d91a491eb7bcdfd1f5907926a9e58338f964a01b17fa","#,
                r#""module_name":"0x6173736574","struct_name":"0x55534443"}"#
            ),
        }
    }
}

/// A sale or a listing, as far as the three listing events share it.
pub struct Sale<'a> {
    /// Key of the listing.
    pub offer_id: u64,
    /// Who sells.
    pub seller: &'a str,
    /// Price of one copy.
    pub price: u128,
    /// Copies of this event.
    pub amount: u64,
    /// Paid in.
    pub coin: Coin,
    /// `TokenId` as JSON.
    pub token_id: &'a str,
    /// Microseconds.
    pub now: i64,
}

impl Sale<'_> {
    /// The listing opens.
    pub fn list(&self, locked_until_secs: i64) -> Event {
        let Self { offer_id, seller, price, amount, token_id, now, .. } = self;
        let coin = self.coin.type_info();
        let data = format!(
            r#"{{"coin_type_info":{coin},"offer_id":"{offer_id}","price":"{price}","seller":"{seller}","timestamp":"{now}","token_amount":"{amount}","token_id":{token_id},"locked_until_secs":"{locked_until_secs}"}}"#
        );
        Event::new(Stream::List, data)
    }

    /// The listing is taken back.
    pub fn delist(&self) -> Event {
        let Self { offer_id, seller, amount, token_id, now, .. } = self;
        let data = format!(
            r#"{{"offer_id":"{offer_id}","seller":"{seller}","timestamp":"{now}","token_amount":"{amount}","token_id":{token_id}}}"#
        );
        Event::new(Stream::Delist, data)
    }

    /// Copies are bought.
    pub fn buy(&self, buyer: &str) -> Event {
        let Self { offer_id, seller, price, amount, token_id, now, .. } = self;
        let coin = self.coin.type_info();
        let paid = price * u128::from(*amount);
        let data = format!(
            r#"{{"coin_type_info":{coin},"offer_id":"{offer_id}","price":"{price}","buyer":"{buyer}","seller":"{seller}","timestamp":"{now}","coin_amount":"{paid}","token_amount":"{amount}","token_id":{token_id}}}"#
        );
        Event::new(Stream::Buy, data)
    }
}

/// An offer for a token, as far as the three offer events share it.
pub struct Bid<'a> {
    /// Number of the offer.
    pub event_id: u64,
    /// Who offers coins.
    pub coin_owner: &'a str,
    /// Price of one copy.
    pub per_token: u128,
    /// Copies of this event.
    pub amount: u64,
    /// Paid in.
    pub coin: Coin,
    /// Seconds after its opening.
    pub expiration_secs: u64,
    /// `TokenId` as JSON.
    pub token_id: &'a str,
    /// Microseconds.
    pub now: i64,
}

impl Bid<'_> {
    /// The offer opens.
    pub fn offer(&self) -> Event {
        let Self { event_id, coin_owner, per_token, amount, expiration_secs, token_id, now, .. } = self;
        let coin = self.coin.type_info();
        let data = format!(
            r#"{{"coin_amount_per_token":"{per_token}","coin_owner":"{coin_owner}","coin_type_info":{coin},"event_id":"{event_id}","expiration_time":"{expiration_secs}","timestamp":"{now}","token_amount":"{amount}","token_id":{token_id}}}"#
        );
        Event::new(Stream::Offer, data)
    }

    /// An owner of the token takes the coins; `ends` when nothing remains wanted.
    pub fn accept(&self, token_owner: &str, ends: bool) -> Event {
        let Self { event_id, coin_owner, per_token, amount, expiration_secs, token_id, now, .. } = self;
        let coin = self.coin.type_info();
        let data = format!(
            r#"{{"is_offer_end":{ends},"token_id":{token_id},"coin_owner":"{coin_owner}","token_owner":"{token_owner}","token_amount":"{amount}","coin_amount_per_token":"{per_token}","timestamp":"{now}","event_id":"{event_id}","coin_type_info":{coin},"expiration_time":"{expiration_secs}"}}"#
        );
        Event::new(Stream::AcceptOffer, data)
    }

    /// The offerer takes back what was not accepted.
    pub fn cancel(&self) -> Event {
        let Self { event_id, coin_owner, per_token, amount, token_id, now, .. } = self;
        let coin = self.coin.type_info();
        let left = per_token * u128::from(*amount);
        let data = format!(
            r#"{{"coin_amount":"{left}","coin_owner":"{coin_owner}","coin_type_info":{coin},"event_id":"{event_id}","timestamp":"{now}","token_id":{token_id}}}"#
        );
        Event::new(Stream::CancelOffer, data)
    }
}
