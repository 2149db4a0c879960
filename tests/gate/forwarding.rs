//! What reaches the upstream of a permitted request, and what reaches its client (R39, R40, R45).

use std::time::Duration;

use serde_json::{Value, json};

use harness::{Connection, Reply, Server, TestBed, eventually, logged, send};

const ROUTES: &str = "
[[routes]]
path = \"/open/{*rest}\"
public = true
upstream = \"up\"
[[routes]]
path = \"/claims\"
upstream = \"up\"
forward_token = \"strip\"
claim_headers = { \"X-Client-Id\" = \"client_id\", \"X-Scope\" = \"scope\", \"X-Missing\" = \"missing\" }
[[routes]]
path = \"/api/v1/{*rest}\"
public = true
strip_prefix = \"/api/v1\"
upstream = \"up\"
[[routes]]
path = \"/kept\"
upstream = \"up\"
";

fn test_bed() -> TestBed {
    TestBed::routes(ROUTES)
}

fn get_status(test_bed: &TestBed, path: &str, lines: &str) -> u16 {
    send(
        test_bed.address,
        format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n{lines}\r\n"),
    )
    .status
}

#[test]
fn r39_forged_identity_headers_are_replaced_in_every_spelling() {
    let test_bed = test_bed();
    let forged = "X-Client-Id: forged\r\nx_client_id: forged\r\nX.Client.Id: forged\r\nX-Forwarded-For: forged\r\n\
                  x_forwarded_for: forged\r\nForwarded: for=forged\r\nX-Real-IP: forged\r\nX-Missing: forged\r\n\
                  X-Forwarded-User: forged\r\n";
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
fn prefix_is_stripped_and_the_query_kept() {
    let test_bed = test_bed();
    for (sent, forwarded) in [
        ("/api/v1/things?a=b", "/things?a=b"),
        ("/api/v1", "/"),
        ("/api/v1/", "/"),
        ("/api/v%31/x", "/x"),
    ] {
        assert_eq!(get_status(&test_bed, sent, ""), 200);
        assert_eq!(test_bed.last().target, forwarded, "{sent}");
    }
}

#[test]
fn token_is_forwarded_unless_stripped() {
    let test_bed = test_bed();
    let token = test_bed.token("");
    assert_eq!(test_bed.get("/kept", Some(&token)).status, 200);
    assert_eq!(
        test_bed.last().header("authorization"),
        [format!("Bearer {token}")]
    );
}

#[test]
fn bodies_of_either_framing_are_forwarded_in_both_directions() {
    let test_bed = test_bed();
    test_bed.upstream.script(|received| {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        Reply::Raw(
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}").into_bytes(),
        )
    });
    let mut connection = Connection::open(test_bed.address);
    for request in [
        "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
            .to_owned(),
        // A body is unusual with these methods, but it is forwarded.
        "GET /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "DELETE /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
    ] {
        let response = connection.ask(request);
        assert_eq!((response.status, response.complete, response.text()), (200, true, "hello".to_owned()));
    }
    assert_eq!(
        test_bed.upstream.connections(),
        1,
        "these requests and the readiness request share one connection"
    );
}

#[test]
fn trailers_are_forwarded_in_both_directions() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
                .to_vec(),
        )
    });
    let response = send(
        test_bed.address,
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Check\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Check: 7\r\n\r\n",
    );
    assert!(response.complete);
    assert_eq!(response.header("trailer x-sum"), Some("1"));
    assert_eq!(test_bed.last().header("trailer x-check"), ["7"]);
}

#[test]
fn r39_trailers_cannot_set_protected_headers() {
    let test_bed = test_bed();
    let names = [
        "X-Client-Id",
        "x_client_id",
        "X-Forwarded-For",
        "Authorization",
        "Host",
        "Content-Length",
        "X-Check",
    ];
    let trailers: String = names
        .iter()
        .map(|name| format!("{name}: forged\r\n"))
        .collect();
    let response = send(
        test_bed.address,
        format!(
            "POST /open/x HTTP/1.1\r\nHost: a\r\nTrailer: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\n{trailers}\r\n",
            names.join(", ")
        ),
    );
    assert_eq!(response.status, 200);
    let received = test_bed.last();
    let forged: Vec<_> = received
        .headers
        .iter()
        .filter(|(_, value)| value == "forged")
        .collect();
    assert_eq!(forged.len(), 1, "{forged:?}");
    assert_eq!(received.header("trailer x-check"), ["forged"]);
}

