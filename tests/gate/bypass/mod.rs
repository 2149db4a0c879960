//! Searches for requests that reach a resource without the scope that it needs (R39-R41).
//!
//! Generated requests pass a real gateway to an upstream that judges each arrival. It reads the
//! request strictly, and in every way known of a lenient server. A bypass is a request that, in one
//! of these readings, is for a resource whose scope its token does not grant. A request that
//! differs from the one sent, or that no case sent, is a bypass too. Two gateways have the same
//! routes; one of them allows path parameters.
//!
//! `BYPASS_CASES` sets the number of cases, and `BYPASS_SEED` the seed:
//! `BYPASS_CASES=1000000 cargo test --release --test gate bypass -- --nocapture`

mod generator;
mod lenient;
mod oracle;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use generator::{Case, Random};
use oracle::{Needs, Resource};
use serde_json::json;

use harness::{Connection, Key, Reply, Server, claims, get};

/// The resources behind the gateway. The routes and the oracle are both derived from them.
const RESOURCES: [Resource; 28] = [
    Resource::new("", "/{*rest}", "", Needs::Nothing),
    Resource::new("", "/admin", "", Needs::Scope("admin")),
    Resource::new("", "/admin/{*rest}", "", Needs::Scope("admin")),
    Resource::new("", "/orders/{id}", "GET HEAD", Needs::Scope("orders.read")),
    Resource::new(
        "",
        "/orders/{id}",
        "POST DELETE",
        Needs::Scope("orders.write"),
    ),
    Resource::new("", "/orders/new", "", Needs::Scope("orders.create")),
    Resource::new(
        "",
        "/orders/{id}/items/{*rest}",
        "GET HEAD",
        Needs::Scope("orders.read items.read"),
    ),
    Resource::new("", "/Reports/{name}", "GET HEAD", Needs::Scope("reports")),
    Resource::new(
        "",
        "/tenants/{tenant}/files",
        "",
        Needs::Scope("tenant.{tenant}.read"),
    ),
    Resource::new("", "/me", "", Needs::AnyToken),
    Resource::new("", "/open/{*rest}", "", Needs::Nothing),
    Resource::new("", "/open/secret", "", Needs::Scope("secret")),
    Resource::new(
        "",
        "/open/{name}/keys",
        "GET HEAD PUT",
        Needs::Scope("keys"),
    ),
    Resource::new(
        "",
        "/files/{*rest}",
        "GET HEAD",
        Needs::AnyScope(&["files.read", "files.admin files.all"]),
    ),
    Resource::new("", "/files/{*rest}", "PUT", Needs::Scope("files.admin")),
    Resource::new(
        "admin.example.com",
        "/{*rest}",
        "",
        Needs::Scope("host.admin"),
    ),
    Resource::new("admin.example.com", "/health", "GET HEAD", Needs::Nothing),
    Resource::new(
        "*.example.com",
        "/{*rest}",
        "GET HEAD",
        Needs::Scope("host.any"),
    ),
    Resource::new("*.example.com", "/open/{*rest}", "", Needs::Nothing),
    Resource::new("stripped.test", "/v1/{*rest}", "", Needs::Scope("v1")),
    // A path that a lenient server reads as one of these is refused only if the other one needs
    // less.
    Resource::new("", "/users/{id}", "GET HEAD", Needs::AnyToken),
    Resource::new("", "/users/root", "", Needs::Scope("root")),
    Resource::new("", "/users/jane", "GET HEAD", Needs::AnyToken),
    Resource::new("", "/app", "", Needs::Scope("admin")),
    Resource::new("", "/app.js", "", Needs::Nothing),
    Resource::new("", "/login", "POST", Needs::Nothing),
    Resource::new("*.example.com", "/vault/{*rest}", "", Needs::Scope("vault")),
    Resource::new(
        "*.example.com",
        "/vault.d/{name}",
        "",
        Needs::Scope("host.any"),
    ),
];

/// The scopes of the tokens; the first token has none.
const GRANTS: [&str; 18] = [
    "",
    "admin",
    "orders.read",
    "orders.write",
    "orders.create",
    "orders.read items.read",
    "reports",
    "tenant.acme.read",
    "tenant.*.read",
    "secret",
    "keys files.read",
    "files.admin",
    "files.all files.admin",
    "host.admin",
    "host.any v1",
    "root",
    "vault",
    "*",
];

