//! What is wrong with a file: every fault with its place, in the order in which an editor would reach them.
//!
//! A fault is one line: `gateway.toml:41: routes[3].upstream: expected a declared upstream, but found "acme" (…)`.
//! The index of a list counts from 0. Of very many faults the first are printed, and how many more there are.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::files::{self, MAX_NAMED};

/// Faults that are printed at the most. Whoever mends these runs it again.
const MAX_PRINTED: usize = 50;
/// Characters of a line at the most.
const MAX_LINE: usize = 1000;

/// A value of the file that remembers where it stands, so that whoever finds it wrong later can still say where.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// What the file says, or the default.
    pub value: T,
    key: String,
    span: Option<Range<usize>>,
}

impl<T> Placed<T> {
    /// `span` is where it stands; a default stands nowhere.
    pub(super) fn at(value: T, key: String, span: Option<Range<usize>>) -> Self {
        Self { value, key, span }
    }

    /// The key as a reader of the file would name it: `routes[3].upstream`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Another value at the same place.
    #[must_use]
    pub fn with_value<U>(&self, value: U) -> Placed<U> {
        Placed {
            value,
            key: self.key.clone(),
            span: self.span.clone(),
        }
    }

    /// Whether it stands in the file.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.span.is_some()
    }

    /// A fault of this value; `message` reads "expected X, but found Y".
    #[must_use]
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault {
            key: self.key.clone(),
            span: self.span.clone(),
            message: message.into(),
            help: None,
        }
    }
}

impl Placed<PathBuf> {
    /// The fault of a file that cannot be read, unless that is `known`: compiling stops at the first file of a section, and
    /// one run tells them all.
    #[must_use]
    pub fn unreadable_beside(&self, known: &Fault) -> Option<Fault> {
        let error = files::read(&self.value, MAX_NAMED)
            .err()
            .filter(|_| self.key != known.key)?;
        Some(self.fault(format!(
            "expected a file at {}, but found {error}",
            self.value.display()
        )))
    }
}

// What a file says is the same wherever it says so.
impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// One thing wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, such as `routes[3].upstream`; empty where the fault belongs to none.
    pub key: String,
    /// Bytes of the text that are to blame.
    pub span: Option<Range<usize>>,
    /// "expected X, but found Y".
    pub message: String,
    /// The remedy, or what would have been right.
    pub help: Option<String>,
}

impl Fault {
    /// The same fault with a remedy, printed in parentheses behind the message.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    pub(super) fn of_file(message: impl Into<String>) -> Self {
        Self {
            key: String::new(),
            span: None,
            message: message.into(),
            help: None,
        }
    }
}

/// The name of the file that was read, where its lines begin, and what reading it warns of.
///
/// The text is not kept: it may hold secrets.
#[derive(Clone, Debug)]
pub struct Source {
    file_name: String,
    /// The place of each line feed.
    line_ends: Vec<usize>,
    warnings: Vec<Fault>,
}

impl Source {
    pub(super) fn new(file_name: &str, text: &str) -> Self {
        let line_ends = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        Self {
            file_name: file_name.to_owned(),
            line_ends,
            warnings: Vec::new(),
        }
    }

    pub(super) fn with_warnings(self, warnings: Vec<Fault>) -> Self {
        Self { warnings, ..self }
    }

    /// What can be read, and is not likely to be what was meant.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The file as the operator named it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Where a value stands: `gateway.toml:41`; the file alone for a default.
    #[must_use]
    pub fn place<T>(&self, placed: &Placed<T>) -> String {
        let line = self.line_of(placed).map(|line| format!(":{line}"));
        format!("{}{}", self.file_name, line.unwrap_or_default())
    }

    /// The line that a value stands in, counted from 1; a default stands in none.
    #[must_use]
    pub fn line_of<T>(&self, placed: &Placed<T>) -> Option<usize> {
        placed.span.as_ref().map(|span| self.line(span.start))
    }

    /// All these faults of this file, sorted by their place.
    #[must_use]
    pub fn report(&self, mut faults: Vec<Fault>) -> Report {
        faults.sort_by_key(|fault| fault.span.as_ref().map(|span| span.start));
        let places = faults
            .iter()
            .map(|fault| fault.span.as_ref().map(|span| self.line(span.start)))
            .collect();
        Report {
            file_name: self.file_name.clone(),
            places,
            faults,
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|&end| end < offset) + 1
    }
}

/// Everything that is wrong with a file, one line for each fault.
#[derive(Clone, Debug)]
pub struct Report {
    file_name: String,
    places: Vec<Option<usize>>,
    faults: Vec<Fault>,
}

impl Report {
    /// The faults in the order of their places.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// A line for each fault.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.faults.iter().zip(&self.places).map(|(fault, place)| {
            let line = place.map(|line| format!(":{line}")).unwrap_or_default();
            let key = if fault.key.is_empty() {
                String::new()
            } else {
                format!(": {}", fault.key)
            };
            let help = fault
                .help
                .as_ref()
                .map(|help| format!(" ({help})"))
                .unwrap_or_default();
            bounded(format!(
                "{}{line}{key}: {}{help}",
                self.file_name, fault.message
            ))
        })
    }
}

fn bounded(line: String) -> String {
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().take(MAX_PRINTED).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(&line)?;
        }
        match self.faults.len().saturating_sub(MAX_PRINTED) {
            0 => Ok(()),
            1 => write!(f, "\n{}: 1 more error is not shown", self.file_name),
            more => write!(f, "\n{}: {more} more errors are not shown", self.file_name),
        }
    }
}

impl std::error::Error for Report {}
