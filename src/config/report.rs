//! The faults of a file, each with its location, in the order of the file.
//!
//! A fault is one line: `gateway.toml:41: routes[3].upstream: expected a declared upstream, but
//! found "acme" (…)`. The index of a list counts from 0. If there are very many faults, only the
//! first are printed, with the number of others.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::presets::AppliedPreset;
use crate::files::{self, MAX_NAMED};
use crate::values::Keyword;

/// Limit of the faults that are printed; after fixing these, one runs it again.
const MAX_PRINTED: usize = 50;
/// Limit of the characters of a line.
const MAX_LINE: usize = 1000;

/// A value with its location in the file, so that later checks can report it.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The value in the file, or the default.
    pub value: T,
    key: String,
    span: Option<Range<usize>>,
}

impl<T> Spanned<T> {
    /// A default has no `span`.
    pub(super) fn new(value: T, key: String, span: Option<Range<usize>>) -> Self {
        Self { value, key, span }
    }

    /// The key as a reader of the file would name it: `routes[3].upstream`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Another value at the same location.
    #[must_use]
    pub fn with_value<U>(&self, value: U) -> Spanned<U> {
        Spanned {
            value,
            key: self.key.clone(),
            span: self.span.clone(),
        }
    }

    /// Whether it is written in the file.
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

impl Spanned<PathBuf> {
    /// The fault of a file that cannot be read, unless it is the `known` one: compiling stops at
    /// the first file of a section, and one run must report all.
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

// Two files with the same values are equal, wherever the values are written.
impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, such as `routes[3].upstream`; empty if the fault belongs to no key.
    pub key: String,
    /// The bytes of the text with the fault.
    pub span: Option<Range<usize>>,
    /// "expected X, but found Y".
    pub message: String,
    /// The remedy, or the correct value.
    pub help: Option<String>,
}

impl Fault {
    /// The same fault with a remedy, printed in parentheses after the message.
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

/// The name of the file that was read, the ends of its lines, and the warnings.
///
/// The text is not stored: it may contain secrets.
#[derive(Clone, Debug)]
pub struct Source {
    file_name: String,
    /// The offset of each line feed.
    line_ends: Vec<usize>,
    warnings: Vec<Fault>,
    presets: Vec<AppliedPreset>,
}

impl Source {
    pub(super) fn new(file_name: &str, text: &str) -> Self {
        let line_ends = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        Self {
            file_name: file_name.to_owned(),
            line_ends,
            warnings: Vec::new(),
            presets: Vec::new(),
        }
    }

    pub(super) fn with_presets(self, presets: Vec<AppliedPreset>) -> Self {
        Self { presets, ..self }
    }

    pub(super) fn with_warnings(self, warnings: Vec<Fault>) -> Self {
        Self { warnings, ..self }
    }

    /// Values that are accepted, but probably a mistake.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The presets that filled in keys, in the order of the file.
    #[must_use]
    pub fn presets(&self) -> &[AppliedPreset] {
        &self.presets
    }

    /// The file as the operator named it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The location of a value: `gateway.toml:41`; the file alone for a default.
    #[must_use]
    pub fn location<T>(&self, spanned: &Spanned<T>) -> String {
        let line = self.line_of(spanned).map(|line| format!(":{line}"));
        format!("{}{}", self.file_name, line.unwrap_or_default())
    }

    /// The line of a value, counted from 1; a default has none.
    #[must_use]
    pub fn line_of<T>(&self, spanned: &Spanned<T>) -> Option<usize> {
        spanned.span.as_ref().map(|span| self.line(span.start))
    }

    /// A report of these faults of this file, sorted by location.
    #[must_use]
    pub fn report(&self, mut faults: Vec<Fault>) -> Report {
        for fault in &mut faults {
            self.name_preset(fault);
        }
        faults.sort_by_key(|fault| fault.span.as_ref().map(|span| span.start));
        let lines = faults
            .iter()
            .map(|fault| fault.span.as_ref().map(|span| self.line(span.start)))
            .collect();
        Report {
            file_name: self.file_name.clone(),
            lines,
            faults,
        }
    }

    // The value stands in no line of the file, so the fault says where it comes from.
    fn name_preset(&self, fault: &mut Fault) {
        let mut presets = self.presets.iter();
        let preset = presets.find(|preset| {
            let span = fault.span.as_ref();
            span.is_some_and(|span| preset.has_filled_in(&fault.key, span))
        });
        if let Some(preset) = preset {
            let origin = format!("filled in by provider {:?}", preset.provider.keyword());
            fault.help = Some(match fault.help.take() {
                Some(help) => format!("{origin}; {help}"),
                None => origin,
            });
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|&end| end < offset) + 1
    }
}

/// The faults of a file, one line for each.
#[derive(Clone, Debug)]
pub struct Report {
    file_name: String,
    lines: Vec<Option<usize>>,
    faults: Vec<Fault>,
}

impl Report {
    /// The faults, sorted by location.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// A line for each fault.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.faults.iter().zip(&self.lines).map(|(fault, line)| {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
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
