//! Days in UTC: what usage is counted by.

use std::{fmt, str::FromStr};

use time::{
    Date, OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem,
    macros::format_description,
};

use crate::{Error, Result, name::quote};

const FORMAT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// A day in UTC; as text, such as `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// The day of a time.
    pub fn of(time: OffsetDateTime) -> Self {
        Self(time.to_offset(UtcOffset::UTC).date())
    }

    /// How it is stored: days since 1970.
    pub fn number(self) -> i64 {
        i64::from(self.0.to_julian_day()) - i64::from(OffsetDateTime::UNIX_EPOCH.to_julian_day())
    }

    /// The day that is stored so; the first one for what is none.
    pub fn from_number(number: i64) -> Self {
        let epoch = i64::from(OffsetDateTime::UNIX_EPOCH.to_julian_day());
        let day = i32::try_from(number.saturating_add(epoch)).ok();
        let date = day.and_then(|day| Date::from_julian_day(day).ok());
        Self(date.unwrap_or_else(|| OffsetDateTime::UNIX_EPOCH.date()))
    }

    /// So many days later, or earlier.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self::from_number(self.number().saturating_add(days))
    }

    /// When it ends.
    pub fn end(self) -> OffsetDateTime {
        self.plus(1).0.midnight().assume_utc()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(f, "{year:04}-{:02}-{day:02}", u8::from(month))
    }
}

impl FromStr for Day {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let date = Some(text).filter(|text| text.len() == 10);
        let date = date.and_then(|text| Date::parse(text, FORMAT).ok());
        // What comes before 1970 is no day of anything that is stored.
        let day = date.map(Self).filter(|day| day.number() >= 0);
        day.ok_or_else(|| {
            let expected = "expected a day such as 2026-11-21, from 1970 on";
            Error::invalid("", format!("{expected}, got {}", quote(text)))
        })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_day_begins_and_ends_at_midnight_in_utc() {
        let day = Day::of(datetime!(2026-11-22 00:30 +2));
        assert_eq!(day.to_string(), "2026-11-21");
        assert_eq!(day.end(), datetime!(2026-11-22 00:00 UTC));
        assert_eq!(Day::of(datetime!(2026-11-21 23:59:59 UTC)), day);
        assert_eq!(Day::of(day.end()), day.plus(1));
    }

    #[test]
    fn stored_days_come_back() {
        for text in ["1970-01-01", "2024-02-29", "2026-11-21", "9999-12-31"] {
            let day: Day = text.parse().unwrap();
            assert_eq!(day.to_string(), text);
            assert_eq!(Day::from_number(day.number()), day);
        }
        assert_eq!("1970-01-02".parse::<Day>().unwrap().number(), 1);
        assert_eq!(Day::of(OffsetDateTime::UNIX_EPOCH).number(), 0);
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026-02-30",
            "2026-1-1",
            "20261121",
            "1969-12-31",
            "2026-11-21T00:00",
            "+999999-01",
        ] {
            let error = text.parse::<Day>().unwrap_err().to_string();
            assert!(error.starts_with("expected a day such as"), "{error}");
        }
    }
}
