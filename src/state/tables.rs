//! Which set of tables is folded into: the live ones, or those of a rebuild.

use sea_orm::sea_query::{Alias, IntoTableRef, TableRef};
use sea_orm::{EntityName, EntityTrait, QuerySelect, Select};

/// A set of the tables that folding fills, with checkpoints of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    Live,
    /// The same names behind [`PREFIX`]; the events are the live ones.
    Rebuilt,
}

/// Before the names of the tables of a rebuild.
pub(super) const PREFIX: &str = "rebuild_";

impl Tables {
    /// The name of `E`'s table.
    pub fn name<E: EntityName + Default>(self) -> String {
        self.named(E::default().table_name())
    }

    /// What is called `name` among the live tables.
    pub fn named(self, name: &str) -> String {
        match self {
            Self::Live => name.to_owned(),
            Self::Rebuilt => format!("{PREFIX}{name}"),
        }
    }

    /// The same, to build a statement with.
    pub fn of<E: EntityName + Default>(self) -> Alias {
        Alias::new(self.name::<E>())
    }

    /// Under `E`'s own name, by which its columns are told.
    pub fn aliased<E: EntityName + Default>(self) -> TableRef {
        self.of::<E>().into_table_ref().alias(Alias::new(E::default().table_name()))
    }

    /// A query of `E`'s rows.
    pub fn find<E: EntityTrait>(self) -> Select<E> {
        let mut select = E::find();
        if self == Self::Rebuilt {
            QuerySelect::query(&mut select).from_clear().from(self.aliased::<E>());
        }
        select
    }
}
