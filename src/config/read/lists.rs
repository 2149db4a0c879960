//! Keys with several values.

use serde_json::{Value, json};
use toml::de::DeValue;

use super::{Entry, Table, indexed};
use crate::config::hints;
use crate::config::mismatch::{Mismatch, describe, expected};
use crate::config::reference::{Description, Form, Key, Presence};
use crate::config::report::Spanned;
use crate::config::value_type::ValueType;

impl Table<'_> {
    /// A list of at least `least` elements, or one bare value; empty if the key is missing.
    pub(in crate::config) fn list<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        least: usize,
    ) -> Vec<Spanned<T>> {
        self.optional_list(key, values, least).unwrap_or_default()
    }

    /// As [`Table::list`], without locations.
    pub(in crate::config) fn list_of_values<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        least: usize,
    ) -> Vec<T> {
        let list = self.list(key, values, least);
        list.into_iter().map(|spanned| spanned.value).collect()
    }

    /// As [`Table::list`], but an empty list differs from a missing key.
    pub(in crate::config) fn optional_list<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        least: usize,
    ) -> Option<Vec<Spanned<T>>> {
        self.declare(key, Presence::Optional, || {
            Form::Value(values.describe().one_or_many(least))
        });
        self.take_list(key, &values, least)
    }

    /// As [`Table::list`], with a default.
    pub(in crate::config) fn list_or<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        least: usize,
        default: impl Into<Value>,
    ) -> Vec<Spanned<T>> {
        let default = default.into();
        self.declare(key, Presence::Default(default.clone()), || {
            Form::Value(values.describe().one_or_many(least))
        });
        self.take_list(key, &values, least)
            .unwrap_or_else(|| self.default_values(key.name, &values, &default))
    }

    /// As [`Table::list`], with a default that the description of the key states.
    pub(in crate::config) fn list_or_else<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        least: usize,
        default: &[&str],
    ) -> Vec<Spanned<T>> {
        self.declare(key, Presence::Optional, || {
            Form::Value(values.describe().one_or_many(least))
        });
        self.take_list(key, &values, least)
            .unwrap_or_else(|| self.default_values(key.name, &values, &json!(default)))
    }

    /// A required list of at least one element.
    pub(in crate::config) fn required_list<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        what: &str,
    ) -> Option<Vec<Spanned<T>>> {
        self.declare(key, Presence::Required, || {
            Form::Value(values.describe().one_or_many(1))
        });
        self.refuse_missing(key.name, what);
        self.take_list(key, &values, 1)
            .filter(|readable| !readable.is_empty())
    }

    /// A list of at least `least` elements; a bare value is refused.
    pub(in crate::config) fn bracketed_list<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
        least: usize,
    ) -> Option<Vec<Spanned<T>>> {
        self.declare(key, Presence::Optional, || {
            Form::Value(values.describe().list(least))
        });
        let entry = self.take(key.name)?;
        if !entry.value.is_array() {
            let bracketed = values
                .read(entry.value)
                .ok()
                .map(|_| format!("did you mean [{}]?", describe(entry.value)));
            self.mismatch(&entry, expected("a list").or_help(bracketed));
            return None;
        }
        self.elements(key, entry, least, &values)
    }

    fn take_list<T>(
        &mut self,
        key: Key,
        values: &impl ValueType<T>,
        least: usize,
    ) -> Option<Vec<Spanned<T>>> {
        let entry = self.take(key.name)?;
        if entry.value.is_array() {
            return self.elements(key, entry, least, values);
        }
        // `"a, b"` may be one value, but is usually meant as a list.
        if let (Some(text), Ok(_), Some(list)) = (
            entry.value.as_str(),
            values.read(entry.value),
            listed(entry.value, values),
        ) && text.contains(',')
        {
            self.warn(
                &entry,
                &format!("{} is one value", describe(entry.value)),
                format!("a list is written {list}"),
            );
        }
        self.value(entry, &OrList(values)).map(|only| vec![only])
    }

    /// The readable elements; the faults of the others are recorded.
    fn elements<T>(
        &self,
        key: Key,
        entry: Entry<'_>,
        least: usize,
        values: &impl ValueType<T>,
    ) -> Option<Vec<Spanned<T>>> {
        let elements = entry.value.as_array()?;
        if elements.len() < least {
            let help = match key.default_meaning() {
                Some(meaning) => format!("add one; without the key, {meaning}"),
                None => "add one".to_owned(),
            };
            let mismatch = expected("at least one element").but_found("an empty list");
            self.mismatch(&entry, mismatch.with_help(help));
            return None;
        }
        Some(
            indexed(&entry.key, elements)
                .filter_map(|element| self.value(element, values))
                .collect(),
        )
    }
}

/// A bare value instead of a list. For an unreadable one, the probable list is proposed.
struct OrList<'v, V>(&'v V);

impl<T, V: ValueType<T>> ValueType<T> for OrList<'_, V> {
    fn read(&self, value: &DeValue<'_>) -> Result<T, Mismatch> {
        self.0.read(value).map_err(|mismatch| {
            let list = listed(value, self.0);
            mismatch.or_help(list.map(|list| format!("did you mean {list}?")))
        })
    }

    fn describe(&self) -> Description {
        self.0.describe()
    }
}

// The probable list in a text: each part is a valid element.
fn listed<T>(value: &DeValue<'_>, values: &impl ValueType<T>) -> Option<String> {
    let parts = hints::parts(value.as_str()?)?;
    let is_valid = |part: &&str| values.read(&DeValue::String((*part).into())).is_ok();
    // `/orders,old` is one path: its parts are not all paths.
    let is_path = |part: &&str| part.starts_with('/');
    let are_alike = parts.iter().all(is_path) || !parts.iter().any(is_path);
    (are_alike && parts.iter().all(is_valid)).then(|| format!("{parts:?}"))
}
