//! Which header fields are removed, set and forwarded (R39, R40).

use serde_json::{Value, json};

use super::{get_status, test_bed};
use harness::{Reply, TestBed, logged, send};

#[test]
fn r39_forged_identity_headers_are_replaced_in_every_spelling() {
    let test_bed = test_bed();
    let forged = "X-Client-Id: forged\r\nx_client_id: forged\r\nX.Client.Id: forged\r\nX-Forwarded-For: forged\r\n\
                  x_forwarded_for: forged\r\nForwarded: for=forged\r\nX-Real-IP: forged\r\nX-Missing: forged\r\n\
                  X-Forwarded-User: forged\r\nx+client+id: forged\r\nX!Forwarded|For: forged\r\n";
    for path in ["/open/x", "/claims"] {
        let authorization = format!("Authorization: Bearer {}\r\n", test_bed.token("read write"));
        assert_eq!(
            get_status(&test_bed, path, &format!("{forged}{authorization}")),
            200
        );
        let received = test_bed.last();
        assert!(
            received
                .headers
                .iter()
                .all(|(_, value)| !value.contains("forged")),
            "{received:?}"
        );
        assert_eq!(received.header("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(received.header("x-forwarded-host"), ["api.test"]);
        assert_eq!(received.header("x-forwarded-proto"), ["http"]);
    }
    let received = test_bed.last();
    assert_eq!(received.header("x-client-id"), ["client-1"]);
    assert_eq!(received.header("x-scope"), ["read write"]);
    assert!(received.header("x-missing").is_empty());
    assert!(
        received.header("authorization").is_empty(),
        "forward_token = \"strip\""
    );
}

#[test]
fn r39_claim_headers_with_underscores_or_dots_are_replaced_in_every_spelling() {
    let routes = "[[routes]]\npath = \"/claims\"\nupstream = \"up\"\nclaim_headers = { x_user = \"client_id\", \"X.Role\" = \"none\" }\n\
                  [[routes]]\npath = \"/open\"\npublic = true\nupstream = \"up\"\n";
    let test_bed = TestBed::routes(routes);
    let forged = "x_user: forged\r\nX-User: forged\r\nx.user: forged\r\nX.Role: forged\r\nx-role: forged\r\nX_Role: forged\r\n";
    let authorization = format!("Authorization: Bearer {}\r\n", test_bed.token(""));
    for path in ["/open", "/claims"] {
        assert_eq!(
            get_status(&test_bed, path, &format!("{forged}{authorization}")),
            200
        );
        let received = test_bed.last();
        assert!(
            received.headers.iter().all(|(_, value)| value != "forged"),
            "{path}: {:?}",
            received.headers
        );
    }
    assert_eq!(test_bed.last().header("x_user"), ["client-1"]);
    for name in ["x_user", "X-User", "x.role"] {
        assert_eq!(
            get_status(
                &test_bed,
                "/claims",
                &format!("Connection: {name}\r\n{authorization}")
            ),
            400,
            "{name}"
        );
    }
}

#[test]
fn r39_headers_that_alias_protected_ones_are_removed() {
    let test_bed = test_bed();
    // CGI maps `Proxy` to `HTTP_PROXY`, and each of the others to the variable of a header that
    // matters.
    let names = [
        "Proxy",
        "Transfer_Encoding",
        "transfer.encoding",
        "Content_Length",
        "Content.Length",
        "Content_Type",
        "Content_Encoding",
        "Keep_Alive",
        "Proxy_Connection",
        "Proxy_Authorization",
        "HTTP2-Settings",
    ];
    let lines: String = names
        .iter()
        .map(|name| format!("{name}: forged\r\n"))
        .collect();
    assert_eq!(
        get_status(&test_bed, "/open/x", &format!("{lines}X_Other: stays\r\n")),
        200
    );
    let received = test_bed.last();
    assert!(
        received.headers.iter().all(|(_, value)| value != "forged"),
        "{received:?}"
    );
    assert_eq!(received.header("x_other"), ["stays"]);
    let request = format!(
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{lines}X-Check: stays\r\n\r\n"
    );
    assert_eq!(send(test_bed.address, request).status, 200);
    let received = test_bed.last();
    assert!(
        received.headers.iter().all(|(_, value)| value != "forged"),
        "{received:?}"
    );
    assert_eq!(received.header("trailer x-check"), ["stays"]);
}

#[test]
fn r40_malformed_connection_options_hide_no_valid_one() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        let head = b"HTTP/1.1 200 OK\r\nConnection: \xff, X-Hop,\"X-End\"\r\nX-Hop: 1\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok";
        Reply::Raw(head.to_vec())
    });
    for garbage in [&b"\xff"[..], b"a b", b"\"", b"\xc3\xa9", b","] {
        let mut request =
            b"GET /open/x HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\nX-Other: 1\r\nConnection: ".to_vec();
        request.extend([garbage, b", X-Hop ,", garbage, b"\r\n\r\n"].concat());
        let response = send(test_bed.address, request);
        assert_eq!(
            (
                response.status,
                response.header("x-hop"),
                response.header("x-end")
            ),
            (200, None, Some("1"))
        );
        let received = test_bed.last();
        assert!(
            received.header("x-hop").is_empty() && received.header("connection").is_empty(),
            "{received:?}"
        );
        assert_eq!(received.header("x-other"), ["1"]);
    }
}

