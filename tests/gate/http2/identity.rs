//! The identity of the client, forwarding headers and refusals over HTTP/2 (R39, R45).

use serde_json::json;

use super::client::{self, get};
use super::frame_connection::FrameConnection;
use super::frames::{HEADERS, WHOLE, block, frame, request};
use harness::{Authority, Gateway, Key, NOW, Reply, Server, TestBed, eventually, logged, send};

const ROUTES: &str = "
[[routes]]
path = \"/open/{*rest}\"
public = true
upstream = \"up\"
[[routes]]
path = \"/things\"
scope = \"read\"
upstream = \"up\"
[[routes]]
path = \"/claims\"
scope = \"read\"
upstream = \"up\"
forward_token = \"strip\"
claim_headers = { \"X-Client-Id\" = \"client_id\" }
";

#[test]
fn r39_forwarding_headers_are_set_and_forged_ones_removed() {
    let test_bed = TestBed::routes(ROUTES);
    let forged = [
        ("x-client-id", "forged"),
        ("x_client_id", "forged"),
        ("x.client.id", "forged"),
        ("x-forwarded-for", "forged"),
        ("x_forwarded_for", "forged"),
        ("x-forwarded-user", "forged"),
        ("forwarded", "for=forged"),
        ("x-real-ip", "forged"),
        ("x-http-method-override", "forged"),
    ];
    let bearer = format!("Bearer {}", test_bed.token("read"));
    let fields = [
        &request("GET", "/claims")[..],
        &forged,
        &[("authorization", &*bearer), ("via", "2.0 other")],
    ]
    .concat();
    assert_eq!(
        FrameConnection::open(test_bed.address, &[])
            .ask(&fields)
            .status,
        Some(200)
    );
    let received = test_bed.last();
    assert!(
        received
            .headers
            .iter()
            .all(|(_, value)| !value.contains("forged")),
        "{received:?}"
    );
    assert_eq!(received.header("x-client-id"), ["client-1"]);
    assert_eq!(received.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.header("x-forwarded-host"), ["api.test"]);
    assert_eq!(received.header("x-forwarded-proto"), ["http"]);
    assert_eq!(
        received.header("forwarded"),
        ["for=127.0.0.1;host=\"api.test\";proto=http"]
    );
    // RFC 9110 §7.6.3: each proxy adds the version of the message that it received.
    assert_eq!(received.header("via"), ["2.0 other", "2.0 scopegate"]);
    assert!(
        received.header("authorization").is_empty(),
        "forward_token = \"strip\""
    );
    let response = client::ask(test_bed.address, get("/open/x", None), b"", None);
    assert_eq!(response.header("via"), Some("1.1 scopegate"));
}

#[test]
fn http2_over_tls_is_forwarded_as_https() {
    let (authority, upstream) = (
        Authority::generate(),
        Server::start(|_| Reply::text("hello")),
    );
    let gateway = tls_gateway(&authority, "", &upstream);
    let mut connection = super::timeouts::connect_h2(&authority, gateway.addresses[1]);
    connection.send_preface(&[]);
    let response = connection.ask(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.test"),
        (":path", "/x"),
    ]);
    assert_eq!(
        (response.status, &*response.body),
        (Some(200), &b"hello"[..])
    );
    let received = &upstream.received()[0];
    assert_eq!(
        (received.header("x-forwarded-proto"), received.header("via")),
        (vec!["https"], vec!["2.0 scopegate"])
    );
}

/// A gateway whose second listener uses TLS as `a.test`.
pub(super) fn tls_gateway(authority: &Authority, server: &str, upstream: &Server) -> Gateway {
    let (certificate, key) = authority.server_files("a", "a.test");
    Gateway::start(&format!(
        "[server]\n{server}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        certificate.display(),
        key.display(),
        upstream.address
    ))
}

