//! The result of parsing one response.

use std::fmt;

use http::{HeaderMap, Response, Version};
use hyper::ext::ReasonPhrase;

/// The parsed response, and the state of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Interim responses that came before the final one: status and fields.
    pub(crate) interim: Vec<(u16, Vec<Field>)>,
    pub(crate) head: Option<Head>,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
    /// Whether the client considers the response complete.
    pub(crate) is_whole: bool,
    /// Whether the client would reuse the connection.
    pub(crate) is_reusable: bool,
}

/// A response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: Option<Vec<u8>>,
    pub(crate) fields: Vec<Field>,
}

/// A field's name and value.
pub(crate) type Field = (String, Vec<u8>);

impl Head {
    pub(crate) fn of<B>(response: &Response<B>) -> Self {
        let reason = response.extensions().get::<ReasonPhrase>();
        Self {
            version: response.version(),
            status: response.status().as_u16(),
            reason: reason.map(|reason| reason.as_bytes().to_vec()),
            fields: fields(response.headers()),
        }
    }
}

/// The fields sorted by name: the order across names differs between clients.
pub(crate) fn fields(map: &HeaderMap) -> Vec<Field> {
    let mut fields: Vec<Field> = map
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

impl Outcome {
    /// Drops the content and trailers of a refused response: they depend on the cut.
    pub(crate) fn without_partial_body(self) -> Self {
        if self.is_whole {
            return self;
        }
        Self {
            content: Vec::new(),
            trailers: Vec::new(),
            ..self
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.is_whole { "whole" } else { "refused" };
        let reusable = if self.is_reusable { ", reusable" } else { "" };
        write!(f, "{whole}{reusable}")?;
        for (status, fields) in &self.interim {
            write!(f, ", {status} {}", format_fields(fields))?;
        }
        if let Some(head) = &self.head {
            let reason = head.reason.as_deref().unwrap_or_default().escape_ascii();
            write!(
                f,
                ", {:?} {} \"{reason}\" {}",
                head.version,
                head.status,
                format_fields(&head.fields)
            )?;
        }
        write!(f, ", content \"{}\"", self.content.escape_ascii())?;
        write!(f, ", trailers {}", format_fields(&self.trailers))
    }
}

fn format_fields(fields: &[Field]) -> String {
    let fields = fields.iter().take(4);
    let fields = fields.map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
    format!("[{}]", fields.collect::<Vec<_>>().join(", "))
}

/// How the gateway's client differs from hyper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours refuses what hyper accepts.
    Stricter,
    /// Ours accepts what hyper refuses.
    Laxer,
    /// Both accept it with different results.
    ReadOtherwise,
    /// Ours closes a connection that hyper would reuse.
    ClosesMore,
    /// Ours reuses a connection that hyper closes.
    ClosesLess,
}

impl Kind {
    pub(crate) fn of(ours: &Outcome, of_hyper: &Outcome) -> Option<Self> {
        let message = |outcome: &Outcome| Outcome {
            is_reusable: false,
            ..outcome.clone()
        };
        match (ours.is_whole, of_hyper.is_whole) {
            (false, false) => None,
            (false, true) => Some(Self::Stricter),
            (true, false) => Some(Self::Laxer),
            (true, true) if message(ours) != message(of_hyper) => Some(Self::ReadOtherwise),
            (true, true) => match (ours.is_reusable, of_hyper.is_reusable) {
                (false, true) => Some(Self::ClosesMore),
                (true, false) => Some(Self::ClosesLess),
                (true, true) | (false, false) => None,
            },
        }
    }
}
