//! The JWK set that an issuer publishes (RFC 7517 §5).
//!
//! Unusable keys are skipped. A set without a usable key is an error, so that an error page or a
//! mistake of the issuer never replaces working keys.

use serde::Deserialize;
use serde::de::Error as _;

use super::{Jwk, JwkError};
use crate::oauth::json::Strict;

/// The public keys of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// The usable keys, in the order of the document; never empty.
    pub keys: Vec<Jwk>,
    /// The other elements of `keys`.
    pub skipped: Vec<SkippedKey>,
}

/// An unusable key of a JWK set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// The index in `keys`.
    pub index: usize,
    /// Why it cannot be used.
    pub error: JwkError,
}

/// A document that is not a usable JWK set.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Not a JSON object with an array `keys`, for example an error page.
    #[error("not a JWK set")]
    NotAJwks(#[source] serde_json::Error),
    /// No key in it can be used.
    #[error("no usable key among {}", .skipped.len())]
    NoUsableKey {
        /// Every element of `keys`.
        skipped: Vec<SkippedKey>,
    },
}

impl Jwks {
    /// Parses a JWK set (RFC 7517 §5).
    ///
    /// # Errors
    /// [`JwksError`] if the document is not a JWK set, or none of its keys can be used.
    pub fn parse(document: &[u8]) -> Result<Self, JwksError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Strict>,
        }

        // A derived `Deserialize` also accepts an array, whose first element would become `keys`.
        if document.trim_ascii_start().first() != Some(&b'{') {
            return Err(JwksError::NotAJwks(serde_json::Error::custom(
                "expected an object",
            )));
        }
        let document: Document = serde_json::from_slice(document).map_err(JwksError::NotAJwks)?;
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, key) in document.keys.into_iter().enumerate() {
            match Jwk::parse(key) {
                Ok(key) => keys.push(key),
                Err(error) => skipped.push(SkippedKey { index, error }),
            }
        }
        if keys.is_empty() {
            Err(JwksError::NoUsableKey { skipped })
        } else {
            Ok(Self { keys, skipped })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    // R26
    #[test]
    fn bad_keys_are_skipped() {
        let bad = [
            r#"{"kty":"oct"}"#,
            r#"{"kty":"RSA","kty":"EC"}"#,
            r#"{"kty":"OKP","o":[{"a":1,"a":2}]}"#,
        ];
        let document = format!(
            r#"{{"keys":[{ED25519},7,{},{},{ED25519},{}]}}"#,
            bad[0], bad[1], bad[2]
        );
        let jwks = Jwks::parse(document.as_bytes()).expect("two usable keys");
        assert_eq!(jwks.keys.len(), 2);
        let skipped: Vec<_> = jwks
            .skipped
            .iter()
            .map(|skipped| (skipped.index, skipped.error))
            .collect();
        let expected = [
            (1, JwkError::NotAnObject),
            (2, JwkError::Symmetric),
            (3, JwkError::DuplicateMember),
            (5, JwkError::DuplicateMember),
        ];
        assert_eq!(skipped, expected);
    }

    // R26
    #[test]
    fn set_without_a_usable_key_is_an_error() {
        for (document, skipped) in [
            (r#"{"keys":[]}"#, 0),
            (r#"{"keys":[{"kty":"oct","k":"AA"}, {}]}"#, 2),
        ] {
            match Jwks::parse(document.as_bytes()) {
                Err(JwksError::NoUsableKey { skipped: found }) => {
                    assert_eq!(found.len(), skipped, "{document}")
                }
                other => panic!("{document}: {other:?}"),
            }
        }
    }

    // R26
    #[test]
    fn error_page_is_not_a_jwks() {
        for document in [
            "",
            "<html>502 Bad Gateway</html>",
            r#"{"error":"server_error"}"#,
            r#"{"keys":{}}"#,
            r#"{"keys":null}"#,
            ED25519,
            &format!("[{ED25519}]"),
            &format!("[[{ED25519}]]"),
            &format!(r#"{{"keys":[{ED25519}]"#),
            &format!(r#"{{"keys":[{ED25519}]}}}}"#),
            &format!(r#"{{"keys":[{ED25519}],"keys":[]}}"#),
        ] {
            assert!(
                matches!(
                    Jwks::parse(document.as_bytes()),
                    Err(JwksError::NotAJwks(_))
                ),
                "{document}"
            );
        }
    }
}
