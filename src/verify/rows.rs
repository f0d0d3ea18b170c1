//! What each stored row must be, given what folding makes of it. Importing owns some columns of tokens and collections, and
//! may have made rows that no event tells of.

use crate::state::entities::{collections, tokens};

/// All bits of `imported`: description, uri, maximum.
const DESCRIPTION: i32 = 1;
const URI: i32 = 2;
const MAXIMUM: i32 = 4;

/// The row that `stored` must be, where `folded` is what the events make of it; `None`: there must be none.
pub fn token(folded: Option<tokens::Model>, stored: &tokens::Model) -> Option<tokens::Model> {
    let Some(folded) = folded else { return imported_token(stored) };
    let stored = stored.clone();
    // Every token that is imported has both.
    let is_imported = stored.imported != 0;
    Some(tokens::Model {
        // Where an import knows what no event has told, or tells of a later change, the greater text stands.
        collection_id: grown(folded.collection_id, stored.collection_id, is_imported),
        creator: grown(folded.creator, stored.creator, is_imported),
        collection_name: grown(folded.collection_name, stored.collection_name, is_imported),
        name: grown(folded.name, stored.name, is_imported),
        description: owned(folded.description, stored.description, stored.imported & DESCRIPTION != 0),
        uri: owned(folded.uri, stored.uri, stored.imported & URI != 0),
        created_version: grown(folded.created_version, stored.created_version, is_imported),
        supply: stored.supply,
        maximum: stored.maximum,
        metadata: stored.metadata,
        imported: possible(stored.imported),
        updated_at: stored.updated_at,
        ..folded
    })
}

/// The same for a collection. A list in a file may tell nothing but its name.
pub fn collection(folded: Option<collections::Model>, stored: &collections::Model) -> Option<collections::Model> {
    let Some(folded) = folded else { return imported_collection(stored) };
    let stored = stored.clone();
    let is_imported = stored.imported != 0;
    let unknown = |folded: &Option<String>| is_imported || folded.is_none();
    Some(collections::Model {
        creator: grown(folded.creator.clone(), stored.creator, unknown(&folded.creator)),
        name: grown(folded.name.clone(), stored.name, unknown(&folded.name)),
        description: owned(folded.description, stored.description, stored.imported & DESCRIPTION != 0),
        uri: owned(folded.uri, stored.uri, stored.imported & URI != 0),
        maximum: owned(folded.maximum, stored.maximum, stored.imported & MAXIMUM != 0),
        created_version: grown(folded.created_version, stored.created_version, is_imported),
        supply: stored.supply,
        metadata: stored.metadata,
        imported: possible(stored.imported),
        updated_at: stored.updated_at,
        ..folded
    })
}

/// A token that only an import can have made: whole, but without an owner.
fn imported_token(stored: &tokens::Model) -> Option<tokens::Model> {
    let is_named = stored.collection_id.is_some()
        && stored.creator.is_some()
        && stored.collection_name.is_some()
        && stored.name.is_some();
    let is_flagged = stored.imported == possible(stored.imported)
        && stored.description.is_some() == (stored.imported & DESCRIPTION != 0)
        && stored.uri.is_some() == (stored.imported & URI != 0)
        && stored.maximum.is_some() == (stored.imported & MAXIMUM != 0);
    let has_owner = stored.owner.is_some()
        || stored.owner_version.is_some()
        || stored.owner_place.is_some()
        || stored.owner_seq_no.is_some();
    let is_possible = stored.imported != 0 && stored.property_version == 0 && is_named && is_flagged && !has_owner;
    is_possible.then(|| stored.clone())
}

fn imported_collection(stored: &collections::Model) -> Option<collections::Model> {
    let is_flagged = stored.imported == possible(stored.imported)
        && stored.description.is_some() == (stored.imported & DESCRIPTION != 0)
        && stored.uri.is_some() == (stored.imported & URI != 0)
        && stored.maximum.is_some() == (stored.imported & MAXIMUM != 0);
    let is_standard = ["v1", "v2"].contains(&&*stored.standard);
    let is_possible = stored.creator.is_some() && stored.name.is_some() && is_flagged && is_standard;
    is_possible.then(|| stored.clone())
}

