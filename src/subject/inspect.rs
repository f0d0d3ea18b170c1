//! What a node says of itself, and of the modules of a contract.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::answer::Answer;
use super::handle::encoded;
use super::node::Question;
use super::{Nodes, SubjectError};
use crate::chain::{Address, Version, canonical_type};

/// A Move module, as far as events are concerned: its structs by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Module {
    pub name: String,
    pub structs: BTreeMap<String, Vec<MoveField>>,
    /// How many type parameters each struct has, where the node tells.
    pub type_parameters: BTreeMap<String, usize>,
    /// Those of the structs that are declared as module events.
    pub events: BTreeSet<String>,
}

/// A field of a struct, or of any variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MoveField {
    pub name: String,
    /// Its Move type, addresses in their standard form.
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Deserialize)]
struct ModuleJson {
    abi: Option<Abi>,
}

#[derive(Deserialize)]
struct Abi {
    #[serde(default)]
    name: String,
    structs: Vec<Struct>,
}

#[derive(Deserialize)]
struct Struct {
    name: String,
    #[serde(default)]
    is_event: bool,
    generic_type_params: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    fields: Vec<MoveField>,
    #[serde(default)]
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Variant {
    #[serde(default)]
    fields: Vec<MoveField>,
}

impl Nodes {
    /// Whether the node can be asked for events; `None` if it does not tell.
    pub async fn serves_events(&self) -> Result<Option<bool>, SubjectError> {
        let (info, _) = self.ask(Question::get("/info"), Answer::json::<Value>).await?;
        Ok(info.pointer("/internal_indexer_config/enable_event").and_then(Value::as_bool))
    }

    /// Fails if the transaction of `version` is not there, from wherever a scan would read it.
    pub async fn has_transaction(&self, version: Version) -> Result<(), SubjectError> {
        let path = format!("/transactions?start={version}&limit=1");
        self.ask(Question::get(&path), Answer::json::<Vec<IgnoredAny>>).await.map(drop)
    }

    /// A module of `account`; [`SubjectError::Missing`] if there is none of that name.
    pub async fn module(&self, account: Address, name: &str) -> Result<Module, SubjectError> {
        let path = format!("/accounts/{account}/module/{name}");
        let (module, _) = self.ask(Question::get(&path), Answer::json::<ModuleJson>).await?;
        Ok(module.module())
    }

    /// All modules of `account`, by name; none if nothing has been published there.
    pub async fn modules(&self, account: Address) -> Result<Vec<Module>, SubjectError> {
        let mut all = vec![];
        let mut path = format!("/accounts/{account}/modules");
        loop {
            let read = |answer: &Answer| {
                let modules: Vec<ModuleJson> = answer.json()?;
                Ok((modules, answer.header::<String>("x-aptos-cursor")))
            };
            let ((modules, cursor), _) = self.ask(Question::get(&path), read).await?;
            all.extend(modules.into_iter().map(ModuleJson::module));
            match cursor {
                Some(cursor) => path = format!("/accounts/{account}/modules?start={}", encoded(&cursor)),
                None => break,
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

impl ModuleJson {
    fn module(self) -> Module {
        let Some(Abi { name, structs }) = self.abi else { return Module::default() };
        let events = structs.iter().filter(|item| item.is_event).map(|item| item.name.clone()).collect();
        let parameters =
            structs.iter().filter_map(|item| Some((item.name.clone(), item.generic_type_params.as_ref()?.len())));
        let type_parameters = parameters.collect();
        Module { name, events, type_parameters, structs: structs.into_iter().map(Struct::named).collect() }
    }
}

impl Struct {
    fn named(self) -> (String, Vec<MoveField>) {
        let fields = self.fields.into_iter().chain(self.variants.into_iter().flat_map(|variant| variant.fields));
        let fields = fields.map(|field| MoveField { kind: canonical_type(&field.kind), ..field });
        (self.name, fields.collect())
    }
}
