//! Answers that look right and are not: what is done to a body that was fine.

use serde_json::value::RawValue;

use super::fault::Mishap;

/// The body with that mishap; `luck` decides where. A body that it cannot befall stays as it is.
pub fn spoil(mishap: Option<Mishap>, body: String, luck: u64) -> String {
    let spoilt = match mishap {
        Some(Mishap::CounterLow) => Some(body.replace(r#""counter":""#, r#""counter":"0","was":""#)),
        Some(mishap) if body.starts_with(r#"[{"version":"#) => page(mishap, &body, luck),
        _ => None,
    };
    spoilt.unwrap_or(body)
}

/// A page of events.
fn page(mishap: Mishap, body: &str, luck: u64) -> Option<String> {
    match mishap {
        Mishap::DuplicateKeys => Some(body.replacen(r#"{"version":""#, r#"{"version":"0","version":""#, 1)),
        Mishap::Foreign => Some(body.replacen(r#""creation_number":""#, r#""creation_number":"9"#, 1)),
        Mishap::Shuffle => events(body, |events| {
            let at = place(luck, events.len() - 1);
            events.swap(at, at + 1);
        }),
        Mishap::Repeat => events(body, |events| {
            let at = place(luck, events.len());
            events.insert(at, events[at]);
        }),
        Mishap::Skip => events(body, |events| {
            events.remove(place(luck, events.len()));
        }),
        _ => None,
    }
}

fn place(luck: u64, places: usize) -> usize {
    usize::try_from(luck % places as u64).unwrap_or_default()
}

/// Changes the order of two events at least, each of which stays as it is to the last byte.
fn events<'a>(body: &'a str, change: impl FnOnce(&mut Vec<&'a RawValue>)) -> Option<String> {
    let mut events: Vec<&RawValue> = serde_json::from_str(body).ok().filter(|events: &Vec<_>| events.len() > 1)?;
    change(&mut events);
    let events: Vec<_> = events.into_iter().map(RawValue::get).collect();
    Some(format!("[{}]", events.join(",")))
}
