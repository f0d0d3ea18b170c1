//! The creator's transactions: what they told and what they wrote.

use serde_json::Value;

use super::super::address;
use super::super::state::{self, module_event};
use super::super::transaction::{Sent, Verdict};
use super::super::v1::{self, Table};
use super::plan::Act;
use super::{ELSEWHERE, Gallery, Moment};

/// What a transaction told and wrote.
#[derive(Default)]
struct Effects {
    events: Vec<Value>,
    changes: Vec<Value>,
}

impl Gallery {
    /// The transaction of exactly that version.
    pub fn transaction(&self, version: u64) -> Option<Sent> {
        let number = self.plan.at(version)?;
        let act = self.plan.act(number)?;
        let mut effects = Effects::default();
        effects.changes.push(state::account(&self.creator, number + 1, v1::NUMBERS).written(&self.creator));
        let own = address::trimmed(&self.creator);
        let (function, verdict) = match act {
            Act::Create => (format!("{own}::gallery::create_collections"), Verdict::Executed),
            Act::Mint => (format!("{own}::gallery::mint_tokens"), Verdict::Executed),
            Act::MintElsewhere => (format!("{ELSEWHERE}::commons::mint"), Verdict::Executed),
            Act::Transfer => ("0x1::aptos_account::transfer".to_owned(), Verdict::Executed),
            Act::Fail => (format!("{own}::gallery::create_collections"), Verdict::Aborted),
        };
        match act {
            Act::Create => self.create(number, &mut effects),
            Act::Mint => self.mint(number, &mut effects),
            Act::MintElsewhere => self.mint_elsewhere(number, &mut effects),
            Act::Transfer | Act::Fail => {}
        }
        effects.changes.push(state::coins(&self.creator, number + 1).written(&self.creator));
        let Effects { events, changes } = effects;
        Some(Sent {
            version,
            sender: self.creator,
            sequence_number: number,
            function,
            multisig: None,
            verdict,
            events,
            changes,
        })
    }

    fn create(&self, number: u64, effects: &mut Effects) {
        let (before, moment) = self.around(number);
        let mut is_older = false;
        for i in before.reach.collections..moment.reach.collections {
            if i >= self.older() {
                let collection = self.v2_collection(i, moment);
                effects.changes.extend(collection.resources().iter().map(|part| part.written(&collection.object)));
                continue;
            }
            let collection = self.v1_collection(i, moment);
            let data = collection.event();
            effects.events.push(if i < self.by_handle() {
                state::event(&self.creator, v1::COLLECTION_EVENTS, i.into(), "0x3::token::CreateCollectionEvent", &data)
            } else {
                module_event("0x3::token::CreateCollection", &data)
            });
            effects.changes.push(collection.item().written(&self.table(Table::Collections), is_indexed(number)));
            is_older = true;
        }
        if is_older {
            self.write_handles(moment, effects);
        }
    }

    fn mint(&self, number: u64, effects: &mut Effects) {
        let (before, moment) = self.around(number);
        let tokens = before.reach.tokens..moment.reach.tokens;
        let mut collections: Vec<u32> = tokens.clone().map(|token| self.place(token).0).collect();
        collections.dedup();
        for token in tokens {
            if self.place(token).0 < self.older() {
                self.mint_older(token, number, moment, effects);
            } else {
                let token = self.v2_token(token, moment);
                effects.events.push(module_event("0x4::collection::Mint", &token.event()));
                let parts = token.resources(&self.creator);
                effects.changes.extend(parts.iter().map(|part| part.written(&token.object)));
            }
        }
        let mut is_older = false;
        for i in collections {
            if i < self.older() {
                is_older = true;
                let collection = self.v1_collection(i, moment);
                // Where there is no limit nothing is counted, hence nothing written.
                if collection.maximum > 0 {
                    effects
                        .changes
                        .push(collection.item().written(&self.table(Table::Collections), is_indexed(number)));
                }
            } else {
                let collection = self.v2_collection(i, moment);
                let parts = [
                    Some(collection.core()),
                    (i % 2 == 1).then(|| collection.collection()),
                    Some(collection.counted()),
                ];
                effects.changes.extend(parts.iter().flatten().map(|part| part.written(&collection.object)));
            }
        }
        if is_older {
            self.write_handles(moment, effects);
        }
    }

    fn mint_older(&self, at: u32, number: u64, moment: Moment, effects: &mut Effects) {
        let token = self.v1_token(at, moment);
        effects.events.push(if at < self.change {
            let kind = "0x3::token::CreateTokenDataEvent";
            state::event(&self.creator, v1::TOKEN_EVENTS, at.into(), kind, &token.event())
        } else {
            module_event("0x3::token::TokenDataCreation", &token.module_event())
        });
        effects.changes.push(token.item().written(&self.table(Table::Tokens), is_indexed(number)));
    }

    fn mint_elsewhere(&self, number: u64, effects: &mut Effects) {
        let (before, moment) = self.around(number);
        let (token, collection) = (self.foreign_token(before.reach.elsewhere, moment), self.foreign_collection(moment));
        effects.events.push(module_event("0x4::collection::Mint", &token.event()));
        effects.changes.extend(token.resources(&self.elsewhere).iter().map(|part| part.written(&token.object)));
        let parts = [collection.core(), collection.counted()];
        effects.changes.extend(parts.iter().map(|part| part.written(&collection.object)));
    }

    fn write_handles(&self, moment: Moment, effects: &mut Effects) {
        let (collections, tokens) =
            (moment.reach.collections.min(self.by_handle()), moment.reach.tokens.min(self.change));
        let resource = v1::collections(&self.creator, collections.into(), tokens.into());
        effects.changes.push(resource.written(&self.creator));
    }

    /// What there was before and after a transaction.
    fn around(&self, number: u64) -> (Moment, Moment) {
        let [before, after] =
            [number, number + 1].map(|number| Moment { reach: self.plan.reach(number), is_late: false });
        (before, after)
    }

    fn table(&self, table: Table) -> [u8; 32] {
        table.handle(&self.creator)
    }
}

/// One transaction in eight comes from a node that kept no index of tables then.
const fn is_indexed(number: u64) -> bool {
    number % 8 != 1
}
