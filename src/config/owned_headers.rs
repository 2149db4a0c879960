//! Headers that the gateway sets, or needs as they are. No key of the file may change them.
//!
//! There is one list for each direction. Names are compared in the spelling with `-`: many servers
//! read `X_Client.Id` as `X-Client-Id`, and some `X+Client~Id`, too.

/// The names of headers, as a pattern of the schema.
pub(super) const HEADER_NAME: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

/// Headers of requests, and why a rule must leave them alone.
const OF_REQUESTS: [(&str, &str); 35] = [
    (AUTHORIZATION, "forward_token says whether it is forwarded"),
    ("connection", CONNECTION),
    ("content-encoding", BODY),
    ("content-length", BODY),
    ("content-type", BODY),
    (COOKIE, "clients choose cookies, and servers trust them"),
    ("expect", CONNECTION),
    ("forwarded", SET_BY_GATEWAY),
    ("host", "host of [upstreams.NAME] sets it"),
    ("http2-settings", CONNECTION),
    ("keep-alive", CONNECTION),
    ("proxy", ALWAYS_REMOVED),
    ("proxy-authenticate", CONNECTION),
    ("proxy-authorization", CONNECTION),
    ("proxy-connection", CONNECTION),
    ("sec-websocket-accept", HANDSHAKE),
    ("sec-websocket-extensions", HANDSHAKE),
    ("sec-websocket-key", HANDSHAKE),
    ("sec-websocket-protocol", HANDSHAKE),
    ("sec-websocket-version", HANDSHAKE),
    ("te", CONNECTION),
    ("traceparent", SET_BY_GATEWAY),
    ("tracestate", SET_BY_GATEWAY),
    ("trailer", CONNECTION),
    ("transfer-encoding", CONNECTION),
    ("upgrade", CONNECTION),
    ("via", SET_BY_GATEWAY),
    ("x-http-method", ALWAYS_REMOVED),
    ("x-http-method-override", ALWAYS_REMOVED),
    ("x-method-override", ALWAYS_REMOVED),
    ("x-original-url", ALWAYS_REMOVED),
    ("x-real-ip", SET_BY_GATEWAY),
    ("x-request-id", REQUEST_ID),
    ("x-rewrite-url", ALWAYS_REMOVED),
    ("x-forwarded-*", SET_BY_GATEWAY),
];

/// Headers of responses, and why a rule must leave them alone.
const OF_RESPONSES: [(&str, &str); 29] = [
    ("access-control-*", "[cors] sets it"),
    ("allow", MEANING),
    ("connection", MEANING),
    ("content-encoding", MEANING),
    ("content-length", MEANING),
    ("content-range", MEANING),
    ("content-type", MEANING),
    ("date", MEANING),
    ("grpc-message", MEANING),
    ("grpc-status", MEANING),
    ("grpc-status-details-bin", MEANING),
    ("keep-alive", MEANING),
    ("mfp-conflict", MEANING),
    ("proxy-authenticate", MEANING),
    ("proxy-connection", MEANING),
    ("ratelimit", MEANING),
    ("ratelimit-policy", MEANING),
    ("retry-after", MEANING),
    ("sec-websocket-accept", HANDSHAKE),
    ("sec-websocket-extensions", HANDSHAKE),
    ("sec-websocket-protocol", HANDSHAKE),
    ("sec-websocket-version", HANDSHAKE),
    ("te", MEANING),
    ("trailer", MEANING),
    ("transfer-encoding", MEANING),
    ("upgrade", MEANING),
    (
        "vary",
        "cors and upstreams add to it; a cache would mix up responses without it",
    ),
    ("www-authenticate", "[challenge] says what it contains"),
    ("x-request-id", REQUEST_ID),
];

const AUTHORIZATION: &str = "authorization";
const COOKIE: &str = "cookie";

const ALWAYS_REMOVED: &str =
    "it is removed from every request: it could ask for something else than what was judged";
const BODY: &str = "it describes the body, which is forwarded as it is";
const CONNECTION: &str = "it belongs to the connection";
const HANDSHAKE: &str = "it belongs to the handshake of a WebSocket";
const MEANING: &str = "it belongs to the connection or to the meaning of the response";
const REQUEST_ID: &str = "server.request_id turns it on and off";
const SET_BY_GATEWAY: &str = "the gateway sets it";

/// Why no claim may be sent in this header of requests; none if one may.
pub(super) fn claim_header_refusal(name: &str) -> Option<&'static str> {
    reason(&OF_REQUESTS, name)
}

/// Why no rule may set or remove this header of requests; none if one may.
///
/// `Authorization` depends on the route: the caller judges it. Cookies are the operator's to set.
#[must_use]
pub fn request_header_refusal(name: &str) -> Option<&'static str> {
    match canonical_spelling(name).as_str() {
        AUTHORIZATION | COOKIE => None,
        name => reason(&OF_REQUESTS, name),
    }
}

/// Why no rule may set or remove this header of responses; none if one may.
#[must_use]
pub fn response_header_refusal(name: &str) -> Option<&'static str> {
    reason(&OF_RESPONSES, name)
}

/// Whether a header of this name usually holds a credential.
#[must_use]
pub fn holds_credential(name: &str) -> bool {
    canonical_spelling(name).split('-').any(|word| {
        matches!(
            word,
            "apikey" | "authorization" | "cookie" | "key" | "password" | "secret" | "token"
        )
    })
}

/// The spelling in which names of headers are compared.
#[must_use]
pub fn canonical_spelling(name: &str) -> String {
    name.to_ascii_lowercase()
        .replace(|character: char| !character.is_ascii_alphanumeric(), "-")
}

fn reason(owned: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let name = canonical_spelling(name);
    let owns = |owned: &str| match owned.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => owned == name,
    };
    let (_, reason) = owned.iter().find(|(owned, _)| owns(owned))?;
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_known_by_their_words() {
        for name in ["X-Api-Key", "X_Auth_Token", "authorization", "Cookie"] {
            assert!(holds_credential(name), "{name}");
        }
        for name in ["X-Tenant", "X-Monkey", "User-Agent"] {
            assert!(!holds_credential(name), "{name}");
        }
    }

    #[test]
    fn names_are_owned_in_every_spelling() {
        for (name, of_requests, of_responses) in [
            ("X_Forwarded.For", true, false),
            ("x-forwarded-anything", true, false),
            ("X+Forwarded~For", true, false),
            ("Content_Length", true, true),
            ("Sec-WebSocket-Protocol", true, true),
            ("Access-Control-Allow-Origin", false, true),
            ("grpc-status-details-bin", false, true),
            ("MFP-Conflict", false, true),
            ("RateLimit-Policy", false, true),
            ("Content-Type", true, true),
            ("X-HTTP-Method-Override", true, false),
            ("Cookie", false, false),
            ("Authorization", false, false),
            ("X-Api-Key", false, false),
            ("Server", false, false),
        ] {
            let found = (
                request_header_refusal(name).is_some(),
                response_header_refusal(name).is_some(),
            );
            assert_eq!(found, (of_requests, of_responses), "{name}");
        }
        for name in ["authorization", "Cookie", "host", "X_Request_Id"] {
            assert!(claim_header_refusal(name).is_some(), "{name}");
        }
    }
}
