//! The set of keys that an issuer publishes (RFC 7517 §5).
//!
//! A key that cannot be used does not spoil the set. A set without a usable key is an error, so that an error page or a
//! slip of the issuer never takes the place of good keys.

use serde::Deserialize;
use serde::de::Error as _;

use super::{Jwk, JwkError};
use crate::oauth::json::Strict;

/// The public keys of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// The usable keys, in the order of the document; never empty.
    pub keys: Vec<Jwk>,
    /// What else stood in the document.
    pub skipped: Vec<SkippedKey>,
}

/// A member of a set of keys that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in `keys`, counted from 0.
    pub index: usize,
    /// Why.
    pub error: JwkError,
}

/// A document that is not a usable set of keys.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Not JSON with an array `keys`: an error page, say.
    #[error("not a JWK set")]
    NotAJwks(#[source] serde_json::Error),
    /// No key in it can be used.
    #[error("no usable key among {}", .skipped.len())]
    NoUsableKey {
        /// All that stood in it.
        skipped: Vec<SkippedKey>,
    },
}

impl Jwks {
    /// Reads a JWK set (RFC 7517 §5).
    ///
    /// # Errors
    /// [`JwksError`] when the document is no set of keys, or none of its keys can be used.
    pub fn parse(document: &[u8]) -> Result<Self, JwksError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Strict>,
        }

        // A derived reader takes an array for a struct: its first element would stand for `keys`.
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
    fn one_bad_key_does_not_spoil_the_set() {
        let bad = [
            r#"{"kty":"oct"}"#,
            r#"{"kty":"RSA","kty":"EC"}"#,
            r#"{"kty":"OKP","o":[{"a":1,"a":2}]}"#,
        ];
        let document = format!(
            r#"{{"keys":[{ED25519},7,{},{},{ED25519},{}]}}"#,
            bad[0], bad[1], bad[2]
        );
        let jwks = Jwks::parse(document.as_bytes()).expect("two keys are good");
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
    fn a_set_without_a_usable_key_is_an_error() {
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
    fn an_error_page_is_not_a_set_of_keys() {
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
