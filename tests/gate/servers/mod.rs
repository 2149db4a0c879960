//! Five commercial authorization servers, each emulated on the wire, with its configuration in
//! `examples`.
//!
//! The products cannot run here. The emulations follow their documentation and published reports;
//! each has quirks that its example configuration must handle.

mod aidbox;
mod authorization_server;
mod curity;
mod forgerock;
mod mobilefirst;
mod quirks;
mod vendors;
mod wso2;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use authorization_server::{AuthorizationServer, GATEWAY_SECRET};
use harness::{Gateway, Key, Reply, Response, Server, eventually, send};
use vendors::{Kind, TokenRequest, VENDORS, Vendor};

const INVALID: Option<&str> = Some("Bearer error=\"invalid_token\"");

/// A running authorization server with its gateway.
struct TestBed<'v> {
    vendor: &'v Vendor,
    authorization_server: Arc<AuthorizationServer>,
    server: Server,
    upstream: Server,
    gateway: Gateway,
}

impl<'v> TestBed<'v> {
    /// Starts it with its example configuration; only the addresses and the secret are replaced.
    fn start(vendor: &'v Vendor) -> Self {
        let authorization_server = Arc::new(AuthorizationServer::new(Key::rsa(
            vendor.key.0,
            vendor.key.1,
        )));
        let server = Server::start(|_| Reply::status(503));
        let upstream = Server::start(|_| Reply::text("hello"));
        let url = format!("http://{}", server.address);
        server.script({
            let (authorization_server, url, reply) =
                (Arc::clone(&authorization_server), url.clone(), vendor.reply);
            move |request| reply(&authorization_server, &url, request)
        });
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{}.toml", vendor.name));
        let example = std::fs::read_to_string(file).expect("an example");
        let listen = "listen = \"127.0.0.1:8080\"\n";
        for text in [
            vendor.base,
            "http://127.0.0.1:9000",
            "{ env = \"GATEWAY_SECRET\" }",
            listen,
        ] {
            assert!(example.contains(text), "{}.toml has no {text}", vendor.name);
        }
        let toml = example
            .replace(vendor.base, &url)
            .replace(
                "http://127.0.0.1:9000",
                &format!("http://{}", upstream.address),
            )
            .replace(
                "{ env = \"GATEWAY_SECRET\" }",
                &format!("{GATEWAY_SECRET:?}"),
            )
            .replace(listen, "");
        let test_bed = Self {
            vendor,
            authorization_server,
            server,
            upstream,
            gateway: Gateway::start(&toml),
        };
        eventually("the JWKS is fetched", || {
            let token = test_bed.token(vendor.kinds[0], vendor.scope);
            test_bed.status(&token) == 200
        });
        test_bed
    }

    fn token(&self, kind: Kind, scope: &str) -> String {
        (self.vendor.ask)(
            self.server.address,
            &TokenRequest {
                kind,
                scope,
                for_another: false,
            },
        )
    }

    fn ask(&self, token: Option<&str>) -> Response {
        let authorization = token
            .map(|token| format!("Authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        let Vendor { method, path, .. } = self.vendor;
        send(
            self.gateway.address,
            format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\n{authorization}Content-Length: 0\r\n\r\n"
            ),
        )
    }

    fn status(&self, token: &str) -> u16 {
        self.ask(Some(token)).status
    }

    fn set_time(&self, seconds: i64) {
        self.authorization_server.set_time(seconds);
        self.gateway.set_time(seconds);
    }

    /// Status and relevant headers of the response, in one line.
    ///
    /// Says so if the request reached the upstream without a 200, or the reverse.
    fn outcome(&self, token: Option<&str>) -> String {
        let hits = self.upstream.hits();
        let response = self.ask(token);
        let mut outcome = response.status.to_string();
        for name in ["www-authenticate", "retry-after"] {
            if let Some(value) = response.header(name) {
                write!(outcome, " {name}: {value}").expect("a string");
            }
        }
        if (self.upstream.hits() > hits) != (response.status == 200) {
            outcome.push_str(" and the upstream was reached");
        }
        outcome
    }
}

/// Runs every scenario; returns its name, the outcome and the expected outcome.
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn outcomes(test_bed: &TestBed<'_>, kind: Kind) -> Vec<(&'static str, String, String)> {
    let Vendor {
        scope,
        wildcard,
        ask,
        revoke,
        expired_after,
        ..
    } = *test_bed.vendor;
    let invalid = "401 www-authenticate: Bearer error=\"invalid_token\"".to_owned();
    let mut outcomes = Vec::new();
    outcomes.push((
        "no token",
        test_bed.outcome(None),
        "401 www-authenticate: Bearer".to_owned(),
    ));

    let valid = test_bed.token(kind, scope);
    outcomes.push(("valid", test_bed.outcome(Some(&valid)), "200".to_owned()));

    // A client that does not know the scope learns it from the 403.
    let narrow = test_bed.token(kind, "");
    let insufficient =
        format!("403 www-authenticate: Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    outcomes.push((
        "too little scope",
        test_bed.outcome(Some(&narrow)),
        insufficient,
    ));

