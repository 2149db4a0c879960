//! Reads a table key by key, and refuses unknown keys.
//!
//! Reading does not stop at the first fault. An unreadable key records its fault and yields its
//! default, so one run reports every fault. The functions that take a closure refuse every key that
//! the closure did not read, so no table can forget this.
//!
//! - `values`: keys with one value. `lists`: keys with several. `tables`: keys that are tables.

mod lists;
mod tables;
mod values;

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml::de::{DeArray, DeTable, DeValue};

use super::Purpose;
use super::hints;
use super::mismatch::{Mismatch, describe};
use super::names::{is_bare_key, meant, quoted_list};
use super::reference::{Form, Key, KeyReference, Presence, TableReference};
use super::report::{Fault, Spanned};
use super::value_type::ValueType;

/// The file being read: what its values depend on, and the faults found so far.
pub(super) struct File<'e> {
    /// Where relative paths start.
    pub(super) folder: PathBuf,
    /// Why it is read.
    pub(super) purpose: Purpose,
    /// Looks up a variable of the environment.
    pub(super) variable: &'e dyn Fn(&str) -> Option<String>,
    /// Whether tables record what they declare.
    pub(super) is_recording: bool,
    /// Faults found so far.
    pub(super) faults: RefCell<Vec<Fault>>,
    /// Values that are accepted, but probably a mistake.
    pub(super) warnings: RefCell<Vec<Fault>>,
}

/// One table of the file.
pub(super) struct Table<'f> {
    file: &'f File<'f>,
    key: String,
    span: Option<Range<usize>>,
    entries: &'f DeTable<'f>,
    taken: Vec<&'static str>,
    /// The key that holds headers by their names, if there is one.
    headers: Option<&'static str>,
    /// Faults that are dropped if one of these keys is misspelt: the misspelling is the only fault.
    absent: RefCell<Vec<(Vec<&'static str>, Fault)>>,
    /// The declarations so far, if recorded.
    reference: RefCell<TableReference>,
}

/// One value and its location.
struct Entry<'f> {
    key: String,
    span: Range<usize>,
    value: &'f DeValue<'f>,
}

impl File<'_> {
    /// Reads the whole document; also returns the declarations of its tables, if recorded.
    pub(super) fn read<T>(
        &self,
        document: &DeTable<'_>,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> (T, TableReference) {
        Table::new(self, String::new(), None, document).read(read)
    }
}

impl<'f> Table<'f> {
    fn new(
        file: &'f File<'f>,
        key: String,
        span: Option<Range<usize>>,
        entries: &'f DeTable<'f>,
    ) -> Self {
        Self {
            file,
            key,
            span,
            entries,
            taken: Vec::new(),
            headers: None,
            absent: RefCell::default(),
            reference: RefCell::default(),
        }
    }

