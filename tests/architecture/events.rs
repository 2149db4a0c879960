//! Log events: each has a fixed message, and docs/observability.md lists it with its level and fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

use crate::source::parse_crate;

/// The heading of the section whose table lists the events.
const SECTION: &str = "## Log messages";

/// The levels at which an event is logged, and all fields that it may have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    levels: BTreeSet<String>,
    fields: BTreeSet<String>,
}

#[test]
fn every_log_message_is_in_the_table_of_the_documentation() {
    let (logged, documented) = (events_in_source(), documented_events());
    let mut faults = Vec::new();
    for (message, event) in &logged {
        match documented.get(message) {
            None => faults.push(format!("not in the table: {message:?}: {event:?}")),
            Some(row) if row != event => faults.push(format!(
                "{message:?}: the source has {event:?}, the table has {row:?}"
            )),
            Some(_) => {}
        }
    }
    let unknown = documented.keys().filter(|&row| !logged.contains_key(row));
    faults.extend(unknown.map(|message| format!("not in the source: {message:?}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(logged.len() > 40, "only {} events were found", logged.len());
}

fn events_in_source() -> BTreeMap<String, Event> {
    let mut events: BTreeMap<String, Event> = BTreeMap::new();
    for (module, source) in parse_crate() {
        for (level, arguments) in source.events {
            let (message, fields) = parse_event(arguments);
            let message = message.unwrap_or_else(|| panic!("{module:?}: event without a message"));
            assert!(
                !message.contains('{'),
                "{message:?}: a message is fixed; what varies is a field"
            );
            let event = events.entry(message).or_default();
            event.levels.insert(level);
            event.fields.extend(fields);
        }
    }
    events
}

/// The message of an event, which is its only argument that is a literal, and the names of its fields.
fn parse_event(arguments: TokenStream) -> (Option<String>, Vec<String>) {
    let (mut message, mut fields) = (None, Vec::new());
    let tokens: Vec<_> = arguments.into_iter().collect();
    for argument in tokens.split(is_comma).filter(|part| !part.is_empty()) {
        let first = argument
            .iter()
            .find(|token| !matches!(token, TokenTree::Punct(_)));
        match first {
            Some(TokenTree::Literal(literal)) => {
                let literal = syn::parse_str::<syn::LitStr>(&literal.to_string());
                message = Some(literal.expect("a string literal").value());
            }
            Some(TokenTree::Ident(name)) => fields.push(name.to_string()),
            Some(TokenTree::Group(_) | TokenTree::Punct(_)) | None => {
                panic!("expected a field or a message, but found {argument:?}")
            }
        }
    }
    (message, fields)
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

/// The rows of the table: message, levels, fields, meaning.
fn documented_events() -> BTreeMap<String, Event> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability.md");
    let text = fs::read_to_string(page).expect("the page about observability");
    let (_, section) = text.split_once(SECTION).expect("a section of log messages");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut events = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [message, levels, fields, meaning] = cells[..] else {
            panic!("expected four cells, but found {row:?}")
        };
        assert!(!meaning.is_empty(), "{row}: a message needs its meaning");
        let event = Event {
            levels: words(levels),
            fields: words(fields),
        };
        let before = events.insert(message.trim_matches('`').to_owned(), event);
        assert!(before.is_none(), "{row}: listed twice");
    }
    events
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split(", ")
        .map(|word| word.trim_matches('`').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}
