//! Numbers with bounds: counts, durations such as `"30s"` and sizes such as `"16KiB"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::values::{Mismatch, expected};

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

/// A bare integer.
pub(super) fn count(bounds: RangeInclusive<usize>) -> impl Fn(&DeValue<'_>) -> Result<usize, Mismatch> {
    move |value| {
        let number = value.as_integer().and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| expected(format!("an integer from {} to {}", bounds.start(), bounds.end())))
    }
}

/// A whole number and one of `ms`, `s`, `m`, `h`.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, Mismatch> {
    move |value| {
        let milliseconds = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let bounds = milliseconds(bounds.start())..=milliseconds(bounds.end());
        quantity(value, "duration", &DURATION_UNITS, &bounds).map(Duration::from_millis)
    }
}

/// A duration of whole seconds: what is counted by the clock that tokens are counted by.
pub(super) fn whole_seconds(bounds: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, Mismatch> {
    let read = duration(bounds);
    move |value| {
        let duration = read(value)?;
        if duration.subsec_nanos() == 0 { Ok(duration) } else { Err(expected("a duration of whole seconds")) }
    }
}

/// A whole number and one of `B`, `KiB`, `MiB`, in bytes.
pub(super) fn size(bounds: RangeInclusive<usize>) -> impl Fn(&DeValue<'_>) -> Result<usize, Mismatch> {
    move |value| {
        let bounds = *bounds.start() as u64..=*bounds.end() as u64;
        let bytes = quantity(value, "size", &SIZE_UNITS, &bounds)?;
        usize::try_from(bytes).map_err(|_| expected("a size that fits in memory"))
    }
}

fn quantity(
    value: &DeValue<'_>,
    what: &str,
    units: &[(&str, u64)],
    bounds: &RangeInclusive<u64>,
) -> Result<u64, Mismatch> {
    let mismatch = || {
        let (least, most) = (written(*bounds.start(), units), written(*bounds.end(), units));
        expected(format!("a {what} from \"{least}\" to \"{most}\""))
    };
    let quantity = value.as_str().and_then(|text| parse(text, units)).ok_or_else(|| {
        let names: Vec<_> = units.iter().rev().map(|(name, _)| *name).collect();
        mismatch().with_help(format!("a whole number and a unit: {}", names.join(", ")))
    })?;
    Some(quantity).filter(|quantity| bounds.contains(quantity)).ok_or_else(mismatch)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The shortest way to write a quantity: in its greatest unit that divides it.
fn written(quantity: u64, units: &[(&str, u64)]) -> String {
    let fits = |&&(_, factor): &&(&str, u64)| quantity >= factor && quantity.is_multiple_of(factor);
    match units.iter().find(fits) {
        Some((name, factor)) => format!("{}{name}", quantity / factor),
        None => format!("{quantity}{}", if units.iter().any(|(name, _)| *name == "s") { "s" } else { "B" }),
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
        for wrong in ["", "5", "s", "5 s", " 5s", "5S", "-5s", "+5s", "1.5s", "1m30s", "99999999999999999h"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert_eq!(parse("16KiB", &SIZE_UNITS), Some(16_384));
        assert_eq!(parse("1MiB", &SIZE_UNITS), Some(1_048_576));
        assert_eq!(parse("512B", &SIZE_UNITS), Some(512));
        assert_eq!(parse("16kb", &SIZE_UNITS), None);
    }

    #[test]
    fn bounds_are_written_as_one_would_write_them() {
        for text in ["250ms", "30s", "5m", "1h", "720h", "0s"] {
            let quantity = parse(text, &DURATION_UNITS).expect("a duration");
            assert_eq!(written(quantity, &DURATION_UNITS), text);
        }
        assert_eq!(written(8192, &SIZE_UNITS), "8KiB");
    }
}