    /// Where relative paths start.
    pub(super) fn folder(&self) -> &'f Path {
        &self.file.folder
    }

    /// Looks up a variable of the environment.
    pub(super) fn variable(&self) -> &'f dyn Fn(&str) -> Option<String> {
        self.file.variable
    }

    /// Records the description of the table.
    pub(super) fn document(&self, doc: &'static str) {
        self.reference.borrow_mut().doc = doc;
    }

    /// Records a JSON Schema for the whole table: which keys exclude or require each other.
    pub(super) fn rule(&self, rule: impl FnOnce() -> Value) {
        if self.file.is_recording {
            self.reference.borrow_mut().rules.push(rule());
        }
    }

    fn declare(&self, key: Key, presence: Presence, form: impl FnOnce() -> Form) {
        if self.file.is_recording {
            let form = form();
            let declared = KeyReference {
                key,
                presence,
                form,
            };
            self.reference.borrow_mut().keys.push(declared);
        }
    }

    pub(super) fn push(&self, fault: Fault) {
        self.file.faults.borrow_mut().push(fault);
    }

    /// Pushes a fault that follows from the absence of `keys`, unless one of them is misspelt: then
    /// the misspelling is the only fault.
    pub(super) fn push_unless_misspelt(&self, keys: &[&'static str], fault: Fault) {
        self.absent.borrow_mut().push((keys.to_vec(), fault));
    }

    /// A value at the location of this table.
    pub(super) fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned::new(value, self.key.clone(), self.span.clone())
    }

    /// Whether the key is present, readable or not: an unreadable value is not a missing one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Whether the key is a list with elements, readable or not.
    pub(super) fn has_elements(&self, name: &str) -> bool {
        self.entries
            .get(name)
            .and_then(|value| value.get_ref().as_array())
            .is_some_and(|list| !list.is_empty())
    }

    /// A fault of the key `name`, located at its value, or at the table if it is missing.
    pub(super) fn fault(&self, name: &str, message: impl Into<String>) -> Fault {
        let span = self
            .entries
            .get(name)
            .map(|value| value.span())
            .or_else(|| self.span.clone());
        Fault {
            key: join(&self.key, name),
            span,
            message: message.into(),
            help: None,
        }
    }

    /// Refuses two keys in one table.
    pub(super) fn refuse_both(&self, first: &str, second: &str) {
        self.rule(|| json!({"not": {"required": [first, second]}}));
        if self.has(first) && self.has(second) {
            self.push_both(first, second);
        }
    }

    /// The fault of two exclusive keys.
    pub(super) fn push_both(&self, first: &str, second: &str) {
        let message = format!("expected only one of {first:?} and {second:?}, but found both");
        self.push(self.fault(second, message));
    }

    fn read<T>(mut self, read: impl FnOnce(&mut Table<'_>) -> T) -> (T, TableReference) {
        let value = read(&mut self);
        #[cfg(test)]
        if !self.file.is_recording {
            super::tests::schema::record_keys(&self.key, &self.taken);
        }
        let mut absent = self.absent.take();
        for (name, value) in self.entries {
            let (span, name) = (name.span(), name.get_ref().as_ref());
            if self.taken.contains(&name) {
                continue;
            }
            let meant = meant(name, &self.taken);
            absent.retain(|(keys, _)| !keys.iter().any(|key| Some(*key) == meant));
            let help = match (meant, self.headers) {
                (Some(meant), _) => format!("did you mean {meant:?}?"),
                (None, Some(headers)) if !is_like_a_key(name) => {
                    format!("did you mean {headers} = {{ {name:?} = … }}?")
                }
                (None, _) if self.key.is_empty() && !is_table(value.get_ref()) => format!(
                    "write it below the header of its table: {}",
                    quoted_list(&self.taken, "or")
                ),
                (None, _) => format!("known: {}", quoted_list(&self.taken, "and")),
            };
            let message = format!("expected a known key, but found {name:?}");
            self.push(Fault {
                key: join(&self.key, name),
                span: Some(span),
                message,
                help: Some(help),
            });
        }
        absent.into_iter().for_each(|(_, fault)| self.push(fault));
        (value, self.reference.take())
    }

    fn take(&mut self, name: &'static str) -> Option<Entry<'f>> {
        self.taken.push(name);
        let value = self.entries.get(name)?;
        Some(Entry {
            key: join(&self.key, name),
            span: value.span(),
            value: value.get_ref(),
        })
    }

    fn value<T>(&self, entry: Entry<'_>, values: &impl ValueType<T>) -> Option<Spanned<T>> {
        match values.read(entry.value) {
            Ok(value) => {
                if let Some(placeholder) = entry.value.as_str().and_then(hints::placeholder) {
                    let message = format!("{placeholder:?} is used literally");
                    self.warn(&entry, &message, hints::write_the_value(placeholder));
                }
                Some(Spanned::new(value, entry.key, Some(entry.span)))
            }
            Err(mismatch) => {
                let mismatch = mismatch.or_help(brackets(entry.value, values));
                self.mismatch(&entry, mismatch);
                None
            }
        }
    }

    /// The values of a default, without locations. They are read like written ones, so every
    /// default can also be written.
    fn default_values<T>(
        &self,
        name: &str,
        values: &impl ValueType<T>,
        default: &Value,
    ) -> Vec<Spanned<T>> {
        let read = |default: &Value| {
            let value = match default {
                Value::String(text) => values.read(&DeValue::String(text.into())),
                Value::Bool(value) => values.read(&DeValue::Boolean(*value)),
                // JSON numbers are TOML numbers.
                Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    let number = default.to_string();
                    let number = DeValue::parse(&number).expect("a number of JSON is one of TOML");
                    values.read(number.get_ref())
                }
            };
            let value = value.unwrap_or_else(|mismatch| {
                panic!("{name}: the default is not a value of its type: {mismatch:?}")
            });
            Spanned::new(value, join(&self.key, name), None)
        };
        match default {
            Value::Array(elements) => elements.iter().map(read).collect(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => vec![read(default)],
        }
    }

    fn warn(&self, entry: &Entry<'_>, message: &str, help: String) {
        let (key, span) = (entry.key.clone(), Some(entry.span.clone()));
        let fault = Fault {
            key,
            span,
            message: message.to_owned(),
            help: Some(help),
        };
        self.file.warnings.borrow_mut().push(fault);
    }

    fn mismatch(&self, entry: &Entry<'_>, mismatch: Mismatch) {
        self.push(self.mismatched(entry, mismatch));
    }

    fn mismatched(&self, entry: &Entry<'_>, mismatch: Mismatch) -> Fault {
        let what = mismatch.found.unwrap_or_else(|| describe(entry.value));
        let message = format!("expected {}, but found {what}", mismatch.expected);
        Fault {
            key: entry.key.clone(),
            span: Some(entry.span.clone()),
            message,
            help: mismatch.help,
        }
    }

    fn refuse_missing(&self, name: &'static str, what: &str) {
        if !self.has(name) {
            self.push_unless_misspelt(
                &[name],
                self.fault(name, format!("expected {what}, but found nothing")),
            );
        }
    }
}

// The remedy for a list of one element where a list is not accepted.
fn brackets<T>(value: &DeValue<'_>, values: &impl ValueType<T>) -> Option<String> {
    let only = value
        .as_array()
        .filter(|list| list.len() == 1)?
        .first()?
        .get_ref();
    values
        .read(only)
        .ok()
        .map(|_| format!("write {}, without brackets", describe(only)))
}

fn indexed<'f>(key: &str, elements: &'f DeArray<'f>) -> impl Iterator<Item = Entry<'f>> {
    elements
        .iter()
        .enumerate()
        .map(move |(index, element)| Entry {
            key: format!("{key}[{index}]"),
            span: element.span(),
            value: element.get_ref(),
        })
}

// Also several tables, written `[[NAME]]`.
fn is_table(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Table(_) | DeValue::Array(_))
}

// No key has a capital or a hyphen; nearly every header does, as people write them.
fn is_like_a_key(name: &str) -> bool {
    !name.contains(|character: char| character == '-' || character.is_ascii_uppercase())
}

/// The key as written in the file, quoted if TOML requires it.
fn join(table: &str, name: &str) -> String {
    let name = if is_bare_key(name) {
        name.to_owned()
    } else {
        format!("{name:?}")
    };
    if table.is_empty() {
        name
    } else {
        format!("{table}.{name}")
    }
}
