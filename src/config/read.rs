//! How tables are read: keys are taken one by one, and what nobody took is refused.
//!
//! Nothing here stops at the first fault. A key that cannot be read leaves its fault and its default behind, and reading
//! goes on, so that one run tells everything. The functions that take a closure end by refusing the keys that the
//! closure did not ask for: no section can forget to.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeArray, DeTable, DeValue};

use super::Purpose;
use super::hints;
use super::names::{is_bare_key, meant, nearest, quoted_list};
use super::report::{Fault, Placed};
use super::secret::{Secret, Unusable, secret};
use super::values::{Mismatch, describe, expected, kind};

/// The file that is being read: what its values lean on, and the faults found so far.
pub(super) struct File<'e> {
    /// Where relative paths start.
    pub(super) folder: PathBuf,
    /// What it is read for.
    pub(super) purpose: Purpose,
    /// Looks up a variable of the environment.
    pub(super) variable: &'e dyn Fn(&str) -> Option<String>,
    /// What is wrong with it so far.
    pub(super) faults: RefCell<Vec<Fault>>,
    /// What can be read, and is not likely to be what was meant.
    pub(super) warnings: RefCell<Vec<Fault>>,
}

/// One table of the file.
pub(super) struct Table<'f> {
    file: &'f File<'f>,
    key: String,
    span: Option<Range<usize>>,
    entries: &'f DeTable<'f>,
    taken: Vec<&'static str>,
    /// Faults that are none where one of these keys is misspelt, which is a fault of its own.
    absent: RefCell<Vec<(Vec<&'static str>, Fault)>>,
}

/// One value and its place.
struct Found<'f> {
    key: String,
    span: Range<usize>,
    value: &'f DeValue<'f>,
}

