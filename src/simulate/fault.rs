//! What can go wrong, in the grammar of `--fault`: `name:value`, comma-separated.
//!
//! | name | value | what happens |
//! |---|---|---|
//! | `429` | probability | the gateway refuses, in plain text |
//! | `429-retry-after` | probability | the same, with `Retry-After: 1` |
//! | `500` | probability | the node fails, in JSON |
//! | `404-html`, `502-html`, `503-html` | probability | a proxy fails, in HTML |
//! | `redirect` | probability | a proxy answers 302, to where nobody listens |
//! | `content-type` | probability | the answer is right, and says that it is HTML |
//! | `truncate` | probability | the connection ends within the body |
//! | `reset` | probability | the connection ends without an answer |
//! | `hang` | probability | nothing is answered for a minute |
//! | `drip` | probability | the answer comes in small pieces, one a second |
//! | `oversized` | probability | 40 MiB of nothing |
//! | `stale` | probability | the answer comes from a node that is some thousands of versions behind |
//! | `shuffle` | probability | two events of a page have changed places |
//! | `repeat` | probability | an event of a page comes twice |
//! | `skip` | probability | an event of a page is left out |
//! | `foreign` | probability | the first event of a page is of another handle |
//! | `duplicate-keys` | probability | the first event of a page has two versions |
//! | `counter-low` | probability | a resource says that its handles have emitted nothing |
//! | `stream-drop` | probability | the stream ends within a response |
//! | `stream-reset` | probability | the same, and its connection with it |
//! | `stream-throttled` | probability | the service wants fewer calls, and ends this one |
//! | `stream-repeat` | probability | the end of a response, or all of it, comes twice |
//! | `stream-stall` | probability | the stream says nothing for a minute |
//! | `stream-split` | probability | a response ends at any version |
//! | `stream-hole` | probability | a response is left out |
//! | `stream-chain` | 1 to 255 | the stream says that it is of that chain |
//! | `chain` | 1 to 255 | the node says that it is of that chain |
//! | `pruned` | version | what is older is gone: 410 in the gateway's words |
//! | `pruned-500` | version | the same, as older nodes say it: 500 |
//! | `pruned-empty` | version | the same, untold: an empty page of events, and what is left of a page of transactions |
//! | `gap` | sequence number | pages of `list_token_events` leave it out |
//! | `mistyped` | share | so many events are broken on chain, for good |

use std::fmt::{self, Display, Formatter};
use std::num::NonZeroU8;
use std::str::FromStr;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What happens to one answer, by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// `429`
    TooMany,
    /// `429-retry-after`
    TooManyRetryAfter,
    /// `500`
    Internal,
    /// `503-html`
    Unavailable,
    /// `truncate`
    Truncate,
    /// `reset`
    Reset,
    /// `stale`
    Stale,
    /// `404-html`
    NotFound,
    /// `502-html`
    BadGateway,
    /// `redirect`
    Redirect,
    /// `content-type`
    ContentType,
    /// `hang`
    Hang,
    /// `drip`
    Drip,
    /// `oversized`
    Oversized,
    /// `shuffle`
    Shuffle,
    /// `repeat`
    Repeat,
    /// `skip`
    Skip,
    /// `foreign`
    Foreign,
    /// `duplicate-keys`
    DuplicateKeys,
    /// `counter-low`
    CounterLow,
}

/// What happens to one response of the transaction stream, by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamMishap {
    /// `stream-drop`
    Drop,
    /// `stream-reset`
    Reset,
    /// `stream-throttled`
    Throttled,
    /// `stream-repeat`
    Repeat,
    /// `stream-stall`
    Stall,
    /// `stream-split`
    Split,
    /// `stream-hole`
    Hole,
}

/// In which words a node says that history is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrunedForm {
    /// 410, with a hint and the oldest version.
    Gone,
    /// 500, in words only.
    Internal,
    /// 200 and no events.
    Empty,
}

const MISHAPS: [(&str, Mishap); 20] = [
    ("429", Mishap::TooMany),
    ("429-retry-after", Mishap::TooManyRetryAfter),
    ("500", Mishap::Internal),
    ("503-html", Mishap::Unavailable),
    ("truncate", Mishap::Truncate),
    ("reset", Mishap::Reset),
    ("stale", Mishap::Stale),
    ("404-html", Mishap::NotFound),
    ("502-html", Mishap::BadGateway),
    ("redirect", Mishap::Redirect),
    ("content-type", Mishap::ContentType),
    ("hang", Mishap::Hang),
    ("drip", Mishap::Drip),
    ("oversized", Mishap::Oversized),
    ("shuffle", Mishap::Shuffle),
    ("repeat", Mishap::Repeat),
    ("skip", Mishap::Skip),
    ("foreign", Mishap::Foreign),
    ("duplicate-keys", Mishap::DuplicateKeys),
    ("counter-low", Mishap::CounterLow),
];

const STREAM_MISHAPS: [(&str, StreamMishap); 7] = [
    ("stream-drop", StreamMishap::Drop),
    ("stream-reset", StreamMishap::Reset),
    ("stream-throttled", StreamMishap::Throttled),
    ("stream-repeat", StreamMishap::Repeat),
    ("stream-stall", StreamMishap::Stall),
    ("stream-split", StreamMishap::Split),
    ("stream-hole", StreamMishap::Hole),
];

