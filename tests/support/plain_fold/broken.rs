//! Which events cannot be understood, and the field that is to blame.

use event_worker::simulate::Emitted;
use serde_json::Value;

use super::{Kind, STREAMS, place};

enum Form {
    Number,
    Address,
    Token,
}

/// The path of the first field without which the event says nothing; `None` if all is well.
pub fn broken_field(event: &Emitted) -> Option<String> {
    let data: Value = serde_json::from_str(&event.data).expect("the node writes JSON");
    let fields: &[(&str, Form)] = match STREAMS[place(event.stream)].2 {
        Kind::PlaceListing | Kind::FillListing => &[("offer_id", Form::Number), ("price", Form::Number)],
        Kind::CancelListing => &[("offer_id", Form::Number)],
        Kind::PlaceOffer | Kind::FillOffer => &[("token_id", Form::Token), ("coin_amount_per_token", Form::Number)],
        Kind::CancelOffer | Kind::CreateToken => &[("token_id", Form::Token)],
        Kind::CreateCollection => &[("creator", Form::Address)],
    };
    let wrong = fields.iter().find(|(name, form)| !form.fits(data.get(name)));
    wrong.map(|(name, _)| format!("data.{name}"))
}

impl Form {
    fn fits(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return false };
        let text = value.as_str();
        match self {
            Self::Number => text.is_some_and(|text| text.parse::<u128>().is_ok()),
            Self::Address => text.is_some_and(|text| text.starts_with("0x") && text.len() <= 66),
            Self::Token => value.get("token_data_id").is_some(),
        }
    }
}
