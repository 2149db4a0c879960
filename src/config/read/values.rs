//! Keys with one value.

use serde_json::Value;

use super::{Entry, Table};
use crate::config::Purpose;
use crate::config::reference::{Description, Form, Key, Presence};
use crate::config::report::Spanned;
use crate::config::secret::{Secret, SecretError, SecretSource, read_secret};
use crate::config::value_type::ValueType;

impl Table<'_> {
    /// An optional key.
    pub(in crate::config) fn optional<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
    ) -> Option<Spanned<T>> {
        self.declare(key, Presence::Optional, || Form::Value(values.describe()));
        self.take_value(key, &values)
    }

    /// As [`Table::optional`], without the location.
    pub(in crate::config) fn optional_value<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
    ) -> Option<T> {
        self.optional(key, values).map(|spanned| spanned.value)
    }

    /// An optional key with a computed default that its description states.
    pub(in crate::config) fn or_else<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        default: impl FnOnce() -> T,
    ) -> T {
        self.optional_value(key, values).unwrap_or_else(default)
    }

    /// A key with a default.
    pub(in crate::config) fn or<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        default: impl Into<Value>,
    ) -> T {
        self.spanned_or(key, values, default).value
    }

    /// As [`Table::or`], with the location.
    pub(in crate::config) fn spanned_or<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        default: impl Into<Value>,
    ) -> Spanned<T> {
        let default = default.into();
        self.declare(key, Presence::Default(default.clone()), || {
            Form::Value(values.describe())
        });
        self.take_value(key, &values).unwrap_or_else(|| {
            let mut values = self.default_values(key.name, &values, &default);
            values
                .pop()
                .expect("a default that is not a list is one value")
        })
    }

    /// A required key; `what` names it in the fault.
    pub(in crate::config) fn required<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        what: &str,
    ) -> Option<Spanned<T>> {
        self.declare(key, Presence::Required, || Form::Value(values.describe()));
        self.refuse_missing(key.name, what);
        self.take_value(key, &values)
    }

    /// As [`Table::required`], without the location.
    pub(in crate::config) fn required_value<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        what: &str,
    ) -> Option<T> {
        self.required(key, values, what)
            .map(|spanned| spanned.value)
    }

    /// An optional secret.
    pub(in crate::config) fn secret(&mut self, key: Key) -> Option<Spanned<Secret>> {
        self.declare(key, Presence::Optional, || {
            Form::Value(Description::secret())
        });
        self.take_secret(key)
    }

    /// A required secret; `what` names it in the fault.
    pub(in crate::config) fn required_secret(
        &mut self,
        key: Key,
        what: &str,
    ) -> Option<Spanned<Secret>> {
        self.declare(key, Presence::Required, || {
            Form::Value(Description::secret())
        });
        self.refuse_missing(key.name, what);
        self.take_secret(key)
    }

    /// A secret with a public default, for development.
    pub(in crate::config) fn secret_or(&mut self, key: Key, default: &str) -> Secret {
        self.declare(key, Presence::Default(default.into()), || {
            Form::Value(Description::secret())
        });
        self.take_secret(key)
            .map_or_else(|| Secret::bare(default), |secret| secret.value)
    }

    fn take_value<T>(&mut self, key: Key, values: &impl ValueType<T>) -> Option<Spanned<T>> {
        let entry = self.take(key.name)?;
        self.value(entry, values)
    }

    fn take_secret(&mut self, key: Key) -> Option<Spanned<Secret>> {
        let entry = self.take(key.name)?;
        self.secret_value(entry)
    }

    // No message shows a secret, so there are no proposals for an unreadable one.
    pub(super) fn secret_value(&self, entry: Entry<'_>) -> Option<Spanned<Secret>> {
        let source = SecretSource {
            folder: &self.file.folder,
            variable: self.file.variable,
        };
        match read_secret(&source, entry.value) {
            Ok(secret) => Some(Spanned::new(secret, entry.key, Some(entry.span))),
            Err(SecretError::Missing(origin, mismatch))
                if self.file.purpose == Purpose::CheckOnly =>
            {
                let help = "only `scopegate run` needs it";
                let fault = self.mismatched(&entry, mismatch).with_help(help);
                self.file.warnings.borrow_mut().push(fault);
                let secret = Secret::missing(origin);
                Some(Spanned::new(secret, entry.key, Some(entry.span)))
            }
            Err(SecretError::Missing(_, mismatch)) if self.file.purpose == Purpose::Try => {
                let help = mismatch.help.as_deref().unwrap_or("it must be present");
                let help = format!("{help}; --offline works without it");
                self.mismatch(&entry, mismatch.with_help(help));
                None
            }
            Err(SecretError::Missing(_, mismatch) | SecretError::Invalid(mismatch)) => {
                self.mismatch(&entry, mismatch);
                None
            }
        }
    }
}
