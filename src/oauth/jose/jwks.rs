//! The keys that an issuer publishes: a JWK set (RFC 7517 §5), or a map from `kid` to certificates
//! in PEM (Firebase).
//!
//! Unusable keys are skipped. A set without a usable key is an error, so that an error page or a
//! mistake of the issuer never replaces working keys.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Map, Value};

use super::{Jwk, JwkError, certificate};
use crate::oauth::json::{self, Strict};
use crate::text::truncated;

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
    /// Its `kid`, if it has one; truncated.
    pub kid: Option<String>,
    /// Why it cannot be used.
    pub error: JwkError,
}

/// A document that is not a usable JWK set.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Not a JSON object with an array `keys`, for example an error page.
    #[error("expected a JWK set, but found {found}")]
    NotAJwks {
        /// What it seems to be.
        found: &'static str,
        /// Why it cannot be parsed.
        #[source]
        source: serde_json::Error,
    },
    /// No key in it can be used.
    #[error("no usable key among {}{}", .skipped.len(), reasons(.skipped))]
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

        let not_a_jwks = |source| JwksError::NotAJwks {
            found: describe(document),
            source,
        };
        // A derived `Deserialize` also accepts an array, whose first element would become `keys`.
        if document.trim_ascii_start().first() != Some(&b'{') {
            return Err(not_a_jwks(serde_json::Error::custom("expected an object")));
        }
        let set: Document = match serde_json::from_slice(document) {
            Ok(set) => set,
            Err(source) => {
                let certificates = certificates(document).ok_or_else(|| not_a_jwks(source))?;
                return Self::of_certificates(certificates);
            }
        };
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, key) in set.keys.into_iter().enumerate() {
            let kid = key.member("kid").map(truncated);
            match Jwk::parse(key) {
                Ok(key) => keys.push(key),
                Err(error) => skipped.push(SkippedKey { index, kid, error }),
            }
        }
        Self::of_keys(keys, skipped)
    }

    fn of_certificates(certificates: Map<String, Value>) -> Result<Self, JwksError> {
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, (kid, certificate)) in certificates.into_iter().enumerate() {
            let name = Some(truncated(&kid));
            match Jwk::from_pem(kid, certificate.as_str().unwrap_or_default()) {
                Ok(key) => keys.push(key),
                Err(error) => skipped.push(SkippedKey {
                    index,
                    kid: name,
                    error,
                }),
            }
        }
        Self::of_keys(keys, skipped)
    }

    fn of_keys(keys: Vec<Jwk>, skipped: Vec<SkippedKey>) -> Result<Self, JwksError> {
        if keys.is_empty() {
            Err(JwksError::NoUsableKey { skipped })
        } else {
            Ok(Self { keys, skipped })
        }
    }
}

/// The members of an object that consists of certificates only. A document with anything else in it
/// may be an error, which must never replace working keys.
fn certificates(document: &[u8]) -> Option<Map<String, Value>> {
    let members = json::parse_object(document).ok()?;
    let is_certificate = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.trim_start().starts_with(certificate::PEM))
    };
    (!members.is_empty() && members.values().all(is_certificate)).then_some(members)
}

impl SkippedKey {
    /// How a message names it: by its `kid`, or by its index.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.kid {
            Some(kid) => format!("{kid:?}"),
            None => format!("keys[{}]", self.index),
        }
    }
}

/// The keys that a message names.
const MAX_REASONS: usize = 4;

fn reasons(skipped: &[SkippedKey]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let reason = |key: &SkippedKey| format!("{}: {}", key.name(), key.error);
    let mut reasons: Vec<_> = skipped.iter().take(MAX_REASONS).map(reason).collect();
    if skipped.len() > MAX_REASONS {
        reasons.push(format!("and {} more", skipped.len() - MAX_REASONS));
    }
    format!(" ({})", reasons.join("; "))
}

/// What a document seems to be that is no JWK set.
fn describe(document: &[u8]) -> &'static str {
    let text = document.trim_ascii();
    let member = |name: &str| {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(text)
            .is_ok_and(|members| members.contains_key(name))
    };
    match text.first() {
        None => "nothing",
        Some(b'<') => "HTML or XML",
        Some(b'-') if text.starts_with(b"-----BEGIN") => "PEM",
        Some(b'[') => "a JSON array; the keys belong into an object with keys",
        Some(b'{') if member("kty") => "a single JWK; it belongs into the array keys",
        Some(b'{') if member("keys") => "keys that are no array",
        Some(b'{') if member("jwks_uri") => "metadata; its jwks_uri is the URL",
        Some(b'{') => "an object without an array keys",
        Some(_) => "no JSON",
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
                    Err(JwksError::NotAJwks { .. })
                ),
                "{document}"
            );
        }
    }
}
