//! Events that are broken on chain: a field is missing, has another type, or holds a number that nothing can hold.

use serde_json::{Map, Value};

use super::dice;
use super::event::Event;

/// Fields that no reader of such an event can do without; the first one that an event has is broken.
const ESSENTIAL: [&str; 5] = ["price", "coin_amount_per_token", "offer_id", "token_id", "creator"];

/// Breaks the event, in a way that the given number decides.
pub fn mistype(event: &mut Event, number: u64) {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&event.data) else {
        return;
    };
    let Some(field) = ESSENTIAL.into_iter().find(|field| fields.contains_key(*field)) else {
        return;
    };
    match dice::roll(number, 0xB4D, 0) % 3 {
        0 => drop(fields.remove(field)),
        1 => drop(fields.insert(field.to_owned(), Value::from(vec![true]))),
        // More digits than any integer of the chain, or an address, can have; for a token, simply something else.
        _ => drop(fields.insert(field.to_owned(), Value::from("9".repeat(80)))),
    }
    event.sound = Some(std::mem::replace(&mut event.data, Value::Object(fields).to_string()));
}