impl File<'_> {
    /// Reads the whole document.
    pub(super) fn read<T>(
        &self,
        document: &DeTable<'_>,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> T {
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
            absent: RefCell::default(),
        }
    }

    /// Where relative paths start.
    pub(super) fn folder(&self) -> &'f Path {
        &self.file.folder
    }

    pub(super) fn push(&self, fault: Fault) {
        self.file.faults.borrow_mut().push(fault);
    }

    /// Pushes a fault that follows from `keys` being absent, unless one of them turns out to be misspelt: then that is the
    /// fault, and the only one.
    pub(super) fn push_absent(&self, keys: &[&'static str], fault: Fault) {
        self.absent.borrow_mut().push((keys.to_vec(), fault));
    }

    /// A value at the place of this table.
    pub(super) fn placed<T>(&self, value: T) -> Placed<T> {
        Placed::at(value, self.key.clone(), self.span.clone())
    }

    /// Whether the key is written, readable or not: a value that could not be read is not a missing one.
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

    /// A fault of the key `name`, placed at its value, or at the table where it is missing.
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

    /// Refuses two keys beside each other.
    pub(super) fn refuse_both(&self, first: &str, second: &str) {
        if self.has(first) && self.has(second) {
            let message = format!("expected only one of {first:?} and {second:?}, but found both");
            self.push(self.fault(second, message));
        }
    }

    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl Reads<T>,
    ) -> Option<Placed<T>> {
        let found = self.take(name)?;
        self.value(found, &read)
    }

    /// A secret: nothing of it is ever told, so nothing is proposed for one that cannot be read.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<Placed<Secret>> {
        let found = self.take(name)?;
        match secret(self.file, found.value) {
            Ok(secret) => Some(Placed::at(secret, found.key, Some(found.span))),
            Err(Unusable::Missing(origin, mismatch)) if self.file.purpose == Purpose::Look => {
                let help = "it is not needed to look at the file, and is to run the gateway";
                let fault = self.mismatched(&found, mismatch).with_help(help);
                self.file.warnings.borrow_mut().push(fault);
                Some(Placed::at(
                    Secret::missing(origin),
                    found.key,
                    Some(found.span),
                ))
            }
            Err(Unusable::Missing(_, mismatch)) if self.file.purpose == Purpose::Try => {
                let help = mismatch.help.as_deref().unwrap_or("it has to be there");
                let help = format!("{help}; --offline does without it");
                self.mismatch(&found, mismatch.with_help(help));
                None
            }
            Err(Unusable::Missing(_, mismatch) | Unusable::Wrong(mismatch)) => {
                self.mismatch(&found, mismatch);
                None
            }
        }
    }

    pub(super) fn or<T>(&mut self, name: &'static str, default: T, read: impl Reads<T>) -> T {
        self.optional(name, read)
            .map_or(default, |placed| placed.value)
    }

    pub(super) fn placed_or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl Reads<T>,
    ) -> Placed<T> {
        self.optional(name, read)
            .unwrap_or_else(|| Placed::at(default, join(&self.key, name), None))
    }

    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl Reads<T>,
    ) -> Option<Placed<T>> {
        self.refuse_missing(name, what);
        self.optional(name, read)
    }

    /// A list that must be written as one, with at least `least` elements.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        least: usize,
        read: impl Reads<T>,
    ) -> Option<Vec<Placed<T>>> {
        let found = self.take(name)?;
        if !found.value.is_array() {
            let bracketed = read(found.value)
                .ok()
                .map(|_| format!("did you mean [{}]?", describe(found.value)));
            self.mismatch(&found, expected("a list").or_help(bracketed));
            return None;
        }
        self.elements(found, least, &read)
    }

    /// [`Table::one_or_many`] texts, or `default`.
    pub(super) fn list_or(
        &mut self,
        name: &'static str,
        least: usize,
        default: &[&str],
        read: impl Reads<String>,
    ) -> Vec<Placed<String>> {
        self.one_or_many(name, least, read).unwrap_or_else(|| {
            let key = join(&self.key, name);
            default
                .iter()
                .map(|text| Placed::at((*text).to_owned(), key.clone(), None))
                .collect()
        })
    }

    /// A list of at least `least` elements, of which a single one may be written bare.
    pub(super) fn one_or_many<T>(
        &mut self,
        name: &'static str,
        least: usize,
        read: impl Reads<T>,
    ) -> Option<Vec<Placed<T>>> {
        let found = self.take(name)?;
        if found.value.is_array() {
            return self.elements(found, least, &read);
        }
        // `"a, b"` may be a value, and is seldom meant to be one.
        if let (Some(text), Ok(_), Some(list)) = (
            found.value.as_str(),
            read(found.value),
            listed(found.value, &read),
        ) && text.contains(',')
        {
            self.warn(
                &found,
                &format!("{} is one value", describe(found.value)),
                format!("a list is written {list}"),
            );
        }
        self.value(found, &|value: &DeValue<'_>| {
            read(value).map_err(|mismatch| {
                mismatch.or_help(listed(value, &read).map(|list| format!("did you mean {list}?")))
            })
        })
        .map(|only| vec![only])
    }

    pub(super) fn required_one_or_many<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl Reads<T>,
    ) -> Option<Vec<Placed<T>>> {
        self.refuse_missing(name, what);
        self.one_or_many(name, 1, read)
    }

    /// A table every key of which has a default; absent, it is read as if it were empty.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Table<'_>) -> T,
    ) -> T {
        self.optional_section(name, &read).unwrap_or_else(|| {
            let (key, entries) = (join(&self.key, name), &DeTable::new());
            Table::new(self.file, key, None, entries).read(read)
        })
    }

    pub(super) fn optional_section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> Option<T> {
        let found = self.take(name)?;
        self.table(found, read)
    }

    /// Every table of `[[name]]`.
    pub(super) fn each<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Table<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(found) = self.take(name) else {
            return Vec::new();
        };
        let DeValue::Array(elements) = found.value else {
            self.mismatch(
                &found,
                expected(format!("a list of tables, written [[{}]]", found.key)),
            );
            return Vec::new();
        };
        indexed(&found.key, elements)
            .filter_map(|found| self.table(found, &read).flatten())
            .collect()
    }

    /// Every table of `[name.NAME]`, in the order of the file.
    pub(super) fn named<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(Placed<String>, &mut Table<'_>) -> Option<T>,
    ) -> Vec<T> {
        let (entries, nameless): (Vec<_>, Vec<_>) = self
            .pairs(name, || format!("tables, written [{name}.NAME]"))
            .into_iter()
            .partition(|(_, found)| found.value.is_table());
        // Whoever leaves out the name has all the keys at the wrong place, for one reason.
        if let Some((key, found)) = nameless.first() {
            let message = format!(
                "expected a table, written [{name}.NAME], but found {}",
                kind(found.value)
            );
            self.push(key.fault(message).with_help(format!(
                "write [{name}.NAME] above its keys, with a name of your own"
            )));
        }
        for (name, _) in entries.iter().filter(|(name, _)| !is_bare_key(&name.value)) {
            // Names become labels of metrics and fields of logs.
            let message = format!(
                "expected a name of letters, digits, \"-\" and \"_\", but found {:?}",
                name.value
            );
            self.push(name.fault(message));
        }
        let read_one = |(name, found)| self.table(found, |table| read(name, table)).flatten();
        entries.into_iter().filter_map(read_one).collect()
    }

    /// Every `NAME = value` of the table `name`, in the order of the file.
    pub(super) fn map<T>(
        &mut self,
        name: &'static str,
        read: impl Reads<T>,
    ) -> Vec<(Placed<String>, Placed<T>)> {
        let entries = self.pairs(name, || "a table".to_owned());
        let read_one = |(name, found)| Some((name, self.value(found, &read)?));
        entries.into_iter().filter_map(read_one).collect()
    }

    /// The names declared as `[name.NAME]`, readable or not: a broken declaration is not an undeclared name. `None` where
    /// what stands there, or under a misspelling of it, does not tell the names.
    pub(super) fn names(&self, name: &str) -> Option<BTreeSet<String>> {
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

    fn read<T>(mut self, read: impl FnOnce(&mut Table<'_>) -> T) -> T {
        let value = read(&mut self);
        #[cfg(test)]
        super::tests::schema::asked(&self.key, &self.taken);
        let mut absent = self.absent.take();
        for (name, _) in self.entries {
            let (span, name) = (name.span(), name.get_ref().as_ref());
            if self.taken.contains(&name) {
                continue;
            }
            let meant = meant(name, &self.taken);
            absent.retain(|(keys, _)| !keys.iter().any(|key| Some(*key) == meant));
            let help = match meant {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("known: {}", quoted_list(&self.taken, "and")),
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
        value
    }

    fn take(&mut self, name: &'static str) -> Option<Found<'f>> {
        self.taken.push(name);
        let value = self.entries.get(name)?;
        Some(Found {
            key: join(&self.key, name),
            span: value.span(),
            value: value.get_ref(),
        })
    }

    fn pairs(
        &mut self,
        name: &'static str,
        what: impl FnOnce() -> String,
    ) -> Vec<(Placed<String>, Found<'f>)> {
        let Some(found) = self.take(name) else {
            return Vec::new();
        };
        let DeValue::Table(entries) = found.value else {
            self.mismatch(&found, expected(what()));
            return Vec::new();
        };
        let mut pairs: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let key = join(&found.key, name.get_ref());
                let found = Found {
                    key: key.clone(),
                    span: value.span(),
                    value: value.get_ref(),
                };
                (
                    name.span().start,
                    Placed::at(name.get_ref().to_string(), key, Some(name.span())),
                    found,
                )
            })
            .collect();
        pairs.sort_by_key(|&(place, ..)| place);
        pairs
            .into_iter()
            .map(|(_, name, found)| (name, found))
            .collect()
    }

    fn table<T>(&self, found: Found<'_>, read: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let DeValue::Table(entries) = found.value else {
            // Of what has a place of its own, the form is known.
            let form = if found.key.contains('[') {
                String::new()
            } else {
                format!(", written [{}]", found.key)
            };
            self.mismatch(&found, expected(format!("a table{form}")));
            return None;
        };
        Some(Table::new(self.file, found.key, Some(found.span), entries).read(read))
    }

    /// The readable elements; those that are not have left their faults.
    fn elements<T>(
        &self,
        found: Found<'_>,
        least: usize,
        read: &impl Reads<T>,
    ) -> Option<Vec<Placed<T>>> {
        let elements = found.value.as_array()?;
        if elements.len() < least {
            self.mismatch(
                &found,
                expected("at least one element").but_found("an empty list"),
            );
            return None;
        }
        Some(
            indexed(&found.key, elements)
                .filter_map(|element| self.value(element, read))
                .collect(),
        )
    }

    fn value<T>(&self, found: Found<'_>, read: &impl Reads<T>) -> Option<Placed<T>> {
        match read(found.value) {
            Ok(value) => {
                if let Some(placeholder) = found.value.as_str().and_then(hints::placeholder) {
                    let message = format!("{placeholder:?} is taken as it stands");
                    self.warn(&found, &message, hints::unfilled(placeholder));
                }
                Some(Placed::at(value, found.key, Some(found.span)))
            }
            Err(mismatch) => {
                let mismatch = mismatch.or_help(brackets(found.value, read));
                self.mismatch(&found, mismatch);
                None
            }
        }
    }

    fn warn(&self, found: &Found<'_>, message: &str, help: String) {
        let (key, span) = (found.key.clone(), Some(found.span.clone()));
        let fault = Fault {
            key,
            span,
            message: message.to_owned(),
            help: Some(help),
        };
        self.file.warnings.borrow_mut().push(fault);
    }

    fn mismatch(&self, found: &Found<'_>, mismatch: Mismatch) {
        self.push(self.mismatched(found, mismatch));
    }

    fn mismatched(&self, found: &Found<'_>, mismatch: Mismatch) -> Fault {
        let what = mismatch.found.unwrap_or_else(|| describe(found.value));
        let message = format!("expected {}, but found {what}", mismatch.expected);
        Fault {
            key: found.key.clone(),
            span: Some(found.span.clone()),
            message,
            help: mismatch.help,
        }
    }

    fn refuse_missing(&self, name: &'static str, what: &str) {
        if !self.has(name) {
            self.push_absent(
                &[name],
                self.fault(name, format!("expected {what}, but found nothing")),
            );
        }
    }
}

// Of a list of one where there may be no list.
fn brackets<T>(value: &DeValue<'_>, read: &impl Reads<T>) -> Option<String> {
    let only = value
        .as_array()
        .filter(|list| list.len() == 1)?
        .first()?
        .get_ref();
    read(only)
        .ok()
        .map(|_| format!("write {}, without brackets", describe(only)))
}

// The list that a text is likely to be: each part of it could be an element.
fn listed<T>(value: &DeValue<'_>, read: &impl Reads<T>) -> Option<String> {
    let parts = hints::parts(value.as_str()?)?;
    let is_good = |part: &&str| read(&DeValue::String((*part).into())).is_ok();
    parts.iter().all(is_good).then(|| format!("{parts:?}"))
}

/// Reads one value.
pub(super) trait Reads<T>: Fn(&DeValue<'_>) -> Result<T, Mismatch> {}

impl<T, F: Fn(&DeValue<'_>) -> Result<T, Mismatch>> Reads<T> for F {}

fn indexed<'f>(key: &str, elements: &'f DeArray<'f>) -> impl Iterator<Item = Found<'f>> {
    elements
        .iter()
        .enumerate()
        .map(move |(index, element)| Found {
            key: format!("{key}[{index}]"),
            span: element.span(),
            value: element.get_ref(),
        })
}

/// The key as one would write it in the file, quoted where TOML asks for it.
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
