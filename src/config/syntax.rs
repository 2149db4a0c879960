//! TOML syntax errors.
//!
//! A string without its closing quote may be a secret, so messages print no text except a duplicate
//! key.

use std::ops::Range;

use toml::de::Error;

use super::report::Fault;

/// Tables that may occur several times.
const LISTS: [&str; 2] = ["routes", "listeners"];

/// The faults of `text`, sorted by location. A duplicate table is one fault: its duplicate keys
/// follow from it.
pub(super) fn faults(errors: &[Error], text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut repeated_table: Option<Range<usize>> = None;
    let mut repeated_lists = Vec::new();
    for error in errors {
        let (message, span) = (error.message().replace('\n', " "), error.span());
        let at = |message: String| Fault {
            span: span.clone(),
            ..Fault::of_file(message)
        };
        let repeated = span.clone().filter(|_| message == "duplicate key");
        let Some((span, key)) = repeated.and_then(|span| Some((span.clone(), text.get(span)?)))
        else {
            let help = help_for(&message);
            faults.push(Fault {
                help: help.map(str::to_owned),
                ..at(format!("not TOML: {message}"))
            });
            continue;
        };
        if repeated_table
            .as_ref()
            .is_some_and(|table| table.contains(&span.start))
        {
            continue;
        }
        let is_table = line_around(text, span.start).starts_with('[');
        if is_table {
            let next = text[span.end..]
                .find("\n[")
                .map_or(text.len(), |length| span.end + length);
            repeated_table = Some(span.end..next);
        }
        match LISTS.iter().find(|list| is_table && **list == key) {
            Some(list) if repeated_lists.contains(list) => {}
            Some(list) => repeated_lists.push(list),
            None => faults
                .push(at(format!("not TOML: duplicate key {key:?}")).with_help("write it once")),
        }
    }
    faults.extend(
        repeated_lists
            .iter()
            .flat_map(|list| single_brackets(list, text)),
    );
    faults.sort_by_key(|fault| fault.span.as_ref().map(|span| span.start));
    faults
}

// The parser says what it expected of a number or a word. Nearly always, a text without quotes was
// meant.
fn help_for(message: &str) -> Option<&'static str> {
    const UNQUOTED: [&str; 5] = [
        "string values must be quoted",
        "invalid float",
        "invalid integer",
        "invalid boolean",
        "invalid datetime",
    ];
    if UNQUOTED.iter().any(|start| message.starts_with(start)) {
        return Some("write a text in quotes: key = \"text\"");
    }
    message
        .starts_with("key with no value")
        .then_some("write key = value")
}

// Reports every one, also the first, which is valid TOML.
fn single_brackets(list: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let written = line.split('#').next().unwrap_or_default().trim();
        let name = written
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .map(str::trim);
        if name == Some(list) {
            let fault = Fault::of_file(format!("expected [[{list}]], but found [{list}]"));
            let help = format!("there may be several, so each begins with [[{list}]]");
            faults.push(
                Fault {
                    span: Some(start..start + line.trim_end().len()),
                    ..fault
                }
                .with_help(help),
            );
        }
        start += line.len();
    }
    faults
}

// The line at `offset`, trimmed.
fn line_around(text: &str, offset: usize) -> &str {
    let start = text
        .get(..offset)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |end| end + 1);
    text.get(start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
}
