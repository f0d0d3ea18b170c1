//! How amounts and times are stored: exact and sortable on every database.
//!
//! `SQLite` has no decimals and no times. There an amount is an INTEGER up to 2^63-1 and zero-padded text of 39 digits
//! beyond (text sorts behind integers), and a time is `YYYY-MM-DD HH:MM:SS.ffffff`.

use std::sync::LazyLock;

use bigdecimal::BigDecimal;
use bigdecimal::ToPrimitive;
use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, NaiveDateTime, Utc};
use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, Value, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, DbBackend, DbErr, QueryResult, TryGetError, TryGetable};

use crate::chain::{Address, Amount, Timestamp};

const SQLITE_TIME: &str = "%Y-%m-%d %H:%M:%S%.6f";
/// Taken apart once: every row has some times.
static SQLITE_TIME_ITEMS: LazyLock<Vec<Item<'static>>> = LazyLock::new(|| StrftimeItems::new(SQLITE_TIME).collect());

/// The worker's own clock, for bookkeeping columns. What the chain says never depends on it.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_micros(Utc::now().timestamp_micros().unsigned_abs().into()).unwrap_or(Timestamp::MAX)
}

/// A time as people write it.
#[must_use]
pub fn at(time: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.micros()).unwrap_or_default()
}

/// `value` as it is sent to the backend. Amounts mostly fit 64 bits, which is cheaper than decimals; `PostgreSQL` alone
/// wants all values of a column to be of one type.
pub(super) fn stored(backend: DbBackend, value: Value) -> Value {
    match value {
        Value::BigDecimal(number) if backend != DbBackend::Postgres => {
            let Some(number) = number.map(|number| number.to_u128().unwrap_or_default()) else {
                return Value::String(None);
            };
            match <i64 as TryFrom<u128>>::try_from(number) {
                Ok(number) => number.into(),
                Err(_) if backend == DbBackend::Sqlite => format!("{number:039}").into(),
                Err(_) => number.to_string().into(),
            }
        }
        Value::ChronoDateTimeUtc(time) if backend == DbBackend::Sqlite => {
            Value::String(time.map(|time| time.format_with_items(SQLITE_TIME_ITEMS.iter()).to_string()))
        }
        other => other,
    }
}

impl From<Address> for Value {
    fn from(address: Address) -> Self {
        address.to_string().into()
    }
}

impl From<Amount> for Value {
    fn from(amount: Amount) -> Self {
        Self::BigDecimal(Some(Box::new(BigDecimal::from(amount.0))))
    }
}

impl Nullable for Amount {
    fn null() -> Value {
        Value::BigDecimal(None)
    }
}

impl ValueType for Amount {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        match value {
            Value::BigDecimal(Some(number)) => number.to_u128().map(Self).ok_or(ValueTypeErr),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "Amount".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::BigDecimal
    }

    fn column_type() -> ColumnType {
        ColumnType::Decimal(Some((39, 0)))
    }
}

impl TryGetable for Amount {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let number = if row.try_as_sqlite_row().is_none() {
            BigDecimal::try_get_by(row, index)?.to_u128()
        } else {
            match i64::try_get_by(row, index) {
                Ok(number) => <u128 as TryFrom<i64>>::try_from(number).ok(),
                Err(null @ TryGetError::Null(_)) => return Err(null),
                Err(TryGetError::DbErr(_)) => String::try_get_by(row, index)?.parse().ok(),
            }
        };
        number.map(Self).ok_or_else(|| wrong(index, "a whole number up to u128"))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::ChronoDateTimeUtc(Some(at(time)))
    }
}

impl Nullable for Timestamp {
    fn null() -> Value {
        Value::ChronoDateTimeUtc(None)
    }
}

impl ValueType for Timestamp {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        match value {
            Value::ChronoDateTimeUtc(Some(time)) => timestamp(time).ok_or(ValueTypeErr),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "Timestamp".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::ChronoDateTimeUtc
    }

    fn column_type() -> ColumnType {
        ColumnType::TimestampWithTimeZone
    }
}

impl TryGetable for Timestamp {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let time = if row.try_as_sqlite_row().is_some() {
            let text = String::try_get_by(row, index)?;
            let mut parsed = Parsed::new();
            let read = parse(&mut parsed, &text, SQLITE_TIME_ITEMS.iter());
            read.and_then(|()| parsed.to_naive_datetime_with_offset(0)).ok().map(|time| time.and_utc())
        } else if row.try_as_mysql_row().is_some() {
            Some(NaiveDateTime::try_get_by(row, index)?.and_utc())
        } else {
            Some(DateTime::<Utc>::try_get_by(row, index)?)
        };
        time.and_then(timestamp).ok_or_else(|| wrong(index, "a UTC time"))
    }
}

fn timestamp(time: DateTime<Utc>) -> Option<Timestamp> {
    u128::try_from(time.timestamp_micros()).ok().and_then(Timestamp::from_micros)
}

fn wrong(column: impl ColIdx, expected: &str) -> TryGetError {
    TryGetError::DbErr(DbErr::Type(format!("column {column:?} does not hold {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_sorts_amounts_as_numbers() {
        let stored = |number| stored(DbBackend::Sqlite, Amount(number).into());
        assert_eq!(stored(0), Value::from(0_i64));
        assert_eq!(stored(i64::MAX as u128), Value::from(i64::MAX));
        assert_eq!(stored(i64::MAX as u128 + 1), Value::from(format!("{:039}", i64::MAX as u128 + 1)));
        assert_eq!(stored(u128::MAX), Value::from(u128::MAX.to_string()));
    }

    #[test]
    fn sqlite_sorts_times_as_text() {
        let stored = |micros| stored(DbBackend::Sqlite, Timestamp::from_micros(micros).unwrap().into());
        assert_eq!(stored(0), Value::from("1970-01-01 00:00:00.000000"));
        assert_eq!(stored(253_402_300_799_999_999), Value::from("9999-12-31 23:59:59.999999"));
    }
}
