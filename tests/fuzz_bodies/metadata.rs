//! A metadata document counts when it is one JSON object of exactly the issuer that was asked, and its endpoints are
//! believed when they are no less protected than the issuer itself.

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
                    let believed = written
                        .filter(|url| url.starts_with("https://") || is_as_open(url, issuer));
                    assert_eq!(endpoints.url(name), believed);
                }
            }
            (Err(error @ DiscoveryError::OtherIssuer { .. }), Some(_)) => {
                assert_ne!(written, Some(&Value::from(issuer)));
                is_one_line(&error);
            }
            (Err(error @ DiscoveryError::NotJson { .. }), None) => is_one_line(&error),
            (read, _) => panic!("{members:?} was read as {read:?}"),
        }
    }
}

fn is_as_open(url: &str, issuer: &str) -> bool {
    [url, issuer].iter().all(|url| url.starts_with("http://"))
}

fn is_one_line(error: &DiscoveryError) {
    assert!(
        !error.to_string().contains(['\r', '\n']),
        "{error} forges a line of the log"
    );
}
