//! Where a standard field is, as a market file says it: a path (`"a.b"`, `"a.b?"`, `"a or b"`), or a table for the rest.

use super::text::{Mistake, Read, Value};
use super::types::canonical_struct;
use crate::market::Field;
use crate::market::field::Shape;
use crate::market::rule::{Absent, Constant, Form, Path, Rule, Unit};
use crate::market::value;

/// The names of a field's table.
const KNOWN: [&str; 7] = ["path", "value", "type_argument", "default", "unit", "as", "for"];

/// What a file says of one field.
pub struct Told {
    pub rule: Rule,
    /// The unit, where it differs from the market's.
    pub unit: Option<Unit>,
    /// Whether a price is that of all copies together.
    pub for_all: bool,
}

/// Reads what `value` says of the field.
pub fn read(field: Field, value: &Value) -> Read<Told> {
    if !value.is_table() {
        let text = value.text().map_err(|_| value.unlike("a path, such as \"price\", or a table"))?;
        let (paths, absent) = paths(value, text)?;
        return Ok(Told { rule: Rule::At { paths, absent, form: Form::Plain }, unit: None, for_all: false });
    }
    let table = value.table("a field's table", &KNOWN)?;
    let origins = ["path", "value", "type_argument"];
    let mut given = origins.into_iter().filter_map(|name| table.get(name));
    let Some(origin) = given.next() else {
        return Err(value.wrong("needs one of path, value and type_argument"));
    };
    if let Some(other) = given.next() {
        let reason = format!("{} and {} clash: a field has one of them", origin.name, other.name);
        return Err(Mistake::new(other.name_at, reason));
    }
    let only = |name: &str, with: &str, fits: bool| match table.get(name) {
        Some(value) if !fits => Err(Mistake::new(value.name_at, format!("{name} is of use only {with}"))),
        found => Ok(found),
    };
    let is_path = origin.name == "path";
    let default = only("default", "with path", is_path)?;
    let unit = only("unit", "for time, expires_in and expires_at", field.is_time())?;
    let for_all = only("for", "for price", field == Field::Price)?;
    let form = only("as", "with path", is_path)?.map(|value| form(field, &value)).transpose()?.unwrap_or(Form::Plain);
    let rule = match origin.name {
        "path" => {
            let (paths, mut absent) = paths(&origin, origin.text()?)?;
            if let Some(default) = default {
                if matches!(absent, Absent::Untold) {
                    let reason = "default and `?` clash: what is absent is either the default or untold";
                    return Err(Mistake::new(default.name_at, reason));
                }
                absent = Absent::Default(constant(field, form, &default)?);
            }
            Rule::At { paths, absent, form }
        }
        "value" => Rule::Constant(constant(field, Form::Plain, &origin)?),
        _ if field != Field::Currency => {
            return Err(Mistake::new(origin.name_at, "type_argument is of use only for currency"));
        }
        _ => Rule::TypeArgument(usize::try_from(origin.number()?).unwrap_or(usize::MAX)),
    };
    let for_all = for_all.map(|value| value.one_of("price", &[("one", false), ("all", true)])).transpose()?;
    Ok(Told {
        rule,
        unit: unit.map(|value| value.one_of("unit", &Unit::ALL)).transpose()?,
        for_all: for_all.unwrap_or(false),
    })
}

fn form(field: Field, value: &Value) -> Read<Form> {
    let form = value.one_of("form", &[("text", Form::Text), ("hex", Form::Hex)])?;
    match (form, field.shape()) {
        (Form::Text, Shape::Id) | (Form::Hex, Shape::Text) => Ok(form),
        (Form::Text, _) => Err(value.wrong("only an id can be read as text")),
        (Form::Hex | Form::Plain, _) => Err(value.wrong("only a text can be read from hex")),
    }
}

/// A value that the field could have in an event, in that form; of bytes the file says the text that they spell.
fn constant(field: Field, form: Form, value: &Value) -> Read<Constant> {
    let json = match form {
        Form::Hex => hex::encode(value.text()?).into(),
        Form::Plain | Form::Text => value.json()?,
    };
    let json = serde_json::value::to_raw_value(&json).map_err(|error| value.wrong(error.to_string()))?;
    let mut coin = "".into();
    let checked = match field.shape() {
        Shape::Id if form == Form::Text => value::text_id(&json).map(drop),
        Shape::Id => value::id(&json).map(drop),
        Shape::Token => value::token(&json).map(drop),
        Shape::Address => value::address(&json).map(drop),
        Shape::Text => value::text(&json).map(drop),
        Shape::Amount => value::amount(&json).map(drop),
        Shape::Count if field == Field::PropertyVersion => value::property_version(&json).map(drop),
        Shape::Count => value::count(&json).map(drop),
        Shape::Coin => {
            value::coin_type(&json).ok().filter(|read| is_coin(read)).map(|read| coin = read).ok_or_else(|| {
                format!("expected a coin's type (0x1::aptos_coin::AptosCoin) or an asset's address, found {json}")
            })
        }
        Shape::Bool => value::boolean(&json).map(drop),
    };
    checked.map_err(|reason| value.wrong(reason))?;
    Ok(Constant { json, coin })
}

/// Whether it is a type, or what else is read as a coin: an address.
fn is_coin(read: &str) -> bool {
    !read.contains("::") || canonical_struct(read).is_some()
}

/// Alternatives, and a `?` behind the last of them where none need lead anywhere.
fn paths(value: &Value, text: &str) -> Read<(Vec<Path>, Absent)> {
    let (text, absent) = match text.strip_suffix('?') {
        Some(text) => (text, Absent::Untold),
        None => (text, Absent::Refused),
    };
    let mut paths: Vec<Path> = vec![];
    for alternative in text.split(" or ").map(str::trim) {
        if alternative.ends_with('?') {
            return Err(value.wrong(format!(
                "`?` belongs behind the last alternative: behind {alternative:?} it would mean nothing"
            )));
        }
        let names: Vec<_> = alternative.split('.').map(str::to_owned).collect();
        let plain =
            |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !names.iter().all(plain) {
            return Err(value.wrong(format!(
                "expected a path, names joined by dots (\"a.b\", \"a.b?\", \"a or b\"), found {alternative:?}"
            )));
        }
        if let Some(before) = paths.iter().find(|before| names.starts_with(&before.0)) {
            let before = before.0.join(".");
            return Err(value.wrong(format!("{alternative:?} is never reached: where it is, {before:?} is, too")));
        }
        paths.push(Path(names));
    }
    Ok((paths, absent))
}

/// The standard field that `value` is named for.
pub fn field(value: &Value) -> Read<Field> {
    Field::named(value.name).ok_or_else(|| Mistake::new(value.name_at, format!("unknown field `{}`", value.name)))
}
