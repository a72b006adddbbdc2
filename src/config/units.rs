//! Durations, sizes and rates as people write them: `15m`, `64KiB`, `50/s burst 100`, `10 in 5m`.
//!
//! Every reader has a writer beside it, and what is written reads back as the same value.

use std::time::Duration;

use super::error::Wrong;
use super::settings::Rate;

/// From the longest to the shortest, in milliseconds; a duration names each at most once, in
/// this order.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// IEC 80000-13 for powers of 1024, SI for powers of 1000. The larger come first, so that a
/// size is written with the largest unit that fits.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `15m`, `1h30m`, `90d` or `500ms`: whole numbers, each with a unit, the longest first.
///
/// # Errors
///
/// Anything else: no unit, spaces, fractions, signs, units twice or out of order, more than
/// 64 bits of milliseconds.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || Wrong::new("is not a duration").hint("write for example \"15m\" or \"1h30m\"");
    let mut millis: u64 = 0;
    let mut units = DURATION_UNITS.iter();
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (count, after) = number(rest).ok_or_else(wrong)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() && after.is_empty() {
            return Err(
                Wrong::new("is not a duration").hint(format!("say in which unit, for example \"{rest}s\""))
            );
        }
        // Going on with the same iterator is what makes the order strict.
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        millis = count
            .checked_mul(*factor)
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(|| Wrong::new("is too long"))?;
        rest = after;
    }
    Ok(Duration::from_millis(millis))
}

/// The shortest text that [`duration`] reads as this value; what is below a millisecond is lost.
pub fn duration_text(value: Duration) -> String {
    let mut millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    // Weeks are read and not written: "90d" is what people say.
    for (name, factor) in &DURATION_UNITS[1..] {
        if millis >= *factor {
            text.push_str(&format!("{}{name}", millis / factor));
            millis %= factor;
        }
    }
    text
}

/// Reads `64KiB`, `10MB` or `512B` as bytes.
///
/// # Errors
///
/// Anything else: no unit, another unit or letter case, spaces, fractions, more than 64 bits.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::new("is not a size").hint("write for example \"64KiB\" or \"10MB\"");
    let (count, unit) = number(text).ok_or_else(wrong)?;
    if unit.is_empty() {
        return Err(Wrong::new("is not a size").hint(format!("say in which unit, for example \"{text}B\"")));
    }
    // "KB" is what most people write for kB.
    let unit = if unit == "KB" { "kB" } else { unit };
    let (_, factor) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    count
        .checked_mul(*factor)
        .ok_or_else(|| Wrong::new("is too large"))
}

/// The shortest text that [`size`] reads as this value.
pub fn size_text(bytes: u64) -> String {
    for (name, factor) in SIZE_UNITS {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{name}", bytes / factor);
        }
    }
    "0B".into()
}

/// Reads `50/s burst 100`, `10/m` (a burst of ten) or `off`, which is none.
///
/// # Errors
///
/// Anything else, and zero: a rate of nothing would refuse everybody.
pub fn rate(text: &str) -> Result<Option<Rate>, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    let wrong =
        || Wrong::new("is not a rate").hint("write for example \"10/s\", \"50/s burst 100\" or \"off\"");
    let (rate, burst) = match text.split_once(" burst ") {
        Some((rate, burst)) => (rate, Some(burst)),
        None => (text, None),
    };
    let (count, unit) = rate.split_once('/').ok_or_else(wrong)?;
    let per = match unit {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(60 * 60),
        "d" => Duration::from_secs(24 * 60 * 60),
        _ => return Err(wrong()),
    };
    let count = whole(count).ok_or_else(wrong)?;
    let burst = burst.map_or(Some(count), whole).ok_or_else(wrong)?;
    if count == 0 || burst == 0 {
        return Err(Wrong::new("would let nobody in").hint("write \"off\" for no limit"));
    }
    Ok(Some(Rate { count, per, burst }))
}

