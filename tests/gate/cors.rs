//! Preflights, and the CORS headers of every response (Fetch standard, "CORS protocol").

mod second_opinion;

use harness::{
    Authority, Gateway, Issuer, Key, Reply, Response, Server, TestBed, eventually, send,
};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method};

const APP: &str = "https://app.example.com";
const CORS: [&str; 7] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-allow-private-network",
];

struct Bed {
    _issuer: Issuer,
    upstream: Server,
    gateway: Gateway,
    sufficient: String,
    insufficient: String,
}

impl Bed {
    fn start(cors: &str, routes: &str) -> Self {
        let key = Key::es256("first");
        let issuer = Issuer::start(&[&key]);
        // The upstream has a policy of its own, which must never show.
        let upstream = Server::start(|_| {
            Reply::new(
                200,
                &[
                    ("Access-Control-Allow-Origin", "*"),
                    ("Access-Control-Allow-Credentials", "true"),
                    ("Access-Control-Expose-Headers", "X-Internal"),
                    ("Vary", "Accept-Encoding"),
                ],
                "hello",
            )
        });
        let gateway = Gateway::start(&format!(
            "{cors}[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
             [upstreams.up]\ntargets = \"http://{}\"\n\
             [upstreams.down]\ntargets = \"http://127.0.0.1:1\"\n{routes}",
            issuer.url, upstream.address,
        ));
        let bed = Self {
            sufficient: key.token(&issuer.claims("read")),
            insufficient: key.token(&issuer.claims("other")),
            _issuer: issuer,
            upstream,
            gateway,
        };
        if routes.contains("/things/{id}") {
            let authorization = format!("Authorization: Bearer {}\r\n", bed.sufficient);
            eventually("the JWKS is fetched", || {
                bed.send("GET", "/things/7", &authorization).status == 200
            });
            bed.upstream.clear_received();
        }
        bed
    }

    fn send(&self, method: &str, path: &str, lines: &str) -> Response {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        send(self.gateway.address, request)
    }

    fn preflight(&self, path: &str, origin: &str, method: &str) -> Response {
        let lines = format!("Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n");
        self.send("OPTIONS", path, &lines)
    }
}

fn cors_headers(response: &Response) -> Vec<(String, String)> {
    response
        .headers
        .iter()
        .filter(|(name, _)| CORS.contains(&name.to_ascii_lowercase().as_str()))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect()
}

const ROUTES: &str = "[[routes]]\npath = \"/things/{id}\"\nmethods = [\"GET\"]\nscope = \"read\"\nupstream = \"up\"\n\
     [[routes]]\npath = \"/things/{id}\"\nmethods = [\"PUT\", \"DELETE\"]\nscope = \"write\"\nupstream = \"up\"\n\
     [[routes]]\npath = \"/down\"\npublic = true\nupstream = \"down\"\n\
     [[routes]]\npath = \"/any\"\npublic = true\nupstream = \"up\"\n\
     [[routes]]\npath = \"/own\"\npublic = true\ncors = false\nupstream = \"up\"\n";

const GLOBAL: &str = "[cors]\norigins = [\"https://app.example.com\", \"https://*.example.org\"]\n";

