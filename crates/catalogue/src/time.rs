//! Times as text: block times in UTC, capture times on the camera's own clock, and dates of any precision.
//!
//! A capture time has no zone: `2019-07-04T18:03:00` is what the camera's clock showed, and is compared as such. A
//! [`PartialDate`] such as `2019-07` stands for everything from its first to its last microsecond.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use model::Timestamp;
use model::file::LocalTime;

/// Text that is not the time it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not of the form asked for.
    #[error("a {what} is written as {expected}")]
    Form {
        /// What was being read.
        what: &'static str,
        /// An example.
        expected: &'static str,
    },
    /// Of the right form, but no such day or hour exists.
    #[error("there is no such {what}")]
    Range {
        /// What was being read.
        what: &'static str,
    },
}

const LOCAL_FORM: TimeError = TimeError::Form {
    what: "local time",
    expected: "2019-07-04T18:03:00 or 2019-07-04T18:03:00.123",
};
const DATE_FORM: TimeError = TimeError::Form {
    what: "date",
    expected: "2019, 2019-07, 2019-07-04 or 2019-07-04T18:03:00",
};
const OFFSET_FORM: TimeError = TimeError::Form {
    what: "UTC offset",
    expected: "+01:00",
};

/// The widest offset from UTC in use, in minutes.
pub const OFFSET_MIN_MAX: i16 = 14 * 60;

/// Block time as RFC 3339 in UTC with microseconds; times behind the year 9999 stay at its end.
pub fn format_timestamp(time: Timestamp) -> String {
    let micros = i64::try_from(time.0)
        .unwrap_or(i64::MAX)
        .min(LocalTime::MAX.micros());
    let mut text = format_parts(&naive(micros), 6);
    text.push('Z');
    text
}

/// A capture time; a fraction is printed with three digits if they suffice, else with six.
pub fn format_local(time: LocalTime) -> String {
    let digits = match time.micros().rem_euclid(1_000_000) {
        0 => 0,
        fraction if fraction % 1_000 == 0 => 3,
        _ => 6,
    };
    format_parts(&naive(time.micros()), digits)
}

/// Reads what [`format_local`] prints; the fraction may have one to six digits.
///
/// # Errors
/// [`TimeError`] if it is not a full date and time, or none that exists.
pub fn parse_local(text: &str) -> Result<LocalTime, TimeError> {
    let date: PartialDate = text.parse().map_err(|error| match error {
        TimeError::Form { .. } => LOCAL_FORM,
        TimeError::Range { .. } => error,
    })?;
    if date.precision < Precision::Second {
        return Err(LOCAL_FORM);
    }
    Ok(date.first())
}

/// An offset from UTC in minutes as `+01:00`.
pub fn format_offset(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Reads `+01:00` or `Z` as minutes east of UTC.
///
/// # Errors
/// [`TimeError`] if it is of another form or beyond fourteen hours.
pub fn parse_offset(text: &str) -> Result<i16, TimeError> {
    if text == "Z" {
        return Ok(0);
    }
    let [sign, h1, h0, b':', m1, m0] = text.as_bytes() else {
        return Err(OFFSET_FORM);
    };
    let two = |high: &u8, low: &u8| {
        let digits = high.is_ascii_digit() && low.is_ascii_digit();
        digits.then(|| i16::from(high - b'0') * 10 + i16::from(low - b'0'))
    };
    let (hours, minutes) = two(h1, h0).zip(two(m1, m0)).ok_or(OFFSET_FORM)?;
    let total = hours * 60 + minutes;
    if minutes > 59 || total > OFFSET_MIN_MAX {
        return Err(TimeError::Range { what: "UTC offset" });
    }
    match sign {
        b'+' => Ok(total),
        b'-' => Ok(-total),
        _ => Err(OFFSET_FORM),
    }
}

/// The month of a capture time, counted from the year 0.
pub(crate) fn month(time: LocalTime) -> i32 {
    let date = naive(time.micros()).date();
    date.year() * 12 + date.month0() as i32
}

/// A month as [`month`] counts them: `2019-07`.
pub(crate) fn format_month(month: i32) -> String {
    format!(
        "{:04}-{:02}",
        month.div_euclid(12),
        month.rem_euclid(12) + 1
    )
}

fn naive(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros)
        .expect("the years 1 to 9999 are within chrono's range")
        .naive_utc()
}

