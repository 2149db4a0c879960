//! A listener that redirects to https, and serves no route.

use harness::{Authority, Connection, Gateway, Reply, Response, Server, eventually, send};

/// Listeners after the plain one of the harness: one that redirects, and one with TLS.
fn toml(server: &str, redirecting: &str, authority: &Authority, upstream: &Server) -> String {
    let (certificate, key) = authority.server_files("a", "a.test");
    format!(
        "[server]\n{server}\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n{redirecting}\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n\
         [log]\npath = true\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        certificate.display(),
        key.display(),
        upstream.address
    )
}

struct Bed {
    gateway: Gateway,
    upstream: Server,
    authority: Authority,
}

impl Bed {
    fn start(server: &str) -> Self {
        let (authority, upstream) = (
            Authority::generate(),
            Server::start(|_| Reply::text("hello")),
        );
        let gateway = Gateway::start(&toml(server, REDIRECT, &authority, &upstream));
        Self {
            gateway,
            upstream,
            authority,
        }
    }

    fn ask(&self, request: &str) -> Response {
        send(self.gateway.addresses[1], request)
    }

    /// The port of the only TLS listener.
    fn tls_port(&self) -> u16 {
        self.gateway.addresses[2].port()
    }
}

const REDIRECT: &str = "redirect_to_https = true";

#[test]
fn every_request_is_redirected_to_the_tls_listener_and_none_is_forwarded() {
    let bed = Bed::start("");
    let port = bed.tls_port();
    for (request, location) in [
        ("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "api.test:PORT/"),
        (
            "HEAD /a?b=/c HTTP/1.1\r\nHost: API.test:8080\r\n\r\n",
            "api.test:PORT/a?b=/c",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: api.test.\r\nContent-Length: 1\r\n\r\nx",
            "api.test:PORT/a",
        ),
        ("GET /a HTTP/1.1\r\nHost: [0::1]:80\r\n\r\n", "[::1]:PORT/a"),
        (
            "GET /a HTTP/1.0\r\nHost: 10.0.0.1\r\n\r\n",
            "10.0.0.1:PORT/a",
        ),
        ("OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n", "a:PORT/a"),
        // What the routes would refuse is sent again, and refused there.
        (
            "GET /a/../%2E//b;c?%0d%0aX: HTTP/1.1\r\nHost: a\r\n\r\n",
            "a:PORT/a/../%2E//b;c?%0d%0aX:",
        ),
        // It stays on the host that the client names, whatever the path looks like.
        (
            "GET //evil.test HTTP/1.1\r\nHost: a\r\n\r\n",
            "a:PORT//evil.test",
        ),
        (
            "GET /\\evil.test/@evil.test HTTP/1.1\r\nHost: a\r\n\r\n",
            "a:PORT/\\evil.test/@evil.test",
        ),
        ("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", "a:PORT/b?c"),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "a:PORT/"),
        (
            "GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: evil.test\r\nForwarded: host=evil.test;proto=https\r\n\r\n",
            "a:PORT/a",
        ),
    ] {
        let response = bed.ask(request);
        let location = format!("https://{}", location.replace("PORT", &port.to_string()));
        assert_eq!(response.status, 308, "{request}");
        assert_eq!(response.header("location"), Some(&*location), "{request}");
        assert!(response.complete && response.body.is_empty(), "{request}");
    }
    assert_eq!(bed.upstream.hits(), 0);
    // The other plain listener serves the route.
    let request = "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n";
    assert_eq!(send(bed.gateway.address, request).status, 200);
}

#[test]
fn request_that_is_ambiguous_or_names_no_host_is_refused_without_a_location() {
    let bed = Bed::start("");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@evil.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:80@evil.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/evil.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:0x50\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
        ("GET http://evil.test/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ] {
        let response = bed.ask(request);
        assert_eq!(response.status, status, "{request}");
        assert_eq!(response.header("location"), None, "{request}");
    }
    // Neither a line nor a control character of a target gets into the response.
    for target in ["/a\rX: y", "/a\tb", "/a\u{1}"] {
        let mut connection = Connection::open(bed.gateway.addresses[1]);
        connection.write(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = connection.try_read(false);
        assert!(response.is_none_or(|one| one.status == 400), "{target:?}");
    }
    assert_eq!(bed.upstream.hits(), 0);
}

#[test]
fn external_url_is_where_the_redirect_leads() {
    let bed = Bed::start("external_url = \"https://api.example.com\"");
    let response = bed.ask("GET /a?b HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(response.status, 308);
    assert_eq!(
        response.header("location"),
        Some("https://api.example.com/a?b")
    );
    let response = bed.ask("GET /a?b HTTP/1.1\r\nHost: u@a\r\n\r\n");
    assert_eq!((response.status, response.header("location")), (400, None));
}

#[test]
fn http2_without_tls_is_redirected_too() {
    let bed = Bed::start("");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let url = format!("http://{}/a?b=c", bed.gateway.addresses[1]);
    let response = runtime.block_on(async {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(bed.authority.client_config(None))
            .http2_prior_knowledge()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        client.post(url).body("x").send().await.expect("a response")
    });
    assert_eq!(response.status(), 308);
    let location = format!("https://127.0.0.1:{}/a?b=c", bed.tls_port());
    assert_eq!(response.headers()["location"], location);
    assert_eq!(bed.upstream.hits(), 0);
}

#[test]
fn redirect_is_logged_without_the_token_that_came_in_the_clear() {
    let bed = Bed::start("response_headers = { set = { \"X-Frame-Options\" = \"DENY\" } }");
    let response = bed.ask(
        "GET /a?access_token=s3cret HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n\r\n",
    );
    assert_eq!(response.header("x-frame-options"), Some("DENY"));
    assert!(response.header("x-request-id").is_some());
    eventually("the request is logged", || {
        !bed.gateway.requests.lines().is_empty()
    });
    let lines = bed.gateway.requests.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["status"], 308);
    assert_eq!(lines[0]["decision"], "replied");
    assert_eq!(lines[0]["path"], "/a");
    assert_eq!(lines[0]["upstream"], serde_json::Value::Null);
    assert!(!bed.gateway.requests.text().contains("s3cret"));
    assert!(!harness::logged("s3cret"));
}

#[test]
fn reload_switches_the_redirect_for_new_connections() {
    let bed = Bed::start("");
    let request = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let reload = |server: &str, redirecting: &str| {
        let text = toml(server, redirecting, &bed.authority, &bed.upstream);
        bed.gateway.reload(&text).expect("a good file");
    };
    assert_eq!(bed.ask(request).status, 308);
    reload("", "");
    assert_eq!(bed.ask(request).status, 200);
    reload("", REDIRECT);
    let location = format!("https://a:{}/a", bed.tls_port());
    assert_eq!(bed.ask(request).header("location"), Some(&*location));
    reload("external_url = \"https://b.test:8443\"", REDIRECT);
    assert_eq!(
        bed.ask(request).header("location"),
        Some("https://b.test:8443/a")
    );
}
