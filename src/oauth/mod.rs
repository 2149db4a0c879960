//! The nouns of OAuth 2.0's RFCs. Pure: no IO, no clock, no async, no logging.

pub mod bearer;
pub mod challenge;
pub mod claims;
pub mod introspection;
pub mod issuer_name;
pub mod jose;
pub mod json;
pub mod scope;
mod time;

pub use time::UnixTime;

/// A text of somebody else's as a message shows it: the beginning of a long one.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text in quotes, or that there is none.
pub(crate) fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"))
}