#[test]
fn r45_refusals_equal_those_over_http1() {
    let test_bed = TestBed::routes(ROUTES);
    let mut expired = test_bed.issuer.claims("read");
    expired["exp"] = json!(NOW - 1000);
    let expired = test_bed.key.token(&expired);
    let insufficient = test_bed.token("other");
    let forged = Key::es256("first").token(&test_bed.issuer.claims("read"));
    for (token, status, challenge) in [
        (None, 401, "Bearer"),
        (Some("opaque"), 401, "Bearer error=\"invalid_token\""),
        (Some("a b"), 400, "Bearer error=\"invalid_request\""),
        (Some(&*expired), 401, "Bearer error=\"invalid_token\""),
        (Some(&*forged), 401, "Bearer error=\"invalid_token\""),
        (
            Some(&*insufficient),
            403,
            "Bearer error=\"insufficient_scope\", scope=\"read\"",
        ),
    ] {
        let response = client::ask(test_bed.address, get("/things", token), b"", None);
        assert_eq!(
            (
                response.status.as_u16(),
                response.header("www-authenticate")
            ),
            (status, Some(challenge))
        );
        let over_http1 = test_bed.get("/things", token);
        assert_eq!(
            (over_http1.status, over_http1.challenge()),
            (status, Some(challenge))
        );
        assert_eq!(
            response.header("content-type"),
            over_http1.header("content-type")
        );
        assert_eq!(
            response.header("content-length"),
            over_http1.header("content-length")
        );
        assert_eq!(
            (response.body, response.error.is_some()),
            (over_http1.body, false)
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn two_authorization_fields_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let bearer = format!("Bearer {}", test_bed.token("read"));
    let twice = [("authorization", &*bearer), ("authorization", &*bearer)];
    let response = FrameConnection::open(test_bed.address, &[])
        .ask(&[&request("GET", "/things")[..], &twice].concat());
    assert_eq!((response.status, test_bed.hits()), (Some(400), 0));
}

#[test]
fn each_stream_of_a_connection_is_judged_by_its_own_token() {
    let test_bed = TestBed::routes(ROUTES);
    let mut expired = test_bed.issuer.claims("read");
    expired["exp"] = json!(NOW - 1000);
    let bearer = |token: String| Some(format!("Bearer {token}"));
    let judged = [
        (bearer(test_bed.token("read")), 200),
        (None, 401),
        (bearer(test_bed.token("other")), 403),
        (bearer(test_bed.key.token(&expired)), 401),
        (
            bearer(Key::es256("first").token(&test_bed.issuer.claims("read"))),
            401,
        ),
        (bearer(test_bed.token("read more")), 200),
    ];
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    // Several rounds: the cached token of the connection must not decide for the next request.
    for round in 0..6 {
        let mut frames = Vec::new();
        let mut expected = Vec::new();
        for place in 0..3 * judged.len() {
            let (authorization, status) = &judged[place * (round + 1) % judged.len()];
            let mut fields = request("GET", "/things");
            fields.extend(
                authorization
                    .as_deref()
                    .map(|bearer| ("authorization", bearer)),
            );
            let stream = connection.next_stream();
            frames.extend(frame(HEADERS, WHOLE, stream, block(&fields)));
            expected.push((stream, *status));
        }
        connection.write(frames);
        for (stream, status) in expected {
            assert_eq!(
                connection.response(stream).status,
                Some(status),
                "stream {stream} of round {round}"
            );
        }
    }
    let permitted = judged
        .iter()
        .filter(|(_, status)| *status == 200)
        .filter_map(|(bearer, _)| bearer.as_deref());
    let permitted: Vec<&str> = permitted.collect();
    assert!(test_bed.hits() > 0);
    for received in test_bed
        .upstream
        .received()
        .iter()
        .filter(|received| received.target == "/things")
    {
        assert!(
            permitted.contains(&received.header("authorization")[0]),
            "{received:?}"
        );
    }
}

#[test]
fn token_that_expires_on_an_open_connection_is_refused() {
    let test_bed = TestBed::toml("", "leeway = \"0s\"", "", ROUTES);
    let bearer = format!("Bearer {}", test_bed.token("read"));
    let fields = [
        &request("GET", "/things")[..],
        &[("authorization", &*bearer)],
    ]
    .concat();
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    assert_eq!(connection.ask(&fields).status, Some(200));
    test_bed.set_time(599);
    assert_eq!(connection.ask(&fields).status, Some(200));
    test_bed.set_time(601);
    assert_eq!(connection.ask(&fields).status, Some(401));
}

#[test]
fn r45_token_is_in_no_log() {
    let upstream = super::frame_upstream::FrameUpstream::start(&[], |connection, call| {
        connection.write(super::frame_upstream::whole_response(call.stream, b""))
    });
    let test_bed = super::frame_upstream::test_bed("", &upstream, "", "scope = \"canary\"");
    let mut claims = test_bed.issuer.claims("canary");
    claims["jti"] = json!("over HTTP/2");
    let token = test_bed.key.token(&claims);
    let forged = Key::es256("first").token(&claims);
    for (token, status) in [(&token, 200), (&forged, 401)] {
        assert_eq!(
            client::ask(test_bed.address, get("/x", Some(token)), b"", None).status,
            status
        );
        let request =
            format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        assert_eq!(send(test_bed.address, request).status, status);
    }
    // Malformed, so that the HTTP/2 library logs it.
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let bearer = format!("Bearer {token}");
    let fields = [
        &request("GET", "/x")[..],
        &[("authorization", &*bearer), ("connection", "close")],
    ]
    .concat();
    assert!(connection.ask(&fields).is_refusal());
    eventually("the requests are logged", || logged("\"decision\""));
    for token in [&token, &forged] {
        // Neither the claims nor the beginning of the signature.
        let pieces: Vec<&str> = token.split('.').collect();
        assert!(
            !logged(pieces[1]) && !logged(&pieces[2][..20]),
            "a token is in the log"
        );
    }
}