const PRUNED_FORMS: [(&str, PrunedForm); 3] =
    [("pruned", PrunedForm::Gone), ("pruned-500", PrunedForm::Internal), ("pruned-empty", PrunedForm::Empty)];

/// The faults of a node; none by default. Of a name given twice, and of the three forms of `pruned`, the last one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    chances: [f64; MISHAPS.len()],
    stream_chances: [f64; STREAM_MISHAPS.len()],
    stream_chain: Option<NonZeroU8>,
    pruned: Option<(PrunedForm, u64)>,
    gap: Option<u64>,
    chain: Option<NonZeroU8>,
    mistyped: f64,
}

/// Why a description of faults was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFaults {
    /// Not `name:value`, or no such name.
    #[error("unknown fault `{0}`: expected name:value with a name of {names}", names = names())]
    Name(String),
    /// A value that this name cannot have.
    #[error("fault `{0}`: `{1}` is not {2}")]
    Value(String, String, &'static str),
}

impl Faults {
    /// What happens to the next answer.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Mishap> {
        drawn(&MISHAPS, &self.chances, rng)
    }

    /// What happens to the next response of the stream.
    pub(super) fn draw_for_stream(&self, rng: &mut ChaCha8Rng) -> Option<StreamMishap> {
        drawn(&STREAM_MISHAPS, &self.stream_chances, rng)
    }

    /// The chain that the stream says it is of, if not the node's.
    pub(super) fn stream_chain(&self) -> Option<u8> {
        self.stream_chain.map(NonZeroU8::get)
    }

    /// The oldest version there still is, and how its loss is told.
    pub(super) const fn pruned(&self) -> Option<(PrunedForm, u64)> {
        self.pruned
    }

    /// The sequence number that pages of listings leave out.
    pub(super) const fn gap(&self) -> Option<u64> {
        self.gap
    }

    /// The chain that the node says it is of, if not its own.
    pub(super) fn chain(&self) -> Option<u8> {
        self.chain.map(NonZeroU8::get)
    }

    /// The share of events that are broken.
    pub(super) const fn mistyped(&self) -> f64 {
        self.mistyped
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BadFaults> {
        let bad = |expected| BadFaults::Value(name.to_owned(), value.to_owned(), expected);
        let share = || {
            let share: Option<f64> = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
            share.ok_or_else(|| bad("a number from 0 to 1"))
        };
        let chain = || value.parse().map_err(|_| bad("a chain's number, from 1 to 255"));
        let whole = || value.parse::<u64>().map_err(|_| bad("a whole number"));
        if let Some(at) = MISHAPS.iter().position(|(known, _)| *known == name) {
            self.chances[at] = share()?;
        } else if let Some(at) = STREAM_MISHAPS.iter().position(|(known, _)| *known == name) {
            self.stream_chances[at] = share()?;
        } else if let Some((_, form)) = PRUNED_FORMS.iter().find(|(known, _)| *known == name) {
            self.pruned = Some((*form, whole()?));
        } else if name == "gap" {
            self.gap = Some(whole()?);
        } else if name == "chain" {
            self.chain = Some(chain()?);
        } else if name == "stream-chain" {
            self.stream_chain = Some(chain()?);
        } else if name == "mistyped" {
            self.mistyped = share()?;
        } else {
            return Err(BadFaults::Name(name.to_owned()));
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = BadFaults;

    fn from_str(text: &str) -> Result<Self, BadFaults> {
        let mut faults = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once(':').ok_or_else(|| BadFaults::Name(word.to_owned()))?;
            faults.set(name.trim(), value.trim())?;
        }
        Ok(faults)
    }
}

impl Display for Faults {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chances = MISHAPS.iter().map(|(name, _)| name).zip(self.chances);
        let of_stream = STREAM_MISHAPS.iter().map(|(name, _)| name).zip(self.stream_chances);
        let chances = chances.chain(of_stream).filter(|(_, chance)| *chance > 0.0);
        let mut words: Vec<String> = chances.map(|(name, chance)| format!("{name}:{chance}")).collect();
        if let Some((form, version)) = self.pruned {
            let name = PRUNED_FORMS.iter().find(|(_, known)| *known == form).map_or("pruned", |(name, _)| name);
            words.push(format!("{name}:{version}"));
        }
        words.extend(self.gap.map(|seq_no| format!("gap:{seq_no}")));
        words.extend(self.chain.map(|chain| format!("chain:{chain}")));
        words.extend(self.stream_chain.map(|chain| format!("stream-chain:{chain}")));
        if self.mistyped > 0.0 {
            words.push(format!("mistyped:{}", self.mistyped));
        }
        f.write_str(&words.join(","))
    }
}

/// Always rolled, so that one fault's luck does not depend on another's.
fn drawn<M: Copy>(mishaps: &[(&str, M)], chances: &[f64], rng: &mut ChaCha8Rng) -> Option<M> {
    let chances = mishaps.iter().zip(chances).filter(|(_, chance)| **chance > 0.0);
    chances.fold(None, |drawn, ((_, mishap), chance)| {
        let hit = rng.random_bool(*chance);
        drawn.or(hit.then_some(*mishap))
    })
}

fn names() -> String {
    let chances = MISHAPS.iter().map(|(name, _)| *name).chain(STREAM_MISHAPS.iter().map(|(name, _)| *name));
    let all = chances.chain(PRUNED_FORMS.iter().map(|(name, _)| *name));
    all.chain(["gap", "chain", "stream-chain", "mistyped"]).collect::<Vec<_>>().join(", ")
}
