//! The time in a file's name. Messengers strip everything out of a picture and leave its date there.
//!
//! Only whole dates of 1970 to 2099 with a four-digit year are taken, and only where they cannot be part of a longer
//! number: `IMG_20190704_180300.jpg`, `2019-07-04 18.03.00.png`, `IMG-20190704-WA0007.jpg` (a date alone is its midnight),
//! `Screenshot_2019-07-04-18-03-00-123.png`. It is the weakest of all words and stands only where nobody else gives a time.

use model::file::{Source, TakenAt};

use crate::when;

/// The time that a file's name tells.
pub fn taken_at(name: &str) -> Option<TakenAt> {
    let numbers = numbers(name.as_bytes());
    (0..numbers.len()).find_map(|at| from(numbers.get(at..)?))
}

/// A run of digits, and how far behind the one before it stands.
struct Number<'a> {
    digits: &'a str,
    gap: usize,
}

fn numbers(name: &[u8]) -> Vec<Number<'_>> {
    let mut found = Vec::new();
    let mut gap = 0;
    for run in name.chunk_by(|left, right| left.is_ascii_digit() == right.is_ascii_digit()) {
        match str::from_utf8(run) {
            Ok(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => {
                found.push(Number { digits, gap });
                gap = 0;
            }
            _ => gap = run.len(),
        }
    }
    found
}

fn from(numbers: &[Number<'_>]) -> Option<TakenAt> {
    let near = |at: usize, len: usize| {
        let number = numbers.get(at)?;
        (number.gap == 1 && number.digits.len() == len).then_some(number.digits)
    };
    let first = numbers.first()?.digits;
    let (date, next) = match first.len() {
        8 => {
            let (year, rest) = first.split_at(4);
            let (month, day) = rest.split_at(2);
            (format!("{year}-{month}-{day}"), 1)
        }
        14 => {
            let (date, clock) = first.split_at(8);
            return from(&[
                Number {
                    digits: date,
                    gap: 0,
                },
                Number {
                    digits: clock,
                    gap: 1,
                },
            ]);
        }
        4 => (format!("{first}-{}-{}", near(1, 2)?, near(2, 2)?), 3),
        _ => return None,
    };
    if !date.starts_with("19") && !date.starts_with("20") || date.as_str() < "1970" {
        return None;
    }
    let clock = match (near(next, 6), near(next, 9), near(next, 2)) {
        (Some(clock), ..) | (_, Some(clock), _) => split_clock(clock),
        (_, _, Some(hour)) => near(next + 1, 2)
            .zip(near(next + 2, 2))
            .map(|(minute, second)| format!("{hour}:{minute}:{second}")),
        _ => None,
    };
    let clock = clock.unwrap_or_else(|| "00:00:00".to_owned());
    Some(TakenAt {
        local: when::local_time(&format!("{date} {clock}"))?,
        offset_min: None,
        source: Source::Name,
    })
}

/// `180300`, perhaps with milliseconds behind it.
fn split_clock(digits: &str) -> Option<String> {
    let (hour, minute, second) = (digits.get(..2)?, digits.get(2..4)?, digits.get(4..6)?);
    Some(format!("{hour}:{minute}:{second}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Option<i64> {
        taken_at(name).map(|taken| taken.local.micros() / 1_000_000)
    }

    /// 2019-07-04T18:03:00.
    const THEN: i64 = 1_562_263_380;
    const MIDNIGHT: i64 = THEN - (18 * 60 + 3) * 60;

    #[test]
    fn names_of_phones_and_messengers_tell_the_time() {
        for name in [
            "IMG_20190704_180300.jpg",
            "PXL_20190704_180300123.jpg",
            "20190704180300.jpg",
            "2019-07-04 18.03.00.png",
            "Screenshot_2019-07-04-18-03-00-123.png",
        ] {
            assert_eq!(told(name), Some(THEN), "{name}");
        }
        for name in [
            "IMG-20190704-WA0007.jpg",
            "2019-07-04.jpg",
            "x 2019_07_04 y.jpg",
        ] {
            assert_eq!(told(name), Some(MIDNIGHT), "{name}");
        }
    }

    #[test]
    fn other_numbers_are_no_time() {
        for name in [
            "",
            "DSC_0001.JPG",
            "20191301_180300.jpg",
            "120190704.jpg",
            "18990704_180300.jpg",
            "19690704_180300.jpg",
            "IMG_00000000_000000.jpg",
            "4032-30-24.jpg",
            "2019.jpg",
            "\u{661}\u{662}.jpg",
        ] {
            assert_eq!(told(name), None, "{name}");
        }
        assert_eq!(told("20190704_256199.jpg"), None, "no such hour, no guess");
    }
}