#[test]
fn claim_without_an_exact_header_value_is_omitted_and_logged() {
    let routes = "[[routes]]\npath = \"/text\"\nupstream = \"up\"\nclaim_headers = { \"X-Identity\" = \"identity\" }\n\
                  [[routes]]\npath = \"/json\"\nupstream = \"up\"\n\
                  claim_headers = { \"X-Identity\" = { claim = \"identity\", format = \"json\" } }\n";
    let test_bed = TestBed::routes(routes);
    let claim_header = |path: &str, identity: &Value| {
        let mut claims = test_bed.issuer.claims("");
        claims["identity"] = identity.clone();
        let authorization = format!("Authorization: Bearer {}\r\n", test_bed.key.token(&claims));
        // The client's own header is removed, whether or not the claim sets one.
        assert_eq!(
            get_status(
                &test_bed,
                path,
                &format!("x_identity: forged\r\nX-Identity: forged\r\n{authorization}")
            ),
            200
        );
        let received = test_bed.last();
        assert!(received.header("x_identity").is_empty());
        received.header("x-identity").join("|")
    };
    for (identity, text, json) in [
        (json!("admin"), "admin", r#""admin""#),
        (json!("admin "), "", r#""admin ""#),
        (json!("admin\u{a0}"), "", r#""admin\u00a0""#),
        (json!("admin\t"), "", r#""admin\t""#),
        (json!(["a b"]), "", r#"["a b"]"#),
        (json!(["a", "b"]), "a b", r#"["a","b"]"#),
        (json!(["a", ""]), "", r#"["a",""]"#),
        (json!({ "role": ["ü"] }), "", r#"{"role":["\u00fc"]}"#),
        (json!(7), "7", "7"),
    ] {
        assert_eq!(
            (
                claim_header("/text", &identity).as_str(),
                claim_header("/json", &identity).as_str()
            ),
            (text, json),
            "{identity}"
        );
    }
    // One log event covers all omissions within a minute.
    assert!(logged(
        "claim header omitted route=\"/text\" header=\"x-identity\" claim=\"identity\" found=white space at its start or end requests=1"
    ));
    assert!(!logged("admin\u{a0}"), "the value of a claim is in the log");
}

#[test]
fn claim_header_may_have_a_value_inside_a_claim() {
    let routes = "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n\
                  claim_headers = { X-Org = \"/org/id\", X-First = \"/groups/0\", X-Dotted = \"org.id\", \
                  X-Url = \"https://a.test/b\", X-Groups = { claim = \"/org/groups\", format = \"json\" } }\n";
    let test_bed = TestBed::routes(routes);
    let mut claims = test_bed.issuer.claims("");
    claims["org"] = json!({ "id": "acme", "groups": ["a b"] });
    claims["groups"] = json!(["first", "second"]);
    claims["https://a.test/b"] = json!("url");
    let token = test_bed.key.token(&claims);
    let forged = "X-Org: forged\r\nX-Dotted: forged\r\n";
    let authorization = format!("{forged}Authorization: Bearer {token}\r\n");
    assert_eq!(get_status(&test_bed, "/a", &authorization), 200);
    let received = test_bed.last();
    for (header, expected) in [
        ("x-org", &["acme"][..]),
        ("x-first", &["first"]),
        ("x-dotted", &[]),
        ("x-url", &["url"]),
        ("x-groups", &["[\"a b\"]"]),
    ] {
        assert_eq!(received.header(header), expected, "{header}");
    }
}

#[test]
fn r40_hop_by_hop_fields_are_removed_in_both_directions() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\n\
              X-End: 1\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        )
    });
    let lines = "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nTE: gzip\r\nX-End: 1\r\n";
    let response = send(
        test_bed.address,
        format!("GET /open/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n"),
    );
    assert_eq!(
        (response.status, response.header("x-end"), response.text()),
        (200, Some("1"), "ok".to_owned())
    );
    for name in ["x-hop", "keep-alive", "proxy-authenticate", "connection"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    let received = test_bed.last();
    assert_eq!(received.header("x-end"), ["1"]);
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "te",
        "connection",
    ] {
        assert!(received.header(name).is_empty(), "{name}");
    }
}

#[test]
fn r39_connection_option_that_names_a_protected_header_is_refused() {
    let test_bed = test_bed();
    for name in [
        "Host",
        "Authorization",
        "X-Client-Id",
        "x_client_id",
        "X-Forwarded-For",
        "Content-Length",
    ] {
        assert_eq!(
            get_status(
                &test_bed,
                "/open/x",
                &format!("Connection: close, {name}\r\n")
            ),
            400,
            "{name}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn claim_with_a_line_break_sets_no_header() {
    let test_bed = test_bed();
    let mut claims = test_bed.issuer.claims("");
    claims["client_id"] = json!("a\r\nX-Admin: true");
    assert_eq!(
        test_bed
            .get("/claims", Some(&test_bed.key.token(&claims)))
            .status,
        200
    );
    assert!(test_bed.last().header("x-client-id").is_empty());
    assert!(test_bed.last().header("x-admin").is_empty());
}
