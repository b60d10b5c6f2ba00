//! Numbers with units, compared or in ranges: `width>=4000`, `size:1MB..5MB`, `duration>1.5h`; and times of arrival.

use std::fmt;
use std::str::FromStr;

use model::Timestamp;
use serde::Serialize;

use super::tree::Comparison;
use crate::time::{DateRange, TimeError};

/// What a number must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Measure {
    /// It compares so.
    Is {
        /// How.
        #[serde(with = "crate::file::words")]
        is: Comparison,
        /// With what.
        value: u64,
    },
    /// It lies in a range, whose ends belong to it. At least one is given.
    Between {
        /// The lower end.
        from: Option<u64>,
        /// The upper end.
        to: Option<u64>,
    },
}

impl Measure {
    /// Whether a number is so.
    pub fn admits(&self, number: u64) -> bool {
        match *self {
            Self::Is { is, value } => is.holds(&number, &value),
            Self::Between { from, to } => {
                from.is_none_or(|from| from <= number) && to.is_none_or(|to| number <= to)
            }
        }
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Pixels,
    Bytes,
    Milliseconds,
}

/// Names in small letters with what they are worth, the largest last.
type Names = &'static [(&'static str, u64)];

const PIXELS: Names = &[("", 1)];
const BYTES: Names = &[
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];
const MILLISECONDS: Names = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl Unit {
    fn names(self) -> Names {
        match self {
            Self::Pixels => PIXELS,
            Self::Bytes => BYTES,
            Self::Milliseconds => MILLISECONDS,
        }
    }

    /// An example of a key with such a number.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Pixels => "width>=4000 or width:1000..2000",
            Self::Bytes => "size>5MB or size:1MB..5MB",
            Self::Milliseconds => "duration>30s or duration:1m..1.5h",
        }
    }

    /// Reads a number, or a range of two behind a colon.
    pub(super) fn read(self, is: Comparison, text: &str) -> Option<Measure> {
        let Some((from, to)) = text.split_once("..") else {
            let value = self.number(text)?;
            return Some(Measure::Is { is, value });
        };
        let end = |text: &str| match text {
            "" => Some(None),
            text => self.number(text).map(Some),
        };
        let (from, to) = (end(from)?, end(to)?);
        let ends = from.or(to).is_some() && from.is_none_or(|from| to.is_none_or(|to| from <= to));
        (is == Comparison::Equal && ends).then_some(Measure::Between { from, to })
    }

    /// A whole number, or with a unit also a fraction that comes out whole.
    fn number(self, text: &str) -> Option<u64> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, name) = text.split_at_checked(digits)?;
        let name = name.to_ascii_lowercase();
        let (_, worth) = self.names().iter().find(|(known, _)| *known == name)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let valid = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !valid(whole) || !valid(fraction) || fraction.len() > 9 {
            return None;
        }
        let tens = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(*worth);
        let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(*worth);
        let sum = u64::try_from(whole.checked_add(part / tens)?).ok()?;
        (part % tens == 0).then_some(sum)
    }

    /// Writes a number in the largest unit in which it is whole.
    fn write(self, number: u64) -> String {
        let plain = match self {
            Self::Milliseconds => "ms",
            Self::Pixels | Self::Bytes => "",
        };
        let decimal = |name: &str| self != Self::Bytes || !name.ends_with("ib");
        let names = self.names().iter().rev();
        let best = names
            .filter(|(name, worth)| decimal(name) && *worth > 1)
            .find(|(_, worth)| number >= *worth && number.is_multiple_of(*worth));
        match best {
            Some((name, worth)) if self == Self::Bytes => {
                let name = match *name {
                    "kb" => "kB".to_owned(),
                    other => other.to_ascii_uppercase(),
                };
                format!("{}{name}", number / worth)
            }
            Some((name, worth)) => format!("{}{name}", number / worth),
            None => format!("{number}{plain}"),
        }
    }

    /// A key with its number, in the canonical form.
    pub(super) fn show(
        self,
        key: &str,
        measure: &Measure,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let end = |end: &Option<u64>| end.map(|number| self.write(number)).unwrap_or_default();
        match measure {
            Measure::Is {
                is: Comparison::Equal,
                value,
            } => write!(f, "{key}:{}", self.write(*value)),
            Measure::Is { is, value } => {
                write!(
                    f,
                    "{key}{}{}",
                    crate::file::Word::word(*is),
                    self.write(*value)
                )
            }
            Measure::Between { from, to } => write!(f, "{key}:{}..{}", end(from), end(to)),
        }
    }
}

/// When a file came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// Within a range of UTC, its ends included.
    During(DateRange),
    /// Within so long before the newest block: every node at a height has the same.
    Last {
        /// How many.
        count: u32,
        /// Of what: `h`, `d` or `w`.
        unit: char,
    },
}

impl Uploaded {
    /// Whether a block of this time belongs to it, seen from the newest.
    pub(crate) fn admits(&self, added: u64, now: Timestamp) -> bool {
        match self {
            Self::During(range) => {
                let added = i64::try_from(added).unwrap_or(i64::MAX);
                range.first().micros() <= added && added <= range.last().micros()
            }
            Self::Last { count, unit } => {
                let hours = match unit {
                    'h' => 1,
                    'd' => 24,
                    _ => 24 * 7,
                };
                let span = u64::from(*count) * hours * 3_600_000_000;
                added >= now.0.saturating_sub(span)
            }
        }
    }
}

impl FromStr for Uploaded {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let span = |unit: char| {
            let digits = text.strip_suffix(unit)?;
            let short = (1..=5).contains(&digits.len());
            let plain = short && digits.bytes().all(|byte| byte.is_ascii_digit());
            let count = digits.parse().ok().filter(|count| plain && *count > 0)?;
            Some(Self::Last { count, unit })
        };
        match ['h', 'd', 'w'].into_iter().find_map(span) {
            Some(last) => Ok(last),
            None => text.parse().map(Self::During),
        }
    }
}

impl fmt::Display for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::During(range) => range.fmt(f),
            Self::Last { count, unit } => write!(f, "{count}{unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_units() {
        let cases = [
            (Unit::Bytes, "1500", Some(1500)),
            (Unit::Bytes, "1.5MB", Some(1_500_000)),
            (Unit::Bytes, "1MiB", Some(1 << 20)),
            (Unit::Bytes, "1.5", None),
            (Unit::Bytes, "99999999999TB", None),
            (Unit::Milliseconds, "1.5h", Some(5_400_000)),
            (Unit::Milliseconds, "30", None),
            (Unit::Pixels, "4000", Some(4000)),
            (Unit::Pixels, "4000px", None),
            (Unit::Pixels, "", None),
            (Unit::Pixels, "-1", None),
        ];
        for (unit, text, expected) in cases {
            assert_eq!(unit.number(text), expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_written_so_that_it_reads_back() {
        for unit in [Unit::Bytes, Unit::Milliseconds, Unit::Pixels] {
            for number in [
                0,
                1,
                999,
                1000,
                1024,
                1500,
                60_000,
                90_000,
                5_000_000,
                u64::MAX,
            ] {
                let text = unit.write(number);
                assert_eq!(unit.number(&text), Some(number), "{text}");
            }
        }
    }
}