#[test]
fn interim_responses_are_forwarded_before_the_final_one() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::InPieces(vec![
            b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nConnection: x\r\n\r\n".to_vec(),
            b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        ])
    });
    let mut connection = Connection::open(test_bed.address);
    for _ in 0..3 {
        connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut next = || connection.try_read(false).expect("a response");
        let hints = next();
        assert_eq!(
            (
                hints.status,
                hints.header("link"),
                hints.header("connection")
            ),
            (103, Some("</style.css>"), None)
        );
        assert_eq!([next().status, next().status], [102, 200]);
    }
    test_bed.upstream.script(|_| {
        Reply::Raw(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        )
    });
    // Interim and final response in one write, and two pipelined requests.
    connection
        .write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let statuses: Vec<_> = (0..4)
        .filter_map(|_| Some(connection.try_read(false)?.status))
        .collect();
    assert_eq!(statuses, [103, 200, 103, 200]);
    let http10 = send(test_bed.address, "GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((http10.status, http10.text()), (200, "ok".to_owned()));
    assert_eq!(test_bed.last().version, "HTTP/1.1");
}

#[test]
fn interim_responses_have_no_length() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        let interim =
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::Raw(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").into_bytes())
    });
    let mut connection = Connection::open(test_bed.address);
    connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = connection.try_read(false).expect("a response");
    assert_eq!((hints.status, hints.header("link")), (103, Some("</x>")));
    for name in ["content-length", "transfer-encoding"] {
        assert_eq!(
            hints.header(name),
            None,
            "{name} (RFC 9110 §8.6, RFC 9112 §6.1)"
        );
    }
    assert_eq!(connection.read(false).text(), "ok");
}

#[test]
fn bodiless_response_with_framing_closes_the_upstream_connection() {
    for (status, lines, is_kept) in [
        (204, "", true),
        (204, "Content-Length: 0\r\n", true),
        (204, "Content-Length: 4\r\n", false),
        (204, "Transfer-Encoding: chunked\r\n", false),
        (304, "Content-Length: 4\r\n", true),
        (304, "Transfer-Encoding: chunked\r\n", false),
    ] {
        let test_bed = test_bed();
        test_bed.upstream.script(move |_| {
            Reply::Raw(format!("HTTP/1.1 {status} X\r\n{lines}\r\n").into_bytes())
        });
        let before = test_bed.upstream.connections();
        for _ in 0..3 {
            let response = send(test_bed.address, "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(
                (response.status, response.header("transfer-encoding")),
                (status, None),
                "{lines:?}"
            );
            assert!(
                status == 304 || response.header("content-length").is_none(),
                "{lines:?} (RFC 9110 §8.6)"
            );
        }
        let more = test_bed.upstream.connections() - before;
        assert_eq!(
            more < 2,
            is_kept,
            "{status} {lines:?}: {more} more connections"
        );
    }
}

#[test]
fn reason_phrase_outside_ascii_is_forwarded_unchanged() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::Raw(b"HTTP/1.1 404 Nicht verf\xfcgbar\r\nContent-Length: 2\r\n\r\nno".to_vec())
    });
    let mut connection = Connection::open(test_bed.address);
    connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut response = Vec::new();
    std::io::Read::read_to_end(&mut connection.clone_socket(), &mut response).expect("an end");
    assert!(
        response.starts_with(b"HTTP/1.1 404 Nicht verf\xfcgbar\r\n"),
        "{:?}",
        String::from_utf8_lossy(&response)
    );
}

