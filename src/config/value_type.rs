//! The type of a key's value: reads values, and describes them for the schema and the reference.

use toml::de::DeValue;

use super::mismatch::Mismatch;
use super::reference::Description;

/// Reads the values of a key, and describes them.
pub(super) trait ValueType<T> {
    /// Reads one value.
    fn read(&self, value: &DeValue<'_>) -> Result<T, Mismatch>;

    /// Describes the values that [`read`](Self::read) accepts.
    fn describe(&self) -> Description;
}

struct Declared<R, D> {
    read: R,
    describe: D,
}

impl<T, R, D> ValueType<T> for Declared<R, D>
where
    R: Fn(&DeValue<'_>) -> Result<T, Mismatch>,
    D: Fn() -> Description,
{
    fn read(&self, value: &DeValue<'_>) -> Result<T, Mismatch> {
        (self.read)(value)
    }

    fn describe(&self) -> Description {
        (self.describe)()
    }
}

/// A type from two functions.
///
/// `describe` runs only while recording: reading a file of many routes builds no descriptions.
pub(super) fn value_type<T>(
    read: impl Fn(&DeValue<'_>) -> Result<T, Mismatch>,
    describe: impl Fn() -> Description,
) -> impl ValueType<T> {
    Declared { read, describe }
}
