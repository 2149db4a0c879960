//! Types of numbers with bounds: counts, durations such as `"30s"` and sizes such as `"16KiB"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;
use toml::de::DeValue;

use super::mismatch::{Mismatch, expected};
use super::reference::Description;
use super::value_type::{ValueType, value_type};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) const KIBIBYTE: usize = 1024;
pub(super) const MEBIBYTE: usize = 1024 * 1024;

const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 3] = [("MiB", 1024 * 1024), ("KiB", 1024), ("B", 1)];

/// An integer without a unit.
pub(super) fn count<T: TryFrom<usize>>(bounds: RangeInclusive<usize>) -> impl ValueType<T> {
    let least = *bounds.start();
    let greatest = *bounds.end();
    value_type(
        move |value| {
            let number = value
                .as_integer()
                .and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
            number
                .filter(|number| bounds.contains(number))
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| {
                    let quoted = value.as_str().filter(|text| {
                        text.parse()
                            .is_ok_and(|number: usize| bounds.contains(&number))
                    });
                    let hint = quoted.map(|number| format!("write {number}, without quotes"));
                    expected(format!("an integer from {least} to {greatest}")).or_help(hint)
                })
        },
        move || {
            let schema = json!({"type": "integer", "minimum": least, "maximum": greatest});
            Description::new(format!("integer from {least} to {greatest}"), schema)
        },
    )
}

/// A whole number and one of `ms`, `s`, `m`, `h`.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> impl ValueType<Duration> {
    let bounds = milliseconds(&bounds);
    let described = bounds.clone();
    value_type(
        move |value| read_duration(value, &bounds),
        move || describe("duration", &DURATION_UNITS, &described, "From"),
    )
}

/// A duration of whole seconds, the resolution of times in tokens.
pub(super) fn whole_seconds(bounds: RangeInclusive<Duration>) -> impl ValueType<Duration> {
    let bounds = milliseconds(&bounds);
    let described = bounds.clone();
    value_type(
        move |value| {
            let duration = read_duration(value, &bounds)?;
            if duration.subsec_nanos() == 0 {
                Ok(duration)
            } else {
                Err(expected("a duration of whole seconds"))
            }
        },
        move || {
            describe(
                "duration",
                &DURATION_UNITS,
                &described,
                "Whole seconds, from",
            )
        },
    )
}

/// A whole number and one of `B`, `KiB`, `MiB`, in bytes.
pub(super) fn size(bounds: RangeInclusive<usize>) -> impl ValueType<usize> {
    let bounds = *bounds.start() as u64..=*bounds.end() as u64;
    let described = bounds.clone();
    value_type(
        move |value| {
            let bytes = quantity(value, "size", &SIZE_UNITS, &bounds)?;
            usize::try_from(bytes).map_err(|_| expected("a size that fits in memory"))
        },
        move || describe("size", &SIZE_UNITS, &described, "From"),
    )
}

/// A limit that may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeLimit {
    /// Any size.
    Unlimited,
    /// At most as many bytes.
    Bytes(u64),
}

