//! Dates as cameras and films write them, turned into local times.
//!
//! A camera writes what its clock showed, and sometimes how far that clock was from UTC. The two are kept apart: the
//! local time is what people remember, the offset is often missing. A clock that was never set is not today.

use model::file::LocalTime;

/// The oldest photograph is from 1826; an earlier date is a fault.
const YEAR_MIN: i64 = 1826;
/// A later date is a fault, not a photograph.
const YEAR_MAX: i64 = 2199;
/// The furthest any clock on earth is from UTC, in minutes.
const OFFSET_MIN_MAX: i16 = 14 * 60;

const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Reads `2019:07:04 18:03:00` (also with `-` or `/` in the date and `T` before the time). Nothing if it is no
/// date that a photograph can have.
pub(crate) fn local_time(text: &str) -> Option<LocalTime> {
    let bytes = text.trim().as_bytes();
    let separators = [(4, ":-/"), (7, ":-/"), (10, " T"), (13, ":"), (16, ":")];
    let well_formed = separators.iter().all(|&(at, allowed)| {
        bytes
            .get(at)
            .is_some_and(|byte| allowed.as_bytes().contains(byte))
    });
    if bytes.len() != 19 || !well_formed {
        return None;
    }
    let date = [
        number(bytes, 0, 4)?,
        number(bytes, 5, 2)?,
        number(bytes, 8, 2)?,
    ];
    let time = [
        number(bytes, 11, 2)?,
        number(bytes, 14, 2)?,
        number(bytes, 17, 2)?,
    ];
    from_parts(date, time)
}

/// True of a date field that says "unknown" in the way the EXIF standard asks for: blanks between the colons.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars()
        .all(|c| c == ':' || c == '\0' || c.is_whitespace())
}

/// The fraction of a second that `SubSecTime` adds, in microseconds: `5` is half a second.
pub(crate) fn subsecond_micros(text: &str) -> Option<i64> {
    let digits = text.trim();
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let six: String = digits.chars().chain("000000".chars()).take(6).collect();
    valid.then(|| six.parse().ok()).flatten()
}

/// Adds a fraction of a second.
pub(crate) fn with_micros(time: LocalTime, micros: i64) -> LocalTime {
    LocalTime::from_micros(time.micros() + micros).unwrap_or(time)
}

/// Reads `+01:00`, `-0330` or `Z` as minutes east of UTC.
pub(crate) fn offset_min(text: &str) -> Option<i16> {
    let text = text.trim();
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: Vec<u8> = text.bytes().skip(1).filter(|&byte| byte != b':').collect();
    if digits.len() != 4 {
        return None;
    }
    let (hours, minutes) = (number(&digits, 0, 2)?, number(&digits, 2, 2)?);
    let total = i16::try_from(hours * 60 + minutes).ok()?;
    (minutes < 60 && total <= OFFSET_MIN_MAX).then_some(sign * total)
}

/// Reads an ISO 8601 time with its offset, `2019-07-04T18:03:00+0100`, as films carry it.
pub(crate) fn local_time_and_offset(text: &str) -> Option<(LocalTime, Option<i16>)> {
    let text = text.trim();
    let local = local_time(text.get(..19)?)?;
    let rest = text
        .get(19..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    if rest.is_empty() {
        return Some((local, None));
    }
    Some((local, Some(offset_min(rest)?)))
}

/// Reads a time as XMP and IPTC have it: seconds, fraction and offset may be missing. A date alone is its midnight;
/// less than a date is no time.
pub(crate) fn iso_time(text: &str) -> Option<(LocalTime, Option<i16>)> {
    let text = text.trim();
    let (date, clock) = match text.get(..10)? {
        date if text.len() == 10 => (date, "00:00"),
        date => (date, text.get(11..)?),
    };
    let end = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, offset) = clock.split_at_checked(end)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    let whole = local_time(&format!("{date}T{clock}{seconds}"))?;
    let local = with_micros(whole, subsecond_micros(fraction).unwrap_or(0));
    let offset_min = (!offset.is_empty()).then(|| offset_min(offset));
    Some((local, offset_min.flatten()))
}

/// Reads an IPTC date `20190704` and time `180300+0100`.
pub(crate) fn iptc_time(date: &str, clock: Option<&str>) -> Option<(LocalTime, Option<i16>)> {
    let part = |text: &str, at: usize, len: usize| text.get(at..at + len).map(str::to_owned);
    let date = [part(date, 0, 4)?, part(date, 4, 2)?, part(date, 6, 2)?].join("-");
    let Some(clock) = clock else {
        return iso_time(&date);
    };
    let time = [part(clock, 0, 2)?, part(clock, 2, 2)?, part(clock, 4, 2)?].join(":");
    iso_time(&format!("{date}T{time}{}", clock.get(6..)?))
}

