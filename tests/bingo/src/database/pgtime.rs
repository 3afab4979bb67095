//! PostgreSQL's `timestamp` and `date` as they are on the wire: microseconds and days since 2000-01-01.
//!
//! Twenty lines instead of the driver's adapters, which want older releases of the calendar library.

use std::error::Error;

use bytes::BytesMut;
use jiff::Span;
use jiff::civil::DateTime;
use serde::{Serialize, Serializer};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

const EPOCH: DateTime = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);

/// `timestamp without time zone`, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) i64);

/// `date`, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date(pub(crate) i32);

impl Timestamp {
    /// From text such as `2023-11-30T12:00:00`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let moment: DateTime = text.parse().map_err(|error: jiff::Error| error.to_string())?;
        i64::try_from(moment.duration_since(EPOCH).as_micros()).map(Self).map_err(|_| "out of range".to_owned())
    }

    pub(crate) fn now() -> Self {
        let now = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now());
        Self(i64::try_from(now.duration_since(EPOCH).as_micros()).unwrap_or(i64::MAX))
    }
}

/// The calendar's word for a distance from the epoch; `null` for what lies outside of the calendar.
fn serialize<S: Serializer, T: std::fmt::Display>(
    serializer: S,
    span: Result<Span, jiff::Error>,
    project: impl Fn(DateTime) -> T,
) -> Result<S::Ok, S::Error> {
    match span.and_then(|span| EPOCH.checked_add(span)) {
        Ok(moment) => serializer.collect_str(&project(moment)),
        Err(_) => serializer.serialize_none(),
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(serializer, Span::new().try_microseconds(self.0), |moment| moment)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(serializer, Span::new().try_days(self.0), DateTime::date)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql(&Type::INT8, out)
    }

    accepts!(TIMESTAMP);
    to_sql_checked!();
}

impl ToSql for Date {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql(&Type::INT4, out)
    }

    accepts!(DATE);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        i64::from_sql(&Type::INT8, raw).map(Self)
    }

    accepts!(TIMESTAMP);
}

impl<'a> FromSql<'a> for Date {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        i32::from_sql(&Type::INT4, raw).map(Self)
    }

    accepts!(DATE);
}

#[cfg(test)]
mod tests {
    use super::{Date, Timestamp};

    #[test]
    fn text_and_wire_agree() {
        let moment = Timestamp::parse("2000-01-02T00:00:01").unwrap();
        assert_eq!(moment, Timestamp(86_401_000_000));
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2000-01-02T00:00:01\"");
        assert_eq!(serde_json::to_string(&Date(-1)).unwrap(), "\"1999-12-31\"");
        assert_eq!(serde_json::to_string(&Date(i32::MAX)).unwrap(), "null");
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
