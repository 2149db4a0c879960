//! Introspection responses (RFC 7662 §2.2, RFC 9701 §5).
//!
//! 1. `active` must be a boolean. A response without it, or with a string or a number, is unclear:
//!    read as "yes" it would let tokens in, read as "no" it would blame a client for its server.
//! 2. The other members are a claims set and are checked as one. A `null` member counts as missing:
//!    several servers write every member they know, with `null` where it does not apply.
//! 3. A signed response is a JWT with a `typ` of its own, from the authorization server, for this
//!    resource server. The response is a claim in it, so it cannot pass for an access token.

use serde_json::{Map, Value};

use super::claims::Claims;
use super::issuer_name;
use super::json::{self, JsonError};
use crate::text::{alternatives, quoted, truncated};

/// `typ` of a signed response (RFC 9701 §5).
pub const SIGNED_RESPONSE: &str = "token-introspection+jwt";

/// What an authorization server reports about a token.
#[derive(Debug)]
pub enum IntrospectionResponse {
    /// The token is active; its claims are not checked yet.
    Active(Claims),
    /// The token is expired, revoked, malformed, or not for this resource server.
    Inactive,
}

/// A response that does not say whether the token is active. The client is not to blame.
#[derive(Debug, thiserror::Error)]
pub enum UnclearResponse {
    /// Not one JSON object without duplicate members.
    #[error("expected a JSON object, but found other content: {0}")]
    NotAnObject(#[from] JsonError),
    /// `active` is missing or not a boolean.
    #[error("expected \"active\" to be true or false, but found {0}")]
    NoActive(&'static str),
    /// A signed response without `token_introspection`.
    #[error("expected an object in claim \"token_introspection\", but found none")]
    NoIntrospectionClaim,
    /// A signed response of another server.
    #[error("expected {expected} as iss of a signed response, but found {}{hint}", quoted(found.as_deref()))]
    OtherIssuer {
        /// The accepted values of `iss`, truncated.
        expected: String,
        /// `iss`, if it is a string.
        found: Option<String>,
        /// How it differs from an accepted value, if it nearly equals it.
        hint: String,
    },
    /// A signed response for another resource server.
    #[error("expected a signed response for this resource server, but its aud names another")]
    OtherRecipient,
}

impl IntrospectionResponse {
    /// Parses a response in JSON (RFC 7662 §2.2).
    ///
    /// # Errors
    /// [`UnclearResponse`] if it does not say whether the token is active.
    pub fn parse(response: &[u8]) -> Result<Self, UnclearResponse> {
        Self::read(json::parse_object(response)?, response.len())
    }

    /// Parses the claims of a signed response (RFC 9701 §5).
    ///
    /// The caller has verified the signature and `typ`. `iss` must be one of `issuers`, and `aud`
    /// must name one of `recipients`.
    ///
    /// # Errors
    /// [`UnclearResponse`] if `iss` or `aud` is wrong, or the state of the token is unclear.
    pub fn parse_signed(
        claims: &[u8],
        issuers: &[String],
        recipients: &[String],
    ) -> Result<Self, UnclearResponse> {
        let mut members = json::parse_object(claims)?;
        let issuer = members.get("iss").and_then(Value::as_str);
        if !issuer.is_some_and(|issuer| issuers.iter().any(|name| name == issuer)) {
            let names = || issuers.iter().map(String::as_str);
            return Err(UnclearResponse::OtherIssuer {
                expected: alternatives(names()),
                found: issuer.map(truncated),
                hint: issuer_name::hint(issuer, names()),
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
            Some(Value::Object(response)) => Self::read(response, claims.len()),
            Some(_) | None => Err(UnclearResponse::NoIntrospectionClaim),
        }
    }

    fn read(mut members: Map<String, Value>, size: usize) -> Result<Self, UnclearResponse> {
        match members.remove("active") {
            Some(Value::Bool(false)) => Ok(Self::Inactive),
            Some(Value::Bool(true)) => {
                members.retain(|_, value| !value.is_null());
                Ok(Self::Active(Claims::from_members(members, size)))
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
    fn r8_active_must_be_a_boolean() {
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
        for response in [
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
                IntrospectionResponse::parse(response.as_bytes()).is_err(),
                "{response}"
            );
        }
    }

    #[test]
    fn null_members_are_dropped() {
        let Ok(IntrospectionResponse::Active(claims)) =
            IntrospectionResponse::parse(br#"{"active":true,"iss":"a","cnf":null}"#)
        else {
            panic!("expected an active response");
        };
        assert_eq!(claims.issuer(), Some("a"));
        assert!(!claims.has("cnf") && !claims.has("active"));
    }

    #[test]
    fn r12_signed_response_must_match_issuer_and_audience() {
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
        // Outside `token_introspection`, `active` does not count.
        assert!(
            signed(
                |claims| *claims = json!({ "iss": "https://as", "aud": "gateway", "active": true })
            )
            .is_err()
        );
    }
}
