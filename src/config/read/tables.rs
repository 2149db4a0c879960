//! Keys that are tables.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::{Entry, Table, indexed, join};
use crate::config::mismatch::{expected, kind};
use crate::config::names::{is_bare_key, nearest};
use crate::config::owned_headers::HEADER_NAME;
use crate::config::reference::{Description, Form, Key, Presence, TableReference};
use crate::config::report::Spanned;
use crate::config::secret::Secret;
use crate::config::value_type::ValueType;

impl<'f> Table<'f> {
    /// A table whose keys all have defaults; a missing one is read as an empty one.
    pub(in crate::config) fn table<T>(
        &mut self,
        key: Key,
        read: impl Fn(&mut Table<'_>) -> T,
    ) -> T {
        self.record(key, Form::Table, &read);
        let entry = self.take(key.name);
        entry
            .and_then(|entry| self.read_table(entry, &read))
            .unwrap_or_else(|| self.read_empty(key.name, read).0)
    }

    /// An optional table.
    pub(in crate::config) fn optional_table<T>(
        &mut self,
        key: Key,
        read: impl Fn(&mut Table<'_>) -> Option<T>,
    ) -> Option<T> {
        self.record(key, Form::Table, &read);
        let entry = self.take(key.name)?;
        self.read_table(entry, read).flatten()
    }

    /// A table, or `false`; nothing where it is left out.
    pub(in crate::config) fn table_or_false<T, S: From<Option<T>> + Default>(
        &mut self,
        key: Key,
        read: impl Fn(&mut Table<'_>) -> Option<T>,
    ) -> S {
        self.record(key, Form::TableOrFalse, &read);
        let Some(entry) = self.take(key.name) else {
            return S::default();
        };
        if entry.value.as_bool() == Some(false) {
            return S::from(None);
        }
        if !entry.value.is_table() {
            self.mismatch(&entry, expected("a table or false"));
            return S::default();
        }
        let table = self.read_table(entry, read).flatten();
        table.map_or_else(S::default, |table| S::from(Some(table)))
    }

    /// Every table of `[[key]]`.
    pub(in crate::config) fn tables<T>(
        &mut self,
        key: Key,
        read: impl Fn(&mut Table<'_>) -> Option<T>,
    ) -> Vec<T> {
        self.record(key, |element| Form::Tables(0, element), &read);
        self.take_tables(key, read)
    }

    /// Every table of `[[key]]`, at least one; `help` shows how they are written.
    pub(in crate::config) fn required_tables<T>(
        &mut self,
        key: Key,
        read: impl Fn(&mut Table<'_>) -> Option<T>,
        what: &str,
        help: &str,
    ) -> Vec<T> {
        if self.file.is_recording {
            let element = self.read_empty(key.name, &read).1;
            self.declare(key, Presence::Required, || Form::Tables(1, element));
        }
        if !self.has_elements(key.name) {
            let message = format!("expected {what}, but found nothing");
            let fault = self.fault(key.name, message).with_help(help);
            self.push_unless_misspelt(&[key.name], fault);
        }
        self.take_tables(key, read)
    }

    /// Every table of `[key.NAME]`, in the order of the file.
    pub(in crate::config) fn named_tables<T>(
        &mut self,
        key: Key,
        read: impl Fn(&mut Table<'_>, Spanned<String>) -> Option<T>,
    ) -> Vec<T> {
        let example = || Spanned::new("NAME".to_owned(), String::new(), None);
        self.record(key, Form::NamedTables, |table: &mut Table<'_>| {
            read(table, example())
        });
        let (entries, nameless): (Vec<_>, Vec<_>) = self
            .pairs(key.name, || format!("tables, written [{}.NAME]", key.name))
            .into_iter()
            .partition(|(_, entry)| entry.value.is_table());
        // Without the name, all keys are in the wrong table: one fault.
        if let Some((name, entry)) = nameless.first() {
            let message = format!(
                "expected a table, written [{}.NAME], but found {}",
                key.name,
                kind(entry.value)
            );
            self.push(name.fault(message).with_help(format!(
                "write [{}.NAME] above its keys, with a name of your own",
                key.name
            )));
        }
        for (name, _) in entries.iter().filter(|(name, _)| !is_bare_key(&name.value)) {
            // Names become metric labels and log fields.
            let message = format!(
                "expected a name of letters, digits, \"-\" and \"_\", but found {:?}",
                name.value
            );
            self.push(name.fault(message));
        }
        let read_one = |(name, entry)| self.read_table(entry, |table| read(table, name)).flatten();
        entries.into_iter().filter_map(read_one).collect()
    }

    /// Every `NAME = value` of the table `key`, in the order of the file.
    ///
    /// The schema restricts names to `pattern`; the caller checks them.
    pub(in crate::config) fn map<T>(
        &mut self,
        key: Key,
        pattern: &'static str,
        values: impl ValueType<T>,
    ) -> Vec<(Spanned<String>, Spanned<T>)> {
        self.declare(key, Presence::Optional, || {
            Form::Map(pattern, values.describe())
        });
        let entries = self.pairs(key.name, || "a table".to_owned());
        let read_one = |(name, entry)| Some((name, self.value(entry, &values)?));
        entries.into_iter().filter_map(read_one).collect()
    }

    /// Every `"NAME" = value` of the headers `key`. A header beside them is refused with a proposal.
    pub(in crate::config) fn headers<T>(
        &mut self,
        key: Key,
        values: impl ValueType<T>,
    ) -> Vec<(Spanned<String>, Spanned<T>)> {
        self.headers = Some(key.name);
        self.map(key, HEADER_NAME, values)
    }

    /// As [`Table::headers`], with secrets as values.
    pub(in crate::config) fn secret_headers(
        &mut self,
        key: Key,
    ) -> Vec<(Spanned<String>, Spanned<Secret>)> {
        self.headers = Some(key.name);
        self.declare(key, Presence::Optional, || {
            Form::Map(HEADER_NAME, Description::secret())
        });
        let entries = self.pairs(key.name, || "a table".to_owned());
        let read_one = |(name, entry)| Some((name, self.secret_value(entry)?));
        entries.into_iter().filter_map(read_one).collect()
    }

    /// The names declared as `[name.NAME]`, readable or not: a faulty declaration still declares
    /// its name. `None` if the value, or that of a misspelt key, is not a table of tables.
    pub(in crate::config) fn names(&self, name: &str) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (key, value) in self.entries {
            if key.get_ref() == name || nearest(key.get_ref(), [name]).is_some() {
                let tables = value
                    .get_ref()
                    .as_table()
                    .filter(|tables| tables.values().all(|one| one.get_ref().is_table()));
                names.extend(tables?.keys().map(|name| name.get_ref().to_string()));
            }
        }
        Some(names)
    }

    fn take_tables<T>(&mut self, key: Key, read: impl Fn(&mut Table<'_>) -> Option<T>) -> Vec<T> {
        let Some(entry) = self.take(key.name) else {
            return Vec::new();
        };
        let DeValue::Array(elements) = entry.value else {
            self.mismatch(
                &entry,
                expected(format!("a list of tables, written [[{}]]", entry.key)),
            );
            return Vec::new();
        };
        indexed(&entry.key, elements)
            .filter_map(|entry| self.read_table(entry, &read).flatten())
            .collect()
    }

    fn pairs(
        &mut self,
        name: &'static str,
        what: impl FnOnce() -> String,
    ) -> Vec<(Spanned<String>, Entry<'f>)> {
        let Some(entry) = self.take(name) else {
            return Vec::new();
        };
        let DeValue::Table(entries) = entry.value else {
            self.mismatch(&entry, expected(what()));
            return Vec::new();
        };
        let mut pairs: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let key = join(&entry.key, name.get_ref());
                let entry = Entry {
                    key: key.clone(),
                    span: value.span(),
                    value: value.get_ref(),
                };
                (
                    name.span().start,
                    Spanned::new(name.get_ref().to_string(), key, Some(name.span())),
                    entry,
                )
            })
            .collect();
        pairs.sort_by_key(|&(offset, ..)| offset);
        pairs
            .into_iter()
            .map(|(_, name, entry)| (name, entry))
            .collect()
    }

    fn read_table<T>(&self, entry: Entry<'_>, read: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let DeValue::Table(entries) = entry.value else {
            // An element of a list has no `[header]` of its own.
            let form = if entry.key.contains('[') {
                String::new()
            } else {
                format!(", written [{}]", entry.key)
            };
            self.mismatch(&entry, expected(format!("a table{form}")));
            return None;
        };
        let table = Table::new(self.file, entry.key, Some(entry.span), entries);
        Some(table.read(read).0)
    }

    fn read_empty<T>(
        &self,
        name: &str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> (T, TableReference) {
        Table::new(self.file, join(&self.key, name), None, &DeTable::new()).read(read)
    }

    // Reading an empty table reads every key, so it declares all of them.
    fn record<T>(
        &self,
        key: Key,
        form: impl FnOnce(TableReference) -> Form,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) {
        if self.file.is_recording {
            let table = self.read_empty(key.name, read).1;
            self.declare(key, Presence::Optional, || form(table));
        }
    }
}