fn format_parts(time: &NaiveDateTime, digits: usize) -> String {
    let (date, clock) = (time.date(), time.time());
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        date.month(),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    if digits > 0 {
        let fraction = format!("{:06}", clock.nanosecond() / 1_000);
        text.push('.');
        text.extend(fraction.chars().take(digits));
    }
    text
}

/// How much of a date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// With this many digits, 1 to 6.
    Fraction(u8),
}

/// A date and time written to some precision: `2019`, `2019-07`, … `2019-07-04T18:03:00.123`.
///
/// Invariant: within the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialDate {
    first: NaiveDateTime,
    precision: Precision,
}

impl PartialDate {
    /// The first microsecond it stands for.
    pub fn first(&self) -> LocalTime {
        local(&self.first)
    }

    /// The last microsecond it stands for.
    pub fn last(&self) -> LocalTime {
        let length_micros = match self.precision {
            Precision::Year => days_micros(if self.first.date().leap_year() {
                366
            } else {
                365
            }),
            Precision::Month => days_micros(self.first.date().num_days_in_month().into()),
            Precision::Day => days_micros(1),
            Precision::Hour => 3_600_000_000,
            Precision::Minute => 60_000_000,
            Precision::Second => 1_000_000,
            Precision::Fraction(digits) => 10_i64.pow(6 - u32::from(digits)),
        };
        LocalTime::from_micros(self.first().micros() + length_micros - 1)
            .expect("no period written in four-digit years ends behind 9999")
    }
}

fn local(time: &NaiveDateTime) -> LocalTime {
    LocalTime::from_micros(time.and_utc().timestamp_micros())
        .expect("a partial date is within the years 1 to 9999")
}

fn days_micros(days: i64) -> i64 {
    days * 86_400_000_000
}

impl FromStr for PartialDate {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let mut rest = Digits { rest: text };
        let mut parts = [1, 1, 1, 0, 0, 0];
        let steps = [
            (None, 4, Precision::Year),
            (Some('-'), 2, Precision::Month),
            (Some('-'), 2, Precision::Day),
            (Some('T'), 2, Precision::Hour),
            (Some(':'), 2, Precision::Minute),
            (Some(':'), 2, Precision::Second),
        ];
        let mut precision = Precision::Year;
        for (part, (separator, width, step)) in parts.iter_mut().zip(steps) {
            if separator.is_some() && rest.is_empty() {
                break;
            }
            *part = rest.number(separator, width)?;
            precision = step;
        }
        let mut micros = 0;
        if precision == Precision::Second && !rest.is_empty() {
            let digits = rest.rest.len() - 1;
            micros =
                rest.number(Some('.'), digits)? * 10_u32.pow(6_u32.saturating_sub(digits as u32));
            precision = Precision::Fraction(u8::try_from(digits).map_err(|_| DATE_FORM)?);
        }
        if !rest.is_empty() {
            return Err(DATE_FORM);
        }
        let [year, month, day, hour, minute, second] = parts;
        let date = i32::try_from(year)
            .ok()
            .filter(|year| *year >= 1)
            .and_then(|year| NaiveDate::from_ymd_opt(year, month, day))
            .ok_or(TimeError::Range { what: "date" })?;
        let clock = NaiveTime::from_hms_micro_opt(hour, minute, second, micros).ok_or(
            TimeError::Range {
                what: "time of day",
            },
        )?;
        Ok(Self {
            first: date.and_time(clock),
            precision,
        })
    }
}

/// What is left of a date's text.
struct Digits<'a> {
    rest: &'a str,
}

impl Digits<'_> {
    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes a separator and exactly `width` digits, 1 to 6.
    fn number(&mut self, separator: Option<char>, width: usize) -> Result<u32, TimeError> {
        if let Some(separator) = separator {
            self.rest = self.rest.strip_prefix(separator).ok_or(DATE_FORM)?;
        }
        let (digits, rest) = self.rest.split_at_checked(width).ok_or(DATE_FORM)?;
        let valid = (1..=6).contains(&width) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| valid).ok_or(DATE_FORM)?;
        self.rest = rest;
        Ok(number)
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = format_parts(&self.first, 6);
        let length = match self.precision {
            Precision::Year => 4,
            Precision::Month => 7,
            Precision::Day => 10,
            Precision::Hour => 13,
            Precision::Minute => 16,
            Precision::Second => 19,
            Precision::Fraction(digits) => 20 + usize::from(digits),
        };
        f.write_str(full.get(..length).unwrap_or(&full))
    }
}