/// A film's clock: seconds since 1904 in UTC. Nothing for a clock that was never set.
pub(crate) fn from_1904(seconds: u64) -> Option<LocalTime> {
    let epoch = days_from_1970(1904, 1, 1) * SECONDS_PER_DAY;
    let unix = epoch.checked_add(i64::try_from(seconds).ok()?)?;
    let earliest = days_from_1970(1970, 1, 2) * SECONDS_PER_DAY;
    let latest = days_from_1970(YEAR_MAX + 1, 1, 1) * SECONDS_PER_DAY;
    (earliest..latest).contains(&unix).then_some(())?;
    LocalTime::from_micros(unix * MICROS_PER_SECOND)
}

fn from_parts([year, month, day]: [i64; 3], [hour, minute, second]: [i64; 3]) -> Option<LocalTime> {
    let valid = (YEAR_MIN..=YEAR_MAX).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds =
        days_from_1970(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    valid
        .then(|| LocalTime::from_micros(seconds * MICROS_PER_SECOND))
        .flatten()
}

/// Digits only: Rust's own parser would take a sign.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<i64> {
    let digits = bytes.get(at..at + len)?;
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + i64::from(byte - b'0'))
    })
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March so that the
/// leap day comes last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_all = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    day_of_all + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i64> {
        local_time(text).map(LocalTime::micros)
    }

    #[test]
    fn dates_become_local_times() {
        assert_eq!(micros("1970:01:01 00:00:00"), Some(0));
        assert_eq!(micros("2019:07:04 18:03:00"), Some(1_562_263_380_000_000));
        assert_eq!(micros("2019-07-04T18:03:00"), micros("2019:07:04 18:03:00"));
        assert_eq!(micros("2000:02:29 23:59:59"), Some(951_868_799_000_000));
        assert_eq!(micros("1969:12:31 23:59:59"), Some(-1_000_000));
        assert!(micros("1826:01:01 00:00:00").is_some());
    }

    #[test]
    fn absurd_dates_are_no_dates() {
        for text in [
            "0000:00:00 00:00:00",
            "0001:01:01 00:00:00",
            "9999:12:31 23:59:59",
            "2019:13:01 00:00:00",
            "2019:02:29 00:00:00",
            "1900:02:29 00:00:00",
            "2019:07:00 00:00:00",
            "2019:07:04 24:00:00",
            "2019:07:04 12:60:00",
            "2019:07:04 12:00:60",
            "2019:07:04",
            "",
            "tomorrow, I promise",
            "+019:07:04 18:03:00",
            "2019:07:04 18:03:00Z",
            "２０１９:07",
        ] {
            assert_eq!(local_time(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_are_minutes_east_within_fourteen_hours() {
        assert_eq!(offset_min("+01:00"), Some(60));
        assert_eq!(offset_min("-03:30"), Some(-210));
        assert_eq!(offset_min("+0545"), Some(345));
        assert_eq!(offset_min("Z"), Some(0));
        assert_eq!(offset_min("+14:00"), Some(840));
        for text in [
            "", "   :  ", "01:00", "+14:01", "+99:00", "+01:60", "+1:00", "+é1:0",
        ] {
            assert_eq!(offset_min(text), None, "{text}");
        }
    }

    #[test]
    fn fractions_are_read_as_decimals() {
        assert_eq!(subsecond_micros("5"), Some(500_000));
        assert_eq!(subsecond_micros("123"), Some(123_000));
        assert_eq!(subsecond_micros("12345678 "), Some(123_456));
        assert_eq!(subsecond_micros("-5"), None);
        assert_eq!(subsecond_micros(""), None);
    }

    #[test]
    fn times_of_xmp_and_iptc_may_be_short() {
        let read = |text| iso_time(text).map(|(local, offset)| (local.micros(), offset));
        let minute = micros("2019:07:04 18:03:00").unwrap_or_default();
        assert_eq!(read("2019-07-04T18:03"), Some((minute, None)));
        assert_eq!(read("2019-07-04T18:03Z"), Some((minute, Some(0))));
        let late = Some((minute + 120_000, Some(-210)));
        assert_eq!(read("2019-07-04T18:03:00.12-03:30"), late);
        let midnight = micros("2019:07:04 00:00:00").unwrap_or_default();
        assert_eq!(read("2019-07-04"), Some((midnight, None)));
        for text in [
            "",
            "2019",
            "2019-07",
            "2019-07-04T",
            "2019-07-04T18",
            "0000-00-00",
            "2019-07-04é18:03",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let iptc =
            |date, clock| iptc_time(date, clock).map(|(local, offset)| (local.micros(), offset));
        assert_eq!(
            iptc("20190704", Some("180300+0100")),
            Some((minute, Some(60)))
        );
        assert_eq!(iptc("20190704", None), Some((midnight, None)));
        for (date, clock) in [
            ("00000000", None),
            ("2019", None),
            ("20190704", Some("é0300")),
        ] {
            assert_eq!(iptc(date, clock), None, "{date}");
        }
    }

    #[test]
    fn a_films_clock_starts_in_1904_and_may_never_have_been_set() {
        assert_eq!(from_1904(0), None);
        assert_eq!(from_1904(u64::MAX), None);
        let set = from_1904(3_645_108_180).map(LocalTime::micros);
        assert_eq!(set, micros("2019:07:04 18:03:00"));
    }
}
