//! What an authorization server answers when it is asked about a token (RFC 7662 §2.2, RFC 9701 §5).
//!
//! 1. Only the boolean `active` tells. An answer that lacks it, or has it as a string or a number, says nothing: taking
//!    it for "yes" would let tokens in, taking it for "no" would blame a client for its server.
//! 2. What else an active answer says is a claims set, and is judged as one. A member that is `null` counts as left out:
//!    several servers write every member that they know, `null` where it does not apply.
//! 3. A signed answer is a JWT of a type of its own, from the authorization server and for this resource server. The
//!    answer itself is a claim in it, so that it is never mistaken for an access token.

use serde_json::{Map, Value};

use super::claims::Claims;
use super::issuer_name;
use super::json::{self, JsonError};
use crate::text::{alternatives, quoted, truncated};

/// `typ` of a signed answer (RFC 9701 §5).
pub const SIGNED_RESPONSE: &str = "token-introspection+jwt";

/// What an authorization server knows of a token.
#[derive(Debug)]
pub enum IntrospectionResponse {
    /// It is active; the claims are yet to be judged.
    Active(Claims),
    /// It is expired, revoked, malformed or not for the one who asks.
    Inactive,
}

/// An answer that says nothing about the token. The client is not to blame.
#[derive(Debug, thiserror::Error)]
pub enum UnclearResponse {
    /// Not one JSON object without duplicate members.
    #[error("expected a JSON object, but found something else: {0}")]
    NotAnObject(#[from] JsonError),
    /// `active` is missing or no boolean.
    #[error("expected \"active\" to be true or false, but found {0}")]
    NoActive(&'static str),
    /// A signed answer without `token_introspection`.
    #[error("expected an object in claim \"token_introspection\", but found none")]
    NoIntrospectionClaim,
    /// A signed answer of another server.
    #[error("expected {expected} as iss of a signed answer, but found {}{hint}", quoted(found.as_deref()))]
    OtherIssuer {
        /// The names of the issuer, as far as they are not too many.
        expected: String,
        /// `iss`, if it is a string.
        found: Option<String>,
        /// In what it differs from the one of them that it is nearly, if it is.
        hint: String,
    },
    /// A signed answer for another resource server.
    #[error("expected a signed answer for this resource server, but its aud names another")]
    OtherRecipient,
}

impl IntrospectionResponse {
    /// Reads an answer in JSON (RFC 7662 §2.2).
    ///
    /// # Errors
    /// [`UnclearResponse`] when it does not tell whether the token is active.
    pub fn parse(answer: &[u8]) -> Result<Self, UnclearResponse> {
        Self::read(json::parse_object(answer)?, answer.len())
    }

    /// Reads the claims of a signed answer (RFC 9701 §5). That one of `issuers` has signed it, with the right type, must
    /// be known; it must be meant for one of `recipients`.
    ///
    /// # Errors
    /// [`UnclearResponse`] when it is of somebody else, for somebody else, or does not tell.
    pub fn parse_signed(
        claims: &[u8],
        issuers: &[String],
        recipients: &[String],
    ) -> Result<Self, UnclearResponse> {
        let mut members = json::parse_object(claims)?;
        let issuer = members.get("iss").and_then(Value::as_str);
        if !issuer.is_some_and(|issuer| issuers.iter().any(|name| name == issuer)) {
            let names = || issuers.iter().map(String::as_str);
            let (expected, hint) = (alternatives(names()), issuer_name::hint(issuer, names()));
            return Err(UnclearResponse::OtherIssuer {
                expected,
                found: issuer.map(truncated),
                hint,
            });
        }
        let is_ours = |audience: &Value| recipients.iter().any(|name| audience == name);
        let is_for_us = match members.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
            None => false,
        };
        if !is_for_us {
            return Err(UnclearResponse::OtherRecipient);
        }
        match members.remove("token_introspection") {
            Some(Value::Object(answer)) => Self::read(answer, claims.len()),
            Some(_) | None => Err(UnclearResponse::NoIntrospectionClaim),
        }
    }

    fn read(mut members: Map<String, Value>, size: usize) -> Result<Self, UnclearResponse> {
        match members.remove("active") {
            Some(Value::Bool(false)) => Ok(Self::Inactive),
            Some(Value::Bool(true)) => {
                members.retain(|_, value| !value.is_null());
                Ok(Self::Active(Claims::of_members(members, size)))
            }
            None => Err(UnclearResponse::NoActive("nothing")),
            Some(Value::Null) => Err(UnclearResponse::NoActive("null")),
            Some(Value::Number(_)) => Err(UnclearResponse::NoActive("a number")),
            Some(Value::String(_)) => Err(UnclearResponse::NoActive("a string")),
            Some(Value::Array(_) | Value::Object(_)) => {
                Err(UnclearResponse::NoActive("an array or object"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signed(change: impl FnOnce(&mut Value)) -> Result<IntrospectionResponse, UnclearResponse> {
        let mut claims = json!({ "iss": "https://as", "aud": "gateway", "token_introspection": { "active": true } });
        change(&mut claims);
        let [issuers, recipients] = [["https://as".to_owned()], ["gateway".to_owned()]];
        IntrospectionResponse::parse_signed(claims.to_string().as_bytes(), &issuers, &recipients)
    }

    #[test]
    fn r8_only_the_boolean_active_tells() {
        assert!(matches!(
            IntrospectionResponse::parse(br#"{"active":false}"#),
            Ok(IntrospectionResponse::Inactive)
        ));
        assert!(matches!(
            IntrospectionResponse::parse(br#"{"active":false,"exp":1}"#),
            Ok(IntrospectionResponse::Inactive)
        ));
        assert!(matches!(
            IntrospectionResponse::parse(br#"{"exp":1,"active":true}"#),
            Ok(IntrospectionResponse::Active(_))
        ));
        for answer in [
            "",
            "{}",
            "[]",
            "true",
            r#"{"active":null}"#,
            r#"{"active":"true"}"#,
            r#"{"active":"false"}"#,
            r#"{"active":1}"#,
            r#"{"active":0}"#,
            r#"{"active":[true]}"#,
            r#"{"Active":true}"#,
            r#"{"active":true,"active":false}"#,
            r#"{"active":true"#,
            r#"{"active":true} {"active":true}"#,
            "<html>",
        ] {
            assert!(
                IntrospectionResponse::parse(answer.as_bytes()).is_err(),
                "{answer}"
            );
        }
    }

    #[test]
    fn null_members_of_an_answer_are_left_out() {
        let Ok(IntrospectionResponse::Active(claims)) =
            IntrospectionResponse::parse(br#"{"active":true,"iss":"a","cnf":null}"#)
        else {
            panic!("an active answer");
        };
        assert_eq!(claims.issuer(), Some("a"));
        assert!(!claims.has("cnf") && !claims.has("active"));
    }

    #[test]
    fn r12_signed_answer_is_of_the_issuer_and_for_us() {
        assert!(matches!(
            signed(|_| ()),
            Ok(IntrospectionResponse::Active(_))
        ));
        assert!(matches!(
            signed(|claims| claims["aud"] = json!(["x", "gateway"])),
            Ok(IntrospectionResponse::Active(_))
        ));
        assert!(matches!(
            signed(|claims| claims["token_introspection"]["active"] = json!(false)),
            Ok(IntrospectionResponse::Inactive)
        ));
        for (name, value) in [
            ("iss", json!("https://other")),
            ("iss", json!(["https://as"])),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!(7)),
            ("aud", Value::Null),
            ("token_introspection", json!(true)),
            ("token_introspection", json!("{\"active\":true}")),
            ("token_introspection", json!({})),
            ("token_introspection", Value::Null),
        ] {
            assert!(
                signed(|claims| claims[name] = value.clone()).is_err(),
                "{name} = {value}"
            );
        }
        // An answer that is not wrapped is none, whoever signed it.
        assert!(
            signed(
                |claims| *claims = json!({ "iss": "https://as", "aud": "gateway", "active": true })
            )
            .is_err()
        );
    }
}