/// Everything from one date to another, both included at the precision they are written in; an end left out is open.
///
/// Invariant: it has an end, and it does not end before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    from: Option<PartialDate>,
    to: Option<PartialDate>,
    single: Option<PartialDate>,
}

impl DateRange {
    /// The first microsecond of the range.
    pub fn first(&self) -> LocalTime {
        self.single
            .or(self.from)
            .map_or(LocalTime::MIN, |date| date.first())
    }

    /// The last microsecond of the range.
    pub fn last(&self) -> LocalTime {
        self.single
            .or(self.to)
            .map_or(LocalTime::MAX, |date| date.last())
    }
}

impl FromStr for DateRange {
    type Err = TimeError;

    /// Reads `2019`, `2019..2021-06`, `2019..` or `..2021`.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let Some((from, to)) = text.split_once("..") else {
            return Ok(Self {
                from: None,
                to: None,
                single: Some(text.parse()?),
            });
        };
        let end = |text: &str| {
            if text.is_empty() {
                Ok(None)
            } else {
                text.parse().map(Some)
            }
        };
        let range = Self {
            from: end(from)?,
            to: end(to)?,
            single: None,
        };
        if range.from.is_none() && range.to.is_none() {
            return Err(DATE_FORM);
        }
        if range.first() > range.last() {
            return Err(TimeError::Range {
                what: "range: it ends before it starts",
            });
        }
        Ok(range)
    }
}

impl fmt::Display for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(single) = &self.single {
            return single.fmt(f);
        }
        if let Some(from) = &self.from {
            from.fmt(f)?;
        }
        f.write_str("..")?;
        self.to.iter().try_for_each(|to| to.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> (String, String) {
        let range: DateRange = text.parse().unwrap();
        assert_eq!(range.to_string(), text);
        (format_local(range.first()), format_local(range.last()))
    }

    #[test]
    fn a_partial_date_covers_its_written_precision() {
        let cases = [
            ("2019", "2019-01-01T00:00:00", "2019-12-31T23:59:59.999999"),
            (
                "2020-02",
                "2020-02-01T00:00:00",
                "2020-02-29T23:59:59.999999",
            ),
            (
                "2019-07-04T18",
                "2019-07-04T18:00:00",
                "2019-07-04T18:59:59.999999",
            ),
            (
                "2019-07-04T18:03",
                "2019-07-04T18:03:00",
                "2019-07-04T18:03:59.999999",
            ),
            (
                "2019-07-04T18:03:07.12",
                "2019-07-04T18:03:07.120",
                "2019-07-04T18:03:07.129999",
            ),
            (
                "2019..2021-06",
                "2019-01-01T00:00:00",
                "2021-06-30T23:59:59.999999",
            ),
            (
                "..1999",
                "0001-01-01T00:00:00",
                "1999-12-31T23:59:59.999999",
            ),
            (
                "9999..",
                "9999-01-01T00:00:00",
                "9999-12-31T23:59:59.999999",
            ),
        ];
        for (text, first, last) in cases {
            assert_eq!(range(text), (first.into(), last.into()), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "0000",
            "19",
            "2019-7",
            "2019-13",
            "2019-02-29",
            "2019-07-04T24",
            "2019-07-04T18:60",
            "2019-07-04T18:03:00.",
            "2019-07-04T18:03:00.1234567",
            "2019-07-04Z",
            "..",
            "2020..2019",
            "+019",
            "2019-07-0é",
            "2019-07-04T18:03:60",
        ] {
            assert!(text.parse::<DateRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn local_times_and_offsets_survive_a_round_trip() {
        for text in [
            "2019-07-04T18:03:00",
            "0001-01-01T00:00:00.001",
            "9999-12-31T23:59:59.999999",
        ] {
            assert_eq!(format_local(parse_local(text).unwrap()), text);
        }
        assert_eq!(parse_local("2019-07-04"), Err(LOCAL_FORM));
        for minutes in [-840, -61, -1, 0, 1, 330, 840] {
            assert_eq!(parse_offset(&format_offset(minutes)), Ok(minutes));
        }
        for text in ["1:00", "+1:00", "+14:01", "+01:60", "+0100", "", "é1:00"] {
            assert!(parse_offset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn block_times_have_six_digits_and_an_end() {
        assert_eq!(
            format_timestamp(Timestamp(1)),
            "1970-01-01T00:00:00.000001Z"
        );
        assert_eq!(
            format_timestamp(Timestamp(u64::MAX)),
            "9999-12-31T23:59:59.999999Z"
        );
    }
}