/// The results of the cases.
#[derive(Default)]
struct Tally {
    by_status: Mutex<BTreeMap<u16, usize>>,
    forwarded: Mutex<BTreeMap<&'static str, usize>>,
    bypasses: Mutex<Vec<String>>,
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn no_generated_request_bypasses_its_route() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (cases, seed) = (number("BYPASS_CASES", 20_000), number("BYPASS_SEED", 1));
    let began = std::time::Instant::now();

    let key = Key::es256("k");
    let tokens = GRANTS.map(|scope| key.token(&claims("https://issuer.test", scope)));
    let folder = tempfile::tempdir().expect("a folder");
    let jwks = folder.path().join("keys.json");
    std::fs::write(&jwks, json!({ "keys": [key.jwk()] }).to_string()).expect("a file");

    let (tally, sent) = (
        Arc::new(Tally::default()),
        Arc::new(Mutex::new(BTreeMap::new())),
    );
    let upstream = Server::start({
        let (tally, sent, tokens) = (Arc::clone(&tally), Arc::clone(&sent), tokens.clone());
        move |received| {
            let granted = |token: &str| {
                tokens
                    .iter()
                    .position(|known| known == token)
                    .map(|index| GRANTS[index])
            };
            match oracle::judge(&RESOURCES, received, granted, &sent) {
                Ok(resource) => {
                    *tally
                        .forwarded
                        .lock()
                        .expect("no panic")
                        .entry(resource)
                        .or_default() += 1
                }
                Err(bypass) => tally.bypasses.lock().expect("no panic").push(bypass),
            }
            Reply::text("served")
        }
    });
    let gateways = ["refuse", "allow"].map(|parameters| {
        let gateway = harness::Gateway::start(&toml(&upstream, &jwks, parameters));
        // The gateway has started once it responds; this request is no case.
        assert_eq!(get(gateway.address, "/me", None).status, 401);
        gateway
    });

    let (next, workers) = (AtomicUsize::new(0), 2);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= cases || !tally.bypasses.lock().expect("no panic").is_empty() {
                        return;
                    }
                    let case = Case::generate(index, &mut Random::new(seed, index), &tokens);
                    sent.lock().expect("no panic").insert(index, case.clone());
                    let status = send(gateways[index % 2].address, &case.bytes);
                    *tally
                        .by_status
                        .lock()
                        .expect("no panic")
                        .entry(status)
                        .or_default() += 1;
                    if index % 1000 == 999 {
                        upstream.clear_received();
                        // Old cases can no longer arrive; a request for one would count as never
                        // sent.
                        sent.lock()
                            .expect("no panic")
                            .retain(|known, _| known + 2000 > index);
                    }
                }
            });
        }
    });
    let bypasses = tally.bypasses.lock().expect("no panic");
    assert!(
        bypasses.is_empty(),
        "{} bypasses with seed {seed}, the first: {}",
        bypasses.len(),
        bypasses[0]
    );
    println!(
        "{cases} cases from seed {seed} in {:?}, 0 bypasses",
        began.elapsed()
    );
    assert_every_resource_and_status(&tally);
}

// A search that forwards nothing finds nothing.
fn assert_every_resource_and_status(tally: &Tally) {
    let (by_status, forwarded) = (
        tally.by_status.lock().expect("no panic"),
        tally.forwarded.lock().expect("no panic"),
    );
    println!("statuses {by_status:?}; {forwarded:?}");
    for resource in &RESOURCES {
        assert!(
            forwarded.contains_key(resource.path),
            "nothing was forwarded to {}",
            resource.path
        );
    }
    for status in [200, 400, 401, 403, 404, 405] {
        assert!(
            by_status.contains_key(&status),
            "no response was {status}: {by_status:?}"
        );
    }
    drop(by_status);
}

/// The status of the response; 0 if there was none.
fn send(address: SocketAddr, bytes: &[u8]) -> u16 {
    let mut connection = Connection::open(address);
    connection.try_write(bytes);
    loop {
        match connection.try_read(bytes.starts_with(b"HEAD ")) {
            Some(response) if response.status < 200 => {}
            Some(response) => return response.status,
            None => return 0,
        }
    }
}

