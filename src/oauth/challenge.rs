//! The `WWW-Authenticate` header of a refusal (RFC 6750 §3, RFC 9470 §3, RFC 9728 §5.1).
//!
//! 1. Each attribute occurs at most once, in the order realm, error, error_description, acr_values,
//!    max_age, scope, resource_metadata.
//! 2. A request without credentials gets no error code (RFC 6750 §3.1).
//! 3. No text can break out of its quotes: forbidden characters are replaced. So a client's input
//!    cannot become another attribute or header.

use http::HeaderValue;

/// A `Bearer` challenge; `None` omits an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// What went wrong.
    pub error: Option<ErrorCode>,
    /// The realm (RFC 9110 §11.5).
    pub realm: Option<&'a str>,
    /// An explanation for the client's developer (`error_description`).
    pub description: Option<&'a str>,
    /// The accepted values of `acr`, separated by spaces (RFC 9470 §3).
    pub acr_values: Option<&'a str>,
    /// How many seconds ago the user may have signed in at most (RFC 9470 §3).
    pub max_age: Option<&'a str>,
    /// The scopes that the request needs, separated by spaces.
    pub scope: Option<&'a str>,
    /// The URL of the protected resource's metadata (RFC 9728 §5.1).
    pub resource_metadata: Option<&'a str>,
}

/// The error codes of a resource server (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is malformed: status 400.
    InvalidRequest,
    /// The access token is expired, revoked, malformed or invalid: status 401.
    InvalidToken,
    /// The access token lacks a scope: status 403.
    InsufficientScope,
    /// The user of the access token must sign in again (RFC 9470 §3): status 401.
    InsufficientUserAuthentication,
}

impl ErrorCode {
    /// The code as it is sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
        }
    }
}

impl Challenge<'_> {
    /// The value of a `WWW-Authenticate` header (RFC 6750 §3).
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        let attributes = [
            ("realm", self.realm),
            ("error", self.error.map(ErrorCode::as_str)),
            ("error_description", self.description),
            ("acr_values", self.acr_values),
            ("max_age", self.max_age),
            ("scope", self.scope),
            ("resource_metadata", self.resource_metadata),
        ];
        let mut text = String::from("Bearer");
        let mut separator = " ";
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            text.extend([separator, name, "=\""]);
            text.extend(value.chars().map(quotable));
            text.push('"');
            separator = ", ";
        }
        HeaderValue::try_from(text)
            .expect("names, quotes and quotable characters are all printable ASCII")
    }
}

// RFC 6750 §3 allows %x20-21 / %x23-5B / %x5D-7E in error_description; the other attributes need no
// more. Escapes are deliberately absent: few clients decode them.
fn quotable(character: char) -> char {
    match character {
        '"' => '\'',
        '\x20'..='\x5B' | '\x5D'..='\x7E' => character,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_and_scope_are_written_exactly() {
        let plain = Challenge::default();
        assert_eq!(plain.to_header_value(), "Bearer");
        let invalid = Challenge {
            error: Some(ErrorCode::InvalidToken),
            ..plain
        };
        assert_eq!(invalid.to_header_value(), "Bearer error=\"invalid_token\"");
        let malformed = Challenge {
            error: Some(ErrorCode::InvalidRequest),
            ..plain
        };
        assert_eq!(
            malformed.to_header_value(),
            "Bearer error=\"invalid_request\""
        );
        let insufficient = Challenge {
            error: Some(ErrorCode::InsufficientScope),
            scope: Some("a b"),
            ..plain
        };
        assert_eq!(
            insufficient.to_header_value(),
            "Bearer error=\"insufficient_scope\", scope=\"a b\""
        );
    }

    #[test]
    fn attributes_occur_once_and_in_order() {
        let full = Challenge {
            error: Some(ErrorCode::InsufficientScope),
            realm: Some("orders"),
            description: Some("too little"),
            acr_values: Some("phr phrh"),
            max_age: Some("300"),
            scope: Some("a b"),
            resource_metadata: Some("https://api.example.com/.well-known/oauth-protected-resource"),
        };
        assert_eq!(
            full.to_header_value(),
            "Bearer realm=\"orders\", error=\"insufficient_scope\", error_description=\"too little\", acr_values=\"phr phrh\", \
             max_age=\"300\", scope=\"a b\", \
             resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\""
        );
    }

    #[test]
    fn hostile_text_stays_within_its_quotes() {
        let hostile = Challenge {
            description: Some("x\", error=\"\r\nSet-Cookie: a\\\"é"),
            ..Challenge::default()
        };
        assert_eq!(
            hostile.to_header_value(),
            "Bearer error_description=\"x', error='??Set-Cookie: a?'?\""
        ); // R5
    }

    proptest! {
        #[test]
        fn any_description_yields_a_header_value_with_two_quotes(text in any::<String>()) {
            let value = Challenge { description: Some(&text), ..Challenge::default() }.to_header_value();
            prop_assert_eq!(value.as_bytes().iter().filter(|&&byte| byte == b'"').count(), 2);
            prop_assert!(value.as_bytes().iter().all(|byte| (0x20..0x7F).contains(byte) && *byte != b'\\'));
        }
    }
}