/// Folding never lowers such a column, and an import may have raised it.
fn grown<T: PartialOrd>(folded: Option<T>, stored: Option<T>, may_be_greater: bool) -> Option<T> {
    if may_be_greater && stored > folded { stored } else { folded }
}

fn owned<T>(folded: Option<T>, stored: Option<T>, is_imported: bool) -> Option<T> {
    if is_imported { stored } else { folded }
}

fn possible(imported: i32) -> i32 {
    imported & (DESCRIPTION | URI | MAXIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Amount;
    use crate::state::now;

    fn folded() -> tokens::Model {
        tokens::Model {
            token_id: "0x1".to_owned(),
            property_version: 0,
            collection_id: None,
            creator: Some("b".to_owned()),
            collection_name: Some("cats".to_owned()),
            name: Some("cat".to_owned()),
            description: Some("told by an event".to_owned()),
            uri: None,
            created_version: Some(5),
            owner: Some("0x2".to_owned()),
            owner_version: Some(6),
            owner_place: Some(7),
            owner_seq_no: Some(8),
            supply: None,
            maximum: None,
            metadata: None,
            imported: 0,
            updated_at: now(),
        }
    }

    #[test]
    fn an_import_may_fill_raise_and_own_but_nothing_else() {
        let is_right = |change: &dyn Fn(&mut tokens::Model)| {
            let mut stored = folded();
            change(&mut stored);
            token(Some(folded()), &stored).as_ref() == Some(&stored)
        };
        assert!(is_right(&|_| {}));
        assert!(is_right(&|row| row.supply = Some(Amount(9))));
        for change in [
            |row: &mut tokens::Model| row.collection_id = Some("0x3".to_owned()),
            |row: &mut tokens::Model| row.name = Some("dog".to_owned()),
            |row: &mut tokens::Model| row.created_version = Some(6),
        ] {
            assert!(!is_right(&change));
            let imported = |row: &mut tokens::Model| {
                row.imported = URI;
                change(row);
            };
            assert!(is_right(&imported));
        }
        for (imported, right) in [(0, false), (URI, false), (DESCRIPTION, true), (DESCRIPTION | 8, false)] {
            let change = |row: &mut tokens::Model| {
                row.description = Some("imported".to_owned());
                row.imported = imported;
            };
            assert_eq!(is_right(&change), right, "{imported}");
        }
        for change in [
            |row: &mut tokens::Model| row.name = Some("bat".to_owned()),
            |row: &mut tokens::Model| row.created_version = None,
            |row: &mut tokens::Model| row.owner_seq_no = Some(9),
        ] {
            let imported = |row: &mut tokens::Model| {
                row.imported = URI | DESCRIPTION;
                change(row);
            };
            assert!(!is_right(&imported));
        }
    }

    #[test]
    fn only_whole_tokens_without_an_owner_come_from_an_import_alone() {
        let whole = tokens::Model {
            collection_id: Some("0x3".to_owned()),
            uri: Some("u".to_owned()),
            owner: None,
            owner_version: None,
            owner_place: None,
            owner_seq_no: None,
            imported: DESCRIPTION | URI,
            ..folded()
        };
        assert_eq!(token(None, &whole), Some(whole.clone()));
        for wrong in [
            tokens::Model { owner: Some("0x2".to_owned()), ..whole.clone() },
            tokens::Model { property_version: 1, ..whole.clone() },
            tokens::Model { imported: 0, ..whole.clone() },
            tokens::Model { uri: None, ..whole.clone() },
            tokens::Model { maximum: Some(Amount(1)), ..whole.clone() },
            tokens::Model { name: None, ..whole },
        ] {
            assert_eq!(token(None, &wrong), None, "{wrong:?}");
        }
    }
}