fn toml(upstream: &Server, jwks: &std::path::Path, path_parameters: &str) -> String {
    let mut toml = format!(
        "[server]\nbody_idle_timeout = \"300ms\"\nheader_timeout = \"300ms\"\n\
         path_parameters = \"{path_parameters}\"\n\
         [issuers.corp]\nissuer = \"https://issuer.test\"\naudience = \"https://api.test\"\njwks_file = \"{}\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\npool_idle_timeout = \"60s\"\n",
        jwks.display(),
        upstream.address
    );
    for resource in &RESOURCES {
        toml.push_str(&resource.route());
    }
    toml
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn oracle_detects_every_kind_of_bypass() {
    let sent = Mutex::new(BTreeMap::new());
    let case = Case::plain(7, "/orders/7");
    sent.lock().expect("no panic").insert(7, case);
    let judge = |method: &str, target: &str, lines: &[(&str, &str)]| {
        let mut headers = vec![
            ("host".to_owned(), "a".to_owned()),
            ("x-case".to_owned(), "7".to_owned()),
        ];
        headers.extend(
            lines
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let received = harness::Received {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1".to_owned(),
            headers,
            body: Vec::new(),
        };
        oracle::judge(
            &RESOURCES,
            &received,
            |token| (token == "valid").then_some("orders.read"),
            &sent,
        )
    };
    let token = [("authorization", "Bearer valid")];
    assert_eq!(judge("GET", "/orders/7", &token), Ok("/orders/{id}"));
    for (target, resource) in [
        ("/users/jane.doe", "/users/{id}"),
        ("/app.js", "/app.js"),
        ("/login.css", "/{*rest}"),
        ("/orders/7.json", "/orders/{id}"),
    ] {
        sent.lock()
            .expect("no panic")
            .insert(7, Case::plain(7, target));
        assert_eq!(judge("GET", target, &token), Ok(resource));
    }
    // The sent case is the same, so that the difference from it is not what counts.
    let sent_as = |target: &str| {
        drop(
            sent.lock()
                .expect("no panic")
                .insert(7, Case::plain(7, target)),
        )
    };
    for (method, target, lines) in [
        ("GET", "/orders/7", &[][..]),
        ("GET", "/orders/7", &[("authorization", "Bearer invalid")]),
        ("DELETE", "/orders/7", &token),
        ("GET", "/admin", &token),
        ("GET", "/Admin", &token),
        ("GET", "/admin.", &token),
        ("GET", "/open/../admin", &token),
        ("GET", "/open/%2e%2e/admin", &token),
        ("GET", "/open/%252e%252e/admin", &token),
        ("GET", "/open/..%2fadmin", &token),
        ("GET", "/open%5c..%5cadmin", &token),
        ("GET", "/%61dmin", &token),
        ("GET", "/%2561dmin", &token),
        ("GET", "/open//secret", &token),
        ("GET", "/admin;x", &token),
        ("GET", "/admin%3fx", &token),
        ("GET", "/admin.json", &token),
        ("GET", "/admin%2ejson", &token),
        ("GET", "/admin::$DATA", &token),
        ("GET", "/admin%c2%a0", &token),
        ("GET", "/admin%e2%80%8b", &token),
        ("GET", "/%ef%bd%81dmin", &token),
        ("GET", "/app.css", &token),
        ("GET", "/users/root.json", &token),
        ("GET", "/open/..%23", &token),
        ("GET", "/open/..%3fx/admin", &token),
        ("GET", "/open%ef%bc%8f..%ef%bc%8fadmin", &token),
        (
            "GET",
            "/orders/7",
            &[
                ("authorization", "Bearer valid"),
                ("X_HTTP.Method-Override", "DELETE"),
            ],
        ),
        (
            "GET",
            "/orders/7",
            &[
                ("authorization", "Bearer valid"),
                ("X-Original-URL", "/admin"),
            ],
        ),
        (
            "GET",
            "/orders/7",
            &[("authorization", "Bearer valid"), ("x_client.id", "forged")],
        ),
        (
            "GET",
            "/orders/7",
            &[
                ("authorization", "Bearer valid"),
                ("authorization", "Bearer valid"),
            ],
        ),
        ("GET", "/orders/8", &token),
    ] {
        sent_as(if target == "/orders/8" {
            "/orders/7"
        } else {
            target
        });
        assert!(
            judge(method, target, lines).is_err(),
            "{method} {target} {lines:?}"
        );
    }
}
