//! What `request_headers` and `response_headers` have in common: names and values of header rules.

use http::{HeaderName, HeaderValue};

use super::header_name;
use crate::config::{Fault, Spanned, canonical_spelling};

/// Longer values are refused by many servers, whatever the other headers.
const MAX_VALUE: usize = 8192;

/// What happens to one header: it gets this value, or it is removed.
pub(super) type Rule = (HeaderName, Option<HeaderValue>);

/// The rules of one table; those that are faulty are left out.
pub(super) struct Rules<'f> {
    rules: Vec<Rule>,
    /// Why a header must be left alone; none if it may be changed.
    refusal: fn(&str) -> Option<&'static str>,
    faults: &'f mut Vec<Fault>,
}

impl<'f> Rules<'f> {
    pub(super) fn new(
        refusal: fn(&str) -> Option<&'static str>,
        faults: &'f mut Vec<Fault>,
    ) -> Self {
        Self {
            rules: Vec::new(),
            refusal,
            faults,
        }
    }

    /// Adds a rule that sets a header; `what` describes the value, which no message shows.
    pub(super) fn set<T>(&mut self, name: &Spanned<String>, value: &Spanned<T>, text: &str) {
        let header = self.changeable_header(name);
        let value = header_value(text).map_err(|message| self.faults.push(value.fault(message)));
        if let (Some(header), Ok(value)) = (header, value) {
            self.add(name, (header, Some(value)));
        }
    }

    /// Adds a rule that removes a header.
    pub(super) fn remove(&mut self, name: &Spanned<String>) {
        if let Some(header) = self.changeable_header(name) {
            self.add(name, (header, None));
        }
    }

    pub(super) fn into_rules(self) -> Vec<Rule> {
        self.rules
    }

    /// Refuses a rule for another reason than its name.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn add(&mut self, written: &Spanned<String>, rule: Rule) {
        let spelling = canonical_spelling(rule.0.as_str());
        let is_repeated = |(name, _): &Rule| canonical_spelling(name.as_str()) == spelling;
        if self.rules.iter().any(is_repeated) {
            let message = format!(
                "expected every header once, but found {:?} again",
                written.value
            );
            self.faults.push(written.fault(message));
        } else {
            self.rules.push(rule);
        }
    }

    /// Parses the name of a header that rules may change.
    fn changeable_header(&mut self, written: &Spanned<String>) -> Option<HeaderName> {
        let name = header_name(written)
            .map_err(|fault| self.faults.push(*fault))
            .ok()?;
        let Some(reason) = (self.refusal)(name.as_str()) else {
            return Some(name);
        };
        let message = format!(
            "expected a header that the gateway leaves alone, but found {:?}",
            written.value
        );
        self.faults.push(written.fault(message).with_help(reason));
        None
    }
}

/// Parses a value, which may be a secret: no message contains it.
fn header_value(text: &str) -> Result<HeaderValue, String> {
    if text.len() > MAX_VALUE {
        return Err(format!(
            "expected at most {MAX_VALUE} bytes, but found {}",
            text.len()
        ));
    }
    let is_printable = text
        .bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    // RFC 9113 §8.2.1 makes a request with white space at an end of a value malformed.
    let is_trimmed = text.trim_matches([' ', '\t']) == text;
    match HeaderValue::from_str(text) {
        Ok(value) if is_printable && is_trimmed => Ok(value),
        Ok(_) if is_printable => {
            Err("expected a value without white space at its ends, but found some".to_owned())
        }
        Ok(_) | Err(_) => {
            Err("expected printable ASCII on one line, but found other characters".to_owned())
        }
    }
}