#[test]
fn preflight_gets_a_response_without_a_token_and_is_never_forwarded() {
    let bed = Bed::start(GLOBAL, ROUTES);
    let response = bed.preflight("/things/7", APP, "PUT");
    assert_eq!(response.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", APP),
        ("access-control-allow-methods", "GET, HEAD, PUT, DELETE"),
        (
            "access-control-allow-headers",
            "Authorization, Content-Type",
        ),
        ("access-control-max-age", "7200"),
        ("vary", "Origin"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    assert_eq!(response.header("access-control-allow-credentials"), None);
    // A method that is not allowed is no error: the list omits it.
    let other = bed.preflight("/things/7", APP, "PATCH");
    assert_eq!(
        (other.status, other.header("access-control-allow-methods")),
        (204, Some("GET, HEAD, PUT, DELETE"))
    );
    // A route for all methods also lists the requested one.
    let any = bed.preflight("/any", "https://a.b.example.org", "PURGE");
    assert_eq!(
        any.header("access-control-allow-methods"),
        Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, PURGE")
    );
    // A path without a route: the script may read the 404 that follows.
    assert_eq!(bed.preflight("/nowhere", APP, "GET").status, 204);
    assert_eq!(bed.upstream.hits(), 0);
}

#[test]
fn preflight_of_a_foreign_origin_is_refused_without_cors_headers() {
    let bed = Bed::start(GLOBAL, ROUTES);
    for origin in [
        "https://evil.test",
        "null",
        "https://example.org",
        "http://app.example.com",
        "https://app.example.com.evil.test",
        "https://app.example.com\r\nOrigin: https://app.example.com",
    ] {
        let response = bed.preflight("/things/7", origin, "GET");
        assert_eq!(
            (
                response.status,
                cors_headers(&response),
                response.challenge()
            ),
            (403, Vec::new(), None),
            "{origin}"
        );
        assert_eq!(response.header("vary"), Some("Origin"), "{origin}");
    }
    assert_eq!(bed.upstream.hits(), 0);
}

#[test]
fn refused_origin_is_in_the_log_quoted_and_truncated() {
    let routes = "[cors]\norigins = \"https://app.example.com\"\n\
                  [[routes]]\npath = \"/a\"\npublic = true\nupstream = \"up\"\n\
                  [[routes]]\npath = \"/cookie\"\nupstream = \"up\"\ntoken_from = { cookie = \"at\" }\n";
    let test_bed = TestBed::routes(routes);
    let long = "x".repeat(90);
    let cause = |request: &str| {
        let before = test_bed.requests.lines().len();
        assert_eq!(send(test_bed.address, request).status, 403, "{request}");
        eventually("the request is logged", || {
            test_bed.requests.lines().len() > before
        });
        let line = test_bed.requests.lines().pop().expect("a line");
        assert_eq!(line["reason"], "origin_not_allowed", "{line}");
        line["cause"].as_str().expect("a cause").to_owned()
    };
    for (origin, found) in [
        ("https://evil.test", "\"https://evil.test\"".to_owned()),
        ("null", "\"null\"".to_owned()),
        ("a\"\u{202e}b", "\"a\\\"\\u{202e}b\"".to_owned()),
        (&long, format!("\"{}…\"", "x".repeat(80))),
        (
            "https://app.example.com\r\nOrigin: a",
            "several at once".to_owned(),
        ),
    ] {
        let preflight = format!(
            "OPTIONS /a HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\r\n"
        );
        assert_eq!(
            cause(&preflight),
            format!("expected an origin that cors allows, but found {found}")
        );
        let cookie = format!(
            "GET /cookie HTTP/1.1\r\nHost: a\r\nCookie: at=secret\r\nOrigin: {origin}\r\n\r\n"
        );
        let cause = cause(&cookie);
        assert!(
            cause.ends_with(&format!("found neither; the Origin is {found}")),
            "{cause}"
        );
        assert!(!cause.contains("secret"), "{cause}");
    }
    let cause = cause("GET /cookie HTTP/1.1\r\nHost: a\r\nCookie: at=secret\r\n\r\n");
    assert!(
        cause.ends_with("found neither; the Origin is missing"),
        "{cause}"
    );
}

#[test]
fn every_response_to_an_allowed_origin_has_exactly_one_set_of_headers() {
    let bed = Bed::start(GLOBAL, ROUTES);
    let (sufficient, insufficient) = (&bed.sufficient, &bed.insufficient);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let expose = "WWW-Authenticate, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy";
    let both = vec![
        ("access-control-allow-origin".to_owned(), APP.to_owned()),
        (
            "access-control-expose-headers".to_owned(),
            expose.to_owned(),
        ),
    ];
    for (method, path, authorization, status) in [
        ("GET", "/things/7", bearer(sufficient), 200),
        ("GET", "/things/7", String::new(), 401),
        ("GET", "/things/7", bearer("opaque"), 401),
        ("GET", "/things/7", bearer(insufficient), 403),
        ("GET", "/things/%zz", String::new(), 400),
        ("GET", "/nowhere", String::new(), 404),
        ("POST", "/things/7", String::new(), 405),
        ("GET", "/things/7", bearer(&"x".repeat(20_000)), 431),
        ("GET", "/down", String::new(), 502),
    ] {
        for (origin, expected) in [
            (Some(APP), &both),
            (Some("https://evil.test"), &Vec::new()),
            (Some("null"), &Vec::new()),
            (None, &Vec::new()),
        ] {
            let origin = origin.map_or_else(String::new, |origin| format!("Origin: {origin}\r\n"));
            let response = bed.send(method, path, &format!("{origin}{authorization}"));
            // An endpoint that refuses connections is ejected after a few of them.
            let is_down = path == "/down" && matches!(response.status, 502 | 503);
            assert!(is_down || response.status == status, "{path} {origin}");
            let mut found = cors_headers(&response);
            found.sort();
            assert_eq!(&found, expected, "{path} {status} {origin}");
            let vary: Vec<_> = response
                .headers
                .iter()
                .filter(|(name, value)| name.eq_ignore_ascii_case("vary") && value == "Origin")
                .collect();
            assert_eq!(vary.len(), 1, "{path} {status} {origin}");
        }
    }
}

#[test]
fn route_replaces_or_leaves_the_global_policy() {
    let own = "[[routes]]\npath = \"/partner\"\npublic = true\nupstream = \"up\"\n\
               cors = { origins = \"https://partner.test\", credentials = true, headers = \"*\", max_age = \"0s\", expose = [] }\n";
    let bed = Bed::start(GLOBAL, &format!("{ROUTES}{own}"));
    let response = bed.send(
        "OPTIONS",
        "/partner",
        "Origin: https://partner.test\r\nAccess-Control-Request-Method: GET\r\n\
         Access-Control-Request-Headers: x-tenant\r\nAccess-Control-Request-Private-Network: true\r\n",
    );
    for (name, value) in [
        ("access-control-allow-origin", Some("https://partner.test")),
        ("access-control-allow-credentials", Some("true")),
        ("access-control-allow-headers", Some("x-tenant")),
        ("access-control-max-age", Some("0")),
        ("access-control-expose-headers", None),
        ("access-control-allow-private-network", Some("true")),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
    assert_eq!(bed.preflight("/partner", APP, "GET").status, 403);
    // `cors = false`: the upstream handles its preflights itself, and its headers pass unchanged.
    let forwarded = bed.preflight("/own", "https://evil.test", "GET");
    assert_eq!(
        (
            forwarded.status,
            forwarded.header("access-control-allow-origin"),
            forwarded.header("vary"),
        ),
        (200, Some("*"), Some("Accept-Encoding"))
    );
    assert_eq!(bed.upstream.hits(), 1);
}

#[test]
fn any_origin_gets_an_asterisk_that_caches_may_share() {
    let bed = Bed::start("[cors]\norigins = \"*\"\n", ROUTES);
    // Without Origin too: a cache may keep that response, and give it to a page that sends one.
    let origins = [APP, "null"].map(|origin| format!("Origin: {origin}\r\n"));
    for origin in origins.into_iter().chain([String::new()]) {
        let response = bed.send("GET", "/any", &origin);
        assert_eq!(
            (
                response.status,
                response.header("access-control-allow-origin"),
                response.header("vary")
            ),
            (200, Some("*"), Some("Accept-Encoding")),
            "{origin}"
        );
    }
    let response = bed.send(
        "OPTIONS",
        "/any",
        "Origin: null\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Private-Network: true\r\n",
    );
    assert_eq!(
        response.header("access-control-allow-private-network"),
        None
    );
}

#[test]
fn options_without_a_requested_method_is_an_ordinary_request() {
    let bed = Bed::start(GLOBAL, ROUTES);
    let response = bed.send("OPTIONS", "/things/7", &format!("Origin: {APP}\r\n"));
    assert_eq!(response.status, 405);
    let response = bed.send("OPTIONS", "/any", "Access-Control-Request-Method: GET\r\n");
    assert_eq!((response.status, bed.upstream.hits()), (200, 1));
}

#[test]
fn without_cors_preflights_are_forwarded() {
    let bed = Bed::start(
        "",
        "[[routes]]\npath = \"/any\"\npublic = true\nupstream = \"up\"\n",
    );
    let response = bed.preflight("/any", APP, "GET");
    assert_eq!(
        (
            response.status,
            response.header("access-control-allow-origin")
        ),
        (200, Some("*"))
    );
}

#[test]
fn http2_has_the_same_headers() {
    let bed = Bed::start(GLOBAL, ROUTES);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = Client::builder()
            .tls_backend_preconfigured(Authority::generate().client_config(None))
            .http2_prior_knowledge()
            .no_proxy()
            .build()
            .expect("a client");
        let url = |path: &str| format!("http://{}{path}", bed.gateway.address);
        for (origin, status, allowed) in [
            (Some(APP), 204, true),
            (Some("https://evil.test"), 403, false),
            (Some("null"), 403, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                "access-control-request-method",
                HeaderValue::from_static("GET"),
            );
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_static(origin));
            }
            let response = client
                .request(Method::OPTIONS, url("/things/7"))
                .headers(headers)
                .send()
                .await
                .expect("a response");
            let found = response.headers().get("access-control-allow-origin");
            assert_eq!(
                (response.status().as_u16(), found.is_some()),
                (status, allowed),
                "{origin:?}"
            );
        }
        let refused = client
            .get(url("/things/7"))
            .header("origin", APP)
            .send()
            .await
            .expect("a response");
        let (status, headers) = (refused.status().as_u16(), refused.headers());
        assert_eq!(
            (status, headers["access-control-allow-origin"].as_bytes()),
            (401, APP.as_bytes())
        );
    });
}
