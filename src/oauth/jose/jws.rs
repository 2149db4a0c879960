//! Parses a compact JWS and checks what needs no key (RFC 7515 §3.1, RFC 8725 §3).
//!
//! 1. A JWT is three parts separated by dots; the first decodes to a JSON object with `alg`. Every
//!    other token is opaque.
//! 2. `alg` must be one of [`Algorithm`]; `none`, in any letter case, is not.
//! 3. `crit` is refused: it names extensions that a recipient must understand, and scopegate has
//!    none. `b64` is refused: it changes what is signed (RFC 7797).
//! 4. `zip` is refused unless it is `"NONE"`, which ForgeRock writes into every header.
//! 5. `jwk`, `jku`, `x5u`, `x5c` and every other parameter are ignored, whatever their type.

use std::fmt;

use serde_json::{Map, Value};

use super::{Algorithm, decode_base64url};
use crate::oauth::json::{self, JsonError};
use crate::text::{quoted, truncated};

/// The form of a bearer token.
#[derive(Debug)]
pub enum TokenShape<'t> {
    /// A JWT, its signature not verified.
    Jwt(CompactJws<'t>),
    /// A token that only its issuer can interpret.
    Opaque,
}

/// A well-formed compact JWS, its signature not verified.
pub struct CompactJws<'t> {
    header: JoseHeader,
    payload: Vec<u8>,
    signing_input: &'t str,
    signature: &'t str,
    signature_bytes: Vec<u8>,
}

/// The header parameters that scopegate uses (RFC 7515 §4.1). All of them are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoseHeader {
    /// `alg`
    pub algorithm: Algorithm,
    /// `kid`: compared with the kids of a JWK set and used for nothing else.
    pub kid: Option<String>,
    /// `typ` as received.
    pub token_type: Option<String>,
}

/// Why a JWT is refused before its signature is verified.
///
/// Text from the token is escaped, so that it cannot forge log lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// The header has a duplicate member.
    #[error("duplicate member in the header")]
    DuplicateMember,
    /// `alg` is `none` in any letter case.
    #[error("the token is not signed")]
    Unsigned,
    /// `alg` is not supported.
    #[error("expected a signature algorithm, but found {found:?}")]
    UnknownAlgorithm {
        /// The value of `alg`.
        found: String,
    },
    /// A header parameter changes the meaning of the token, and is not supported.
    #[error("header parameter {parameter:?} is not supported")]
    UnsupportedParameter {
        /// `crit`, `b64` or `zip`.
        parameter: &'static str,
    },
    /// A header parameter is not a string.
    #[error("header parameter {parameter:?} is not a string")]
    NotAString {
        /// `alg`, `kid` or `typ`.
        parameter: &'static str,
    },
    /// The payload or the signature is not strict base64url.
    #[error("payload or signature is not base64url")]
    NotBase64Url,
    /// `typ` is not one of the accepted token types.
    #[error("expected {expected} as typ (see token_types), but found {}", quoted(found.as_deref()))]
    WrongType {
        /// The accepted values, truncated.
        expected: String,
        /// The value of `typ`, if present.
        found: Option<String>,
    },
}

impl JwsError {
    /// A constant label for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::DuplicateMember => "duplicate_member",
            Self::Unsigned => "unsigned",
            Self::UnknownAlgorithm { .. } => "unknown_algorithm",
            Self::UnsupportedParameter { .. } => "unsupported_parameter",
            Self::NotAString { .. } => "malformed_header",
            Self::NotBase64Url => "not_base64url",
            Self::WrongType { .. } => "wrong_type",
        }
    }
}