#[test]
fn bodiless_responses_keep_their_connection() {
    let test_bed = test_bed();
    let mut connection = Connection::open(test_bed.address);
    for status in [204, 304] {
        test_bed.upstream.script(move |_| Reply::status(status));
        let response = connection.ask("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            (response.status, response.header("transfer-encoding")),
            (status, None)
        );
    }
    test_bed.upstream.script(|_| Reply::text("hello"));
    let head = connection.ask("HEAD /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("5"))
    );
    assert_eq!(
        connection
            .ask("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
            .text(),
        "hello"
    );
    assert_eq!(test_bed.upstream.connections(), 1);
}

#[test]
fn request_with_expect_is_refused_before_its_body() {
    let test_bed = test_bed();
    let mut connection = Connection::open(test_bed.address);
    let head = "POST /kept HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";
    connection.write(format!("{head}\r\n"));
    assert_eq!(
        connection.try_read(false).map(|response| response.status),
        Some(401)
    );
    assert_eq!(test_bed.hits(), 0);

    let mut connection = Connection::open(test_bed.address);
    connection.write(format!(
        "{head}Authorization: Bearer {}\r\n\r\n",
        test_bed.token("")
    ));
    assert_eq!(
        connection.try_read(false).map(|response| response.status),
        Some(100)
    );
    connection.write("hello");
    assert_eq!(connection.read(false).status, 200);
    assert_eq!(test_bed.last().body, b"hello");
    assert!(test_bed.last().header("expect").is_empty());
}

#[test]
fn host_is_passed_on_or_replaced_as_configured() {
    for (host, expected) in [
        ("pass", None),
        ("target", Some("")),
        ("inner.test", Some("inner.test")),
    ] {
        let test_bed = TestBed::toml("", "", &format!("host = \"{host}\""), ROUTES);
        assert_eq!(get_status(&test_bed, "/open/x", ""), 200);
        let target = test_bed.upstream.address.to_string();
        let expected = expected.map_or(
            "api.test",
            |name| if name.is_empty() { &target } else { name },
        );
        assert_eq!(test_bed.last().header("host"), [expected]);
        assert_eq!(test_bed.last().header("x-forwarded-host"), ["api.test"]);
    }
}

#[test]
fn forwarding_headers_of_trusted_proxies_are_used() {
    let server = "[server]\ntrusted_proxies = \"127.0.0.0/8\"\n";
    let test_bed = TestBed::toml(server, "", "", ROUTES);
    let lines = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example.com\r\n";
    assert_eq!(get_status(&test_bed, "/open/x", lines), 200);
    let received = test_bed.last();
    assert_eq!(
        received.header("x-forwarded-for"),
        ["203.0.113.9, 127.0.0.1"]
    );
    assert_eq!(received.header("x-forwarded-proto"), ["https"]);
    assert_eq!(
        received.header("forwarded"),
        ["for=127.0.0.1;host=\"api.example.com\";proto=https"]
    );
}

#[test]
fn forwarding_headers_are_used_up_to_the_first_malformed_element() {
    let server = "[server]\ntrusted_proxies = \"127.0.0.0/8\"\n";
    let test_bed = TestBed::toml(server, "", "", ROUTES);
    let lines = "X-Forwarded-For: 192.0.2.1, <script>, 203.0.113.9\r\nX-Forwarded-Proto: javascript\r\n\
                 X-Forwarded-Host: a\"b\r\nForwarded: for=192.0.2.1, for=<script>, for=203.0.113.9;proto=https\r\n";
    assert_eq!(get_status(&test_bed, "/open/x", lines), 200);
    let received = test_bed.last();
    assert_eq!(
        received.header("x-forwarded-for"),
        ["203.0.113.9, 127.0.0.1"]
    );
    assert_eq!(received.header("x-forwarded-proto"), ["http"]);
    assert_eq!(received.header("x-forwarded-host"), ["api.test"]);
    let forwarded = "for=203.0.113.9;proto=https, for=127.0.0.1;host=\"api.test\";proto=http";
    assert_eq!(received.header("forwarded"), [forwarded]);
    // With two lines, the last one is the trusted proxy's.
    let lines = "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n\
                 X-Forwarded-For: unknown\r\nX-Forwarded-For: 203.0.113.9\r\n";
    assert_eq!(get_status(&test_bed, "/open/x", lines), 200);
    assert_eq!(test_bed.last().header("x-forwarded-proto"), ["http"]);
    assert_eq!(
        test_bed.last().header("x-forwarded-for"),
        ["203.0.113.9, 127.0.0.1"]
    );
}

#[test]
fn round_robin_skips_an_unreachable_target() {
    let (one, two) = (
        Server::start(|_| Reply::text("one")),
        Server::start(|_| Reply::text("two")),
    );
    let unreachable = { Server::start(|_| Reply::text("stopped")).address };
    let gateway = harness::Gateway::start(&format!(
        "[upstreams.up]\ntargets = [\"http://{}\", \"http://{}\", \"http://{unreachable}\"]\nbalance = \"round_robin\"\n\
         [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n",
        one.address, two.address
    ));
    eventually("nothing listens on the port", || {
        std::net::TcpStream::connect(unreachable).is_err()
    });
    let mut connection = Connection::open(gateway.address);
    for _ in 0..30 {
        assert_eq!(
            connection.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
    }
    assert!(
        one.hits() >= 10 && two.hits() >= 10,
        "{} and {}",
        one.hits(),
        two.hits()
    );
}

#[test]
fn upstream_without_a_usable_target_is_a_503() {
    let unreachable = { Server::start(|_| Reply::text("stopped")).address };
    let gateway = harness::Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{unreachable}\"\nretries = 0\n\
         [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
    ));
    eventually("nothing listens on the port", || {
        std::net::TcpStream::connect(unreachable).is_err()
    });
    let status = || send(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status;
    assert_eq!(
        [status(), status(), status(), status()],
        [502, 502, 502, 503]
    );
    let restarted = Server::start_at(&unreachable.to_string(), |_| Reply::text("back"));
    eventually("the target is tried again", || status() == 200);
    assert!(restarted.hits() > 0);
}

#[test]
fn events_are_forwarded_without_delay() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::RawThenHang(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n".to_vec(),
        )
    });
    let mut connection = Connection::open(test_bed.address);
    connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        connection.reads_until("data: 1"),
        "the first event is held back"
    );
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

#[test]
fn large_upload_and_slow_response_are_streamed() {
    let test_bed = test_bed();
    test_bed.upstream.script(|received| {
        Reply::Trickle(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{:08}",
                received.body.len()
            )
            .into_bytes(),
            Duration::from_millis(1),
        )
    });
    let size = 32 * 1024 * 1024;
    let mut connection = Connection::open(test_bed.address);
    connection.write(format!(
        "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    ));
    for _ in 0..32 {
        connection.write(vec![b'x'; 1024 * 1024]);
    }
    assert_eq!(connection.read(false).text(), format!("{size:08}"));
}