    let wide = test_bed.token(kind, wildcard);
    outcomes.push((
        "wildcard scope",
        test_bed.outcome(Some(&wide)),
        "200".to_owned(),
    ));

    let foreign = ask(
        test_bed.server.address,
        &TokenRequest {
            kind,
            scope,
            for_another: true,
        },
    );
    outcomes.push((
        "wrong audience",
        test_bed.outcome(Some(&foreign)),
        invalid.clone(),
    ));

    let revoked = test_bed.token(kind, scope);
    revoke(
        &test_bed.authorization_server,
        test_bed.server.address,
        &revoked,
    );
    outcomes.push(("revoked", test_bed.outcome(Some(&revoked)), invalid.clone()));

    // A cached token that is revoked is refused after cache_ttl.
    revoke(
        &test_bed.authorization_server,
        test_bed.server.address,
        &valid,
    );
    test_bed.set_time(60);
    outcomes.push((
        "revoked while cached, after 60 s",
        test_bed.outcome(Some(&valid)),
        invalid.clone(),
    ));

    test_bed.set_time(expired_after);
    outcomes.push((
        "expired while cached",
        test_bed.outcome(Some(&wide)),
        invalid.clone(),
    ));
    test_bed.set_time(0);
    let unused = test_bed.token(kind, scope);
    test_bed.set_time(expired_after);
    outcomes.push(("expired", test_bed.outcome(Some(&unused)), invalid));
    test_bed.set_time(0);

    let (cached, fresh) = (test_bed.token(kind, scope), test_bed.token(kind, scope));
    assert_eq!(test_bed.status(&cached), 200);
    test_bed.server.script(|_| Reply::RawThenClose(Vec::new()));
    outcomes.push((
        "server down",
        test_bed.outcome(Some(&fresh)),
        "503 retry-after: 5".to_owned(),
    ));
    outcomes.push((
        "server down, token cached",
        test_bed.outcome(Some(&cached)),
        "200".to_owned(),
    ));
    outcomes
}

#[test]
fn every_server_and_token_kind_passes_every_scenario() {
    let (mut count, mut failures) = (0, String::new());
    for vendor in &VENDORS {
        for &kind in vendor.kinds {
            let test_bed = TestBed::start(vendor);
            for (scenario, found, expected) in outcomes(&test_bed, kind) {
                count += 1;
                if found != expected {
                    writeln!(
                        failures,
                        "{} {kind:?}, {scenario}: expected {expected}, but found {found}",
                        vendor.name
                    )
                    .expect("a string");
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert_eq!(count, 9 * 11);
}

/// Sends a form, with Basic credentials if there are any.
fn post(
    base: SocketAddr,
    path: &str,
    client: Option<(&str, &str)>,
    form: &[(&str, &str)],
) -> Response {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let authorization = client.map(|(id, secret)| {
        format!(
            "Authorization: Basic {}\r\n",
            STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)))
        )
    });
    send(
        base,
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\n{}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             \r\n{body}",
            authorization.unwrap_or_default(),
            body.len()
        ),
    )
}

fn token_by_basic(
    base: SocketAddr,
    path: &str,
    request: &TokenRequest<'_>,
    token_type: &str,
) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", request.scope),
    ];
    access_token(&post(base, path, Some(request.client()), &form), token_type)
}

fn access_token(response: &Response, token_type: &str) -> String {
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(
        (response.status, &body["token_type"]),
        (200, &json!(token_type)),
        "{body}"
    );
    body["access_token"].as_str().expect("a token").to_owned()
}
