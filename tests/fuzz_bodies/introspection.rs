//! Introspection responses, plain or signed, are active, inactive or an error. The claims of an
//! active one are judged like those of a JWT, except that `null` members count as absent.

use scopegate::oauth::UnixTime;
use scopegate::oauth::claims::{Claims, ClaimsError};
use scopegate::oauth::introspection::{IntrospectionResponse, UnclearResponse};
use serde_json::{Map, Value};

use super::{claims, members};

const ISSUER: &str = "https://id.example.com";
const RECIPIENT: &str = "https://api.example.com";

pub(crate) fn check(input: &[u8]) {
    let members = members::of_object(input);
    assert_response(IntrospectionResponse::parse(input), members.as_ref());
    let signed =
        IntrospectionResponse::parse_signed(input, &[ISSUER.to_owned()], &[RECIPIENT.to_owned()]);
    assert_response(
        signed,
        members
            .as_ref()
            .filter(|members| has_our_issuer_and_audience(members))
            .and_then(introspection_members),
    );
}

fn assert_response(
    response: Result<IntrospectionResponse, UnclearResponse>,
    members: Option<&Map<String, Value>>,
) {
    match (
        response,
        members.and_then(|members| members.get("active")),
        members,
    ) {
        (Ok(IntrospectionResponse::Active(claims)), Some(Value::Bool(true)), Some(members)) => {
            assert_judged_alike(claims, members)
        }
        (Ok(IntrospectionResponse::Inactive), Some(Value::Bool(false)), _) => {}
        (Err(error), None | Some(Value::Null | Value::Number(_) | Value::String(_)), _)
        | (Err(error), Some(Value::Array(_) | Value::Object(_)), _) => {
            assert!(
                !error.to_string().contains(['\r', '\n']),
                "{error} forges a line of the log"
            );
        }
        (response, active, _) => panic!("{active:?} was read as {response:?}"),
    }
}

fn assert_judged_alike(claims: Claims, members: &Map<String, Value>) {
    assert_eq!(claims.issuer(), members.get("iss").and_then(Value::as_str));
    let mut plain = members.clone();
    plain.retain(|name, value| name != "active" && !value.is_null());
    let plain = Claims::parse(Value::Object(plain).to_string().as_bytes()).expect("claims");
    let now = UnixTime::from_seconds(1_800_000_000);
    let expected = claims::lenient();
    let reason = |error: ClaimsError| error.reason();
    let one = claims.check(&expected, now).map_err(reason);
    let other = plain.check(&expected, now).map_err(reason);
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(
                (one.scopes(), one.expires_at()),
                (other.scopes(), other.expires_at())
            );
            assert_eq!(
                (one.subject(), one.client_id()),
                (other.subject(), other.client_id())
            );
        }
        (one, other) => assert_eq!(one.err(), other.err()),
    }
}

fn has_our_issuer_and_audience(members: &Map<String, Value>) -> bool {
    let has_our_audience = match members.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience == RECIPIENT),
        audience => audience.is_some_and(|audience| audience == RECIPIENT),
    };
    has_our_audience && members.get("iss").is_some_and(|issuer| issuer == ISSUER)
}

fn introspection_members(members: &Map<String, Value>) -> Option<&Map<String, Value>> {
    members
        .get("token_introspection")
        .and_then(Value::as_object)
}
