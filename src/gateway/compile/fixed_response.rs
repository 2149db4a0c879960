//! `respond` of routes.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use super::header_rules::Rules;
use crate::config::{Fault, Respond, response_header_refusal};
use crate::gateway::fixed_response::FixedResponse;

/// Headers that belong to the meaning of a response: rules for responses of upstreams leave them
/// alone, but a response of the gateway may need them.
const OWN: [&str; 3] = ["allow", "content-type", "retry-after"];

/// The media type of a body that has none.
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Compiles the response of a route; none where there is none, or where it is faulty.
pub(super) fn compile(
    written: Option<&Respond>,
    faults: &mut Vec<Fault>,
) -> Option<Box<FixedResponse>> {
    let written = written?;
    let before = faults.len();
    // Reading has checked the range.
    let status = StatusCode::from_u16(written.status.value).ok()?;
    if let Some(body) = &written.body
        && is_bodiless(status)
    {
        let message = format!(
            "expected no body with status {}, but found one",
            status.as_u16()
        );
        faults.push(
            body.fault(message)
                .with_help("remove it, or choose another status"),
        );
    }
    let refusal = |name: &str| {
        response_header_refusal(name).filter(|_| !OWN.contains(&name.to_ascii_lowercase().as_str()))
    };
    let mut rules = Rules::new(refusal, faults);
    for (name, value) in &written.headers {
        rules.set(name, value, &value.value);
    }
    let headers = rules.into_rules();
    let headers = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let mut headers: HeaderMap = headers.collect();
    if written.body.is_some() {
        headers.entry(header::CONTENT_TYPE).or_insert(PLAIN_TEXT);
    }
    let body = written.body.as_ref().map(|body| body.value.clone());
    let response = FixedResponse::new(status, headers, body.unwrap_or_default());
    (faults.len() == before).then(|| Box::new(response))
}

/// RFC 9110 §15.3.5, §15.3.6 and §15.4.5.
fn is_bodiless(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

#[cfg(test)]
mod tests {
    use super::super::report_of;

    fn faults(keys: &str) -> Vec<String> {
        report_of(&format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/a\"\npublic = true\n{keys}\n"
        ))
    }

    /// Expects one fault with this text; none if it is empty.
    fn assert_fault(keys: &str, fault: &str) {
        let found = faults(keys);
        assert_eq!(
            found.len(),
            usize::from(!fault.is_empty()),
            "{keys}: {found:?}"
        );
        assert!(found.iter().all(|one| one.contains(fault)), "{found:?}");
    }

    #[test]
    fn response_that_cannot_be_sent_is_refused() {
        for (keys, fault) in [
            ("respond = { status = 200 }", ""),
            (
                "respond = { status = 204, headers = { \"X-A\" = \"a\" } }",
                "",
            ),
            ("respond = { status = 599, body = \"a\" }", ""),
            (
                "respond = { status = 302, headers = { Location = \"/b\" } }",
                "",
            ),
            (
                "respond = { status = 405, body = \"{}\", headers = { Allow = \"GET\", \"Retry-After\" = \"1\", \"Content-Type\" = \"application/json\" } }",
                "",
            ),
            (
                "respond = { status = 101 }",
                "routes[0].respond.status: expected",
            ),
            (
                "respond = { status = 199 }",
                "routes[0].respond.status: expected",
            ),
            (
                "respond = { status = 600 }",
                "routes[0].respond.status: expected",
            ),
            (
                "respond = { body = \"a\" }",
                "routes[0].respond.status: expected the status",
            ),
            (
                "respond = { status = 204, body = \"a\" }",
                "routes[0].respond.body: expected no body with status 204",
            ),
            (
                "respond = { status = 304, body = \"a\" }",
                "routes[0].respond.body: expected no body with status 304",
            ),
            (
                "",
                "routes[0].upstream: expected the name of an upstream, but found nothing",
            ),
        ] {
            assert_fault(keys, fault);
        }
    }

    #[test]
    fn header_of_the_gateway_and_unsafe_value_are_refused() {
        for (keys, fault) in [
            (
                "respond = { status = 200, headers = { \"Content-Length\" = \"9\" } }",
                "expected a header that the gateway leaves alone",
            ),
            (
                "respond = { status = 401, headers = { \"WWW-Authenticate\" = \"Basic\" } }",
                "expected a header that the gateway leaves alone",
            ),
            (
                "respond = { status = 200, headers = { \"Access-Control-Allow-Origin\" = \"*\" } }",
                "expected a header that the gateway leaves alone",
            ),
            (
                "respond = { status = 200, headers = { \"X-A\" = \"a\\r\\nX-B: b\" } }",
                "expected printable ASCII",
            ),
        ] {
            assert_fault(keys, fault);
        }
    }

    #[test]
    fn respond_excludes_what_is_for_an_upstream() {
        for key in [
            "upstream = \"up\"",
            "strip_prefix = \"/a\"",
            "rewrite = \"/b\"",
            "forward_token = \"strip\"",
            "claim_headers = { \"X-A\" = \"a\" }",
            "request_headers = { remove = \"X-A\" }",
            "response_timeout = \"1s\"",
            "close_at_expiry = true",
        ] {
            let found = faults(&format!("respond = {{ status = 503 }}\n{key}"));
            let name = key.split(' ').next().expect("a key");
            let message = format!("expected only one of \"respond\" and {name:?}, but found both");
            assert!(found.len() == 1 && found[0].contains(&message), "{found:?}");
        }
    }
}