impl SizeLimit {
    /// The limit in bytes, if there is one.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// `"none"`, or a size of up to 1 TiB.
pub(super) fn size_limit() -> impl ValueType<SizeLimit> {
    const BOUNDS: RangeInclusive<u64> = 0..=1 << 40;
    value_type(
        |value| {
            if value.as_str() == Some("none") {
                return Ok(SizeLimit::Unlimited);
            }
            quantity(value, "size", &SIZE_UNITS, &BOUNDS)
                .map(SizeLimit::Bytes)
                .map_err(|mismatch| Mismatch {
                    expected: format!("\"none\" or {}", mismatch.expected),
                    ..mismatch
                })
        },
        || {
            Description::pattern("size or `none`", "^(none|[0-9]+(B|KiB|MiB))$")
                .with_note(format!("Up to {}.", written(*BOUNDS.end(), &SIZE_UNITS)))
        },
    )
}

/// A share such as `"50%"`, of at least one percent.
pub(super) fn percentage() -> impl ValueType<u8> {
    value_type(
        |value| {
            let read = |text: &str| {
                let digits = text.strip_suffix('%')?;
                let is_plain =
                    digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
                let percent = digits.parse().ok().filter(|_| is_plain);
                percent.filter(|percent| (1..=100).contains(percent))
            };
            let number = value.as_integer().map(ToString::to_string);
            let text = value.as_str();
            text.and_then(read).ok_or_else(|| {
                let proposed =
                    format!("{}%", number.as_deref().or(text).unwrap_or_default().trim());
                let hint = read(&proposed).map(|_| format!("did you mean {proposed:?}?"));
                expected("a share from \"1%\" to \"100%\"").or_help(hint)
            })
        },
        || Description::pattern("share", "^([1-9][0-9]?|100)%$").with_note("From 1% to 100%."),
    )
}

fn read_duration(value: &DeValue<'_>, bounds: &RangeInclusive<u64>) -> Result<Duration, Mismatch> {
    quantity(value, "duration", &DURATION_UNITS, bounds).map(Duration::from_millis)
}

fn milliseconds(bounds: &RangeInclusive<Duration>) -> RangeInclusive<u64> {
    let milliseconds =
        |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    milliseconds(bounds.start())..=milliseconds(bounds.end())
}

fn describe(
    name: &str,
    units: &[(&str, u64)],
    bounds: &RangeInclusive<u64>,
    from: &str,
) -> Description {
    let names: Vec<_> = units.iter().rev().map(|(name, _)| *name).collect();
    let least = written(*bounds.start(), units);
    let greatest = written(*bounds.end(), units);
    Description::pattern(name, &format!("^[0-9]+({})$", names.join("|")))
        .with_note(format!("{from} {least} to {greatest}."))
}

fn quantity(
    value: &DeValue<'_>,
    what: &str,
    units: &[(&str, u64)],
    bounds: &RangeInclusive<u64>,
) -> Result<u64, Mismatch> {
    let mismatch = || {
        let least = written(*bounds.start(), units);
        let greatest = written(*bounds.end(), units);
        expected(format!("a {what} from \"{least}\" to \"{greatest}\""))
    };
    let quantity = value
        .as_str()
        .and_then(|text| parse(text, units))
        .ok_or_else(|| {
            let meant = meant(value, units).filter(|quantity| bounds.contains(quantity));
            mismatch().with_help(match meant {
                Some(quantity) => format!("did you mean {:?}?", written(quantity, units)),
                None => {
                    let names: Vec<_> = units.iter().rev().map(|(name, _)| *name).collect();
                    format!("a whole number and a unit: {}", names.join(", "))
                }
            })
        })?;
    Some(quantity)
        .filter(|quantity| bounds.contains(quantity))
        .ok_or_else(mismatch)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Spellings of units in other programs.
const OTHER_UNITS: [(&str, &str); 20] = [
    ("milliseconds", "ms"),
    ("millis", "ms"),
    ("msec", "ms"),
    ("seconds", "s"),
    ("second", "s"),
    ("secs", "s"),
    ("sec", "s"),
    ("minutes", "m"),
    ("minute", "m"),
    ("mins", "m"),
    ("min", "m"),
    ("hours", "h"),
    ("hour", "h"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("bytes", "B"),
    ("days", "d"),
    ("day", "d"),
];

/// The probable quantity in `30`, `"30"`, `"1m30s"`, `"1.5s"`, `"2 hours"`, `"1d"` or `"16kb"`.
fn meant(value: &DeValue<'_>, units: &[(&str, u64)]) -> Option<u64> {
    let of_seconds = units.iter().any(|(name, _)| *name == "s");
    // Most programs use seconds and bytes if the unit is missing.
    let bare = if of_seconds { "s" } else { "B" };
    let number = value.as_integer().map(ToString::to_string);
    let text = number.as_deref().or(value.as_str())?.to_ascii_lowercase();
    let mut rest = text.as_str();
    let mut sum: u64 = 0;
    while !rest.trim().is_empty() {
        rest = rest.trim_start();
        let (number, after) = rest.split_at(
            rest.find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len()),
        );
        let after = after.trim_start();
        let (unit, after) = after.split_at(
            after
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(after.len()),
        );
        let factor = factor(if unit.is_empty() { bare } else { unit }, units)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let parts = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
        let scaled = format!("{whole}{part}")
            .parse::<u64>()
            .ok()?
            .checked_mul(factor)?;
        sum = sum.checked_add(Some(scaled / parts).filter(|_| scaled.is_multiple_of(parts))?)?;
        rest = after;
    }
    Some(sum).filter(|_| !text.trim().is_empty())
}

fn factor(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let ours = |name: &str| {
        units
            .iter()
            .find(|(ours, _)| ours.eq_ignore_ascii_case(name))
            .map(|(_, factor)| *factor)
    };
    let days = || {
        units
            .iter()
            .find(|(name, _)| *name == "h")
            .map(|(_, factor)| factor * 24)
    };
    let other = || {
        OTHER_UNITS
            .iter()
            .filter(|(other, _)| *other == unit)
            .find_map(|(_, name)| match *name {
                "d" => days(),
                name => ours(name),
            })
    };
    ours(unit)
        .or_else(other)
        .or_else(|| days().filter(|_| unit == "d"))
}

/// Writes a quantity in the greatest unit that divides it.
fn written(quantity: u64, units: &[(&str, u64)]) -> String {
    let fits = |&&(_, factor): &&(&str, u64)| quantity >= factor && quantity.is_multiple_of(factor);
    match units.iter().find(fits) {
        Some((name, factor)) => format!("{}{name}", quantity / factor),
        None => format!(
            "{quantity}{}",
            if units.iter().any(|(name, _)| *name == "s") {
                "s"
            } else {
                "B"
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_whole_numbers_with_a_unit() {
        let read = |text| parse(text, &DURATION_UNITS);
        assert_eq!(read("250ms"), Some(250));
        assert_eq!(read("5s"), Some(5000));
        assert_eq!(read("10m"), Some(600_000));
        assert_eq!(read("24h"), Some(86_400_000));
        assert_eq!(read("0s"), Some(0));
        for wrong in [
            "",
            "5",
            "s",
            "5 s",
            " 5s",
            "5S",
            "-5s",
            "+5s",
            "1.5s",
            "1m30s",
            "99999999999999999h",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert_eq!(parse("16KiB", &SIZE_UNITS), Some(16_384));
        assert_eq!(parse("1MiB", &SIZE_UNITS), Some(1_048_576));
        assert_eq!(parse("512B", &SIZE_UNITS), Some(512));
        assert_eq!(parse("16kb", &SIZE_UNITS), None);
    }

    #[test]
    fn quantities_of_other_programs_are_translated() {
        let proposed = |text: &str, units| {
            meant(&DeValue::String(text.into()), units).map(|one| written(one, units))
        };
        for (text, ours) in [
            ("30", "30s"),
            ("5 s", "5s"),
            ("5S", "5s"),
            ("1.5s", "1500ms"),
            ("1m30s", "90s"),
            ("2 hours 5 min", "125m"),
            ("1d", "24h"),
            ("250 msec", "250ms"),
        ] {
            assert_eq!(
                proposed(text, &DURATION_UNITS).as_deref(),
                Some(ours),
                "{text}"
            );
        }
        for (text, ours) in [
            ("16kb", "16KiB"),
            ("16 KB", "16KiB"),
            ("1M", "1MiB"),
            ("1.5MiB", "1536KiB"),
            ("512", "512B"),
        ] {
            assert_eq!(proposed(text, &SIZE_UNITS).as_deref(), Some(ours), "{text}");
        }
        for none in [
            "",
            "s",
            "-5s",
            "1.2345s",
            "5 parsecs",
            "1..5s",
            "99999999999999999999h",
            "5s!",
        ] {
            assert_eq!(proposed(none, &DURATION_UNITS), None, "{none}");
        }
    }

    #[test]
    fn bounds_are_written_in_the_greatest_unit() {
        for text in ["250ms", "30s", "5m", "1h", "720h", "0s"] {
            let quantity = parse(text, &DURATION_UNITS).expect("a duration");
            assert_eq!(written(quantity, &DURATION_UNITS), text);
        }
        assert_eq!(written(8192, &SIZE_UNITS), "8KiB");
    }
}
