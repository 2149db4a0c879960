//! A metadata document is accepted if it is one JSON object with exactly the configured issuer. An
//! endpoint is accepted if it uses https, or if the issuer does not either.

use scopegate::verify::{DiscoveryError, EndpointName, Endpoints};
use serde_json::Value;

use super::members;

const URL: &str = "https://id.example.com/.well-known/openid-configuration";

pub(crate) fn check(input: &[u8]) {
    let members = members::of_object(input);
    for issuer in ["https://id.example.com", "http://127.0.0.1:9080"] {
        let written = members.as_ref().and_then(|members| members.get("issuer"));
        match (Endpoints::read(input, URL, issuer), &members) {
            (Ok(endpoints), Some(members)) => {
                assert_eq!(written, Some(&Value::from(issuer)));
                for name in [
                    EndpointName::Jwks,
                    EndpointName::Introspection,
                    EndpointName::Token,
                ] {
                    let written = members.get(name.as_str()).and_then(Value::as_str);
                    let accepted = written
                        .filter(|url| url.starts_with("https://") || are_both_http(url, issuer));
                    assert_eq!(endpoints.url(name), accepted);
                }
            }
            (Err(error @ DiscoveryError::OtherIssuer { .. }), Some(_)) => {
                assert_ne!(written, Some(&Value::from(issuer)));
                assert_one_line(&error);
            }
            (Err(error @ DiscoveryError::NotJson { .. }), None) => assert_one_line(&error),
            (read, _) => panic!("{members:?} was read as {read:?}"),
        }
    }
}

fn are_both_http(url: &str, issuer: &str) -> bool {
    [url, issuer].iter().all(|url| url.starts_with("http://"))
}

fn assert_one_line(error: &DiscoveryError) {
    assert!(
        !error.to_string().contains(['\r', '\n']),
        "{error} forges a line of the log"
    );
}