/// The text that [`rate`] reads as this value.
pub fn rate_text(rate: Option<Rate>) -> String {
    let Some(Rate { count, per, burst }) = rate else {
        return "off".into();
    };
    let unit = match per.as_secs() {
        1 => "s",
        60 => "m",
        3600 => "h",
        _ => "d",
    };
    if burst == count {
        format!("{count}/{unit}")
    } else {
        format!("{count}/{unit} burst {burst}")
    }
}

/// Reads `10 in 5m`: a count and the time in which it may not be reached.
///
/// # Errors
///
/// Anything else, a count of zero, an empty time.
pub fn count_in(text: &str) -> Result<(u32, Duration), Wrong> {
    let wrong = || Wrong::new("is not a count in a time").hint("write for example \"10 in 5m\"");
    let (count, window) = text.split_once(" in ").ok_or_else(wrong)?;
    let count = whole(count).ok_or_else(wrong)?;
    let window = duration(window).map_err(|_| wrong())?;
    if count == 0 || window.is_zero() {
        return Err(wrong());
    }
    Ok((count, window))
}

/// The text that [`count_in`] reads as this value.
pub fn count_in_text(count: u32, window: Duration) -> String {
    format!("{count} in {}", duration_text(window))
}

/// The digits at the start, and the rest. `str::parse` alone would take a sign.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// Digits and nothing else.
fn whole(text: &str) -> Option<u32> {
    match number(text)? {
        (count, "") => u32::try_from(count).ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_units_longest_first() {
        for (text, millis) in [
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("90d", 7_776_000_000),
            ("500ms", 500),
            ("2w", 1_209_600_000),
            ("1s500ms", 1_500),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            " ",
            "15",
            "15 m",
            "15m ",
            "-15m",
            "+15m",
            "1.5h",
            "15 minutes",
            "15M",
            "30m1h",
            "1m1m",
            "m",
            "15min",
            "18446744073709551616s",
            "18446744073709551615w",
            "१५m",
            "1h30",
            "1e3s",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_told_which_to_write() {
        let wrong = duration("90").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "is not a duration; say in which unit, for example \"90s\""
        );
    }

    #[test]
    fn sizes_know_1024_from_1000() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("10MB", 10_000_000),
            ("512B", 512),
            ("3KB", 3_000),
            ("0B", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "64",
            "64 KiB",
            "64kib",
            "64K",
            "-1B",
            "+1B",
            "1.5MiB",
            "KiB",
            "99999999999TiB",
            "1KiBB",
        ] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rates_have_a_burst_of_their_count_unless_said() {
        let second = Duration::from_secs(1);
        assert_eq!(
            rate("50/s burst 100"),
            Ok(Some(Rate {
                count: 50,
                per: second,
                burst: 100
            }))
        );
        assert_eq!(
            rate("10/m"),
            Ok(Some(Rate {
                count: 10,
                per: 60 * second,
                burst: 10
            }))
        );
        assert_eq!(rate("off"), Ok(None));
        for text in [
            "",
            "50",
            "50/",
            "/s",
            "0/s",
            "50/s burst 0",
            "50/sec",
            "50 / s",
            "50/s burst",
            "50/s  burst 100",
            "Off",
            "-1/s",
            "+1/s",
            "4294967296/s",
            "50/s burst 1 burst 2",
        ] {
            assert!(rate(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn failures_are_a_count_in_a_time() {
        assert_eq!(count_in("10 in 5m"), Ok((10, Duration::from_secs(300))));
        for text in [
            "",
            "10",
            "10 in",
            "in 5m",
            "0 in 5m",
            "10 in 0s",
            "10  in 5m",
            "ten in 5m",
            "10 in 5",
        ] {
            assert!(count_in(text).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0_u64..=u64::MAX, bytes in 0_u64..=u64::MAX, count in 1_u32.., burst in 1_u32..) {
            let span = Duration::from_millis(millis);
            proptest::prop_assert_eq!(duration(&duration_text(span)), Ok(span));
            proptest::prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
            for secs in [1, 60, 3600, 86_400] {
                let value = Some(Rate { count, per: Duration::from_secs(secs), burst });
                proptest::prop_assert_eq!(rate(&rate_text(value)), Ok(value));
            }
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC{0,40}") {
            let _ = (duration(&text), size(&text), rate(&text), count_in(&text));
        }
    }
}