/// Distinguishes JWTs from opaque tokens, and parses a JWT (RFC 7515 §5.2, steps 1 to 7).
///
/// # Errors
/// [`JwsError`] if a JWT breaks a rule: it must not pass for an opaque token.
pub fn classify(token: &str) -> Result<TokenShape<'_>, JwsError> {
    let mut parts = token.split('.');
    let (Some(first), Some(second), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(TokenShape::Opaque);
    };
    let Some(header) = decode_base64url(first) else {
        return Ok(TokenShape::Opaque);
    };
    let mut header = match json::parse_object(&header) {
        Ok(header) => header,
        Err(JsonError::Malformed(_) | JsonError::NotAnObject) => return Ok(TokenShape::Opaque),
        Err(JsonError::DuplicateMember) => return Err(JwsError::DuplicateMember),
    };
    let Some(algorithm) = take_string(&mut header, "alg")? else {
        return Ok(TokenShape::Opaque);
    };
    let header = JoseHeader::parse(&algorithm, header)?;
    let payload = decode_base64url(second).ok_or(JwsError::NotBase64Url)?;
    let signature_bytes = decode_base64url(signature).ok_or(JwsError::NotBase64Url)?;
    let signing_input = &token[..first.len() + 1 + second.len()];
    Ok(TokenShape::Jwt(CompactJws {
        header,
        payload,
        signing_input,
        signature,
        signature_bytes,
    }))
}

impl<'t> CompactJws<'t> {
    /// The header.
    #[must_use]
    pub fn header(&self) -> &JoseHeader {
        &self.header
    }

    /// The payload, decoded.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signed text: the first two parts as received, with the dot (RFC 7515 §5.2, step 8).
    #[must_use]
    pub fn signing_input(&self) -> &'t str {
        self.signing_input
    }

    /// The signature in base64url, as received.
    #[must_use]
    pub fn signature(&self) -> &'t str {
        self.signature
    }

    /// The signature, decoded.
    #[must_use]
    pub fn signature_bytes(&self) -> &[u8] {
        &self.signature_bytes
    }

    /// Checks that `typ` is one of `accepted`, where `""` stands for a token without `typ` (RFC
    /// 8725 §3.11).
    ///
    /// Letter case and the prefix `application/` are ignored on both sides (RFC 7515 §4.1.9).
    ///
    /// # Errors
    /// [`JwsError::WrongType`].
    pub fn check_type(&self, accepted: &[String]) -> Result<(), JwsError> {
        let token_type = self.header.token_type.as_deref();
        let is_accepted = accepted.iter().any(|accepted| match token_type {
            None => accepted.is_empty(),
            // An empty `typ` is not an absent one.
            Some(token_type) => {
                !accepted.is_empty() && subtype(accepted).eq_ignore_ascii_case(subtype(token_type))
            }
        });
        if is_accepted {
            Ok(())
        } else {
            let name =
                |accepted: &String| quoted(Some(&**accepted).filter(|name| !name.is_empty()));
            let expected = accepted.iter().map(name).collect::<Vec<_>>().join(" or ");
            let found = token_type.map(truncated);
            Err(JwsError::WrongType {
                expected: truncated(&expected),
                found,
            })
        }
    }
}

// Omits payload and signature: a token must not reach a log.
impl fmt::Debug for CompactJws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactJws")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl JoseHeader {
    fn parse(algorithm: &str, mut others: Map<String, Value>) -> Result<Self, JwsError> {
        if algorithm.eq_ignore_ascii_case("none") {
            return Err(JwsError::Unsigned);
        }
        let algorithm =
            Algorithm::from_name(algorithm).ok_or_else(|| JwsError::UnknownAlgorithm {
                found: truncated(algorithm),
            })?;
        for parameter in ["crit", "b64"] {
            if others.contains_key(parameter) {
                return Err(JwsError::UnsupportedParameter { parameter });
            }
        }
        if others.get("zip").is_some_and(|zip| zip != "NONE") {
            return Err(JwsError::UnsupportedParameter { parameter: "zip" });
        }
        let kid = take_string(&mut others, "kid")?;
        let token_type = take_string(&mut others, "typ")?;
        Ok(Self {
            algorithm,
            kid,
            token_type,
        })
    }
}

fn take_string(
    header: &mut Map<String, Value>,
    parameter: &'static str,
) -> Result<Option<String>, JwsError> {
    match header.remove(parameter) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::NotAString { parameter }),
    }
}

fn subtype(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.split_at_checked(PREFIX.len()) {
        Some((prefix, subtype)) if prefix.eq_ignore_ascii_case(PREFIX) => subtype,
        Some(_) | None => media_type,
    }
}

#[cfg(test)]
mod tests;
