//! Reloads: what changes, what is kept, and which files are rejected.

mod under_load;

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use scopegate::reload::Reloaded;

use harness::{
    Authority, Connection, Gateway, Issuer, Key, Reply, Server, TIMEOUT, eventually, get, logged,
};

/// An issuer and two upstreams, to which gateway.toml can refer.
struct Servers {
    key: Key,
    issuer: Issuer,
    upstreams: [Server; 2],
}

impl Servers {
    fn start() -> Self {
        let key = Key::es256("first");
        let issuer = Issuer::start(&[&key]);
        Self {
            key,
            issuer,
            upstreams: [
                Server::start(|_| Reply::text("one")),
                Server::start(|_| Reply::text("two")),
            ],
        }
    }

    /// A gateway.toml with these routes, and more configuration at the top and in `[issuers.corp]`.
    fn file(&self, top: &str, issuer_keys: &str, routes: &str) -> String {
        let [one, two] = [&self.upstreams[0], &self.upstreams[1]].map(|upstream| upstream.address);
        format!(
            "{top}\n[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n{issuer_keys}\n\
             [upstreams.one]\ntargets = \"http://{one}\"\n[upstreams.two]\ntargets = \"http://{two}\"\n{routes}",
            self.issuer.url
        )
    }

    fn gateway(&self, file: &str) -> Gateway {
        let gateway = Gateway::start(file);
        eventually("the JWKS is requested", || self.issuer.fetches() > 0);
        let token = self.token("anything");
        eventually("the JWKS is fetched", || {
            get(gateway.address, "/one", Some(&token)).status != 503
        });
        gateway
    }

    fn token(&self, scope: &str) -> String {
        self.key.token(&self.issuer.claims(scope))
    }
}

fn route(path: &str, rule: &str, upstream: &str) -> String {
    format!("[[routes]]\npath = \"{path}\"\n{rule}\nupstream = \"{upstream}\"\n")
}

#[test]
fn new_routes_apply_to_the_next_request_of_an_open_connection() {
    let servers = Servers::start();
    let gateway = servers.gateway(&servers.file("", "", &route("/one", "scope = \"a\"", "one")));
    let token = servers.token("a");
    let mut connection = Connection::open(gateway.address);
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    assert_eq!(connection.ask(request("/one")).text(), "one");
    assert_eq!(connection.ask(request("/other")).status, 404);
    let file = servers.file(
        "",
        "",
        &[
            route("/one", "scope = \"b\"", "one"),
            route("/other", "", "two"),
        ]
        .concat(),
    );
    assert_eq!(gateway.reload(&file), Ok(Reloaded::Changed));
    let refused = connection.ask(request("/one"));
    assert_eq!(
        (refused.status, refused.challenge()),
        (
            403,
            Some("Bearer error=\"insufficient_scope\", scope=\"b\"")
        )
    );
    assert_eq!(connection.ask(request("/other")).text(), "two");
}

#[test]
fn unchanged_issuers_and_upstreams_keep_their_keys_and_connections() {
    let servers = Servers::start();
    let routes = |count: usize| {
        (0..count)
            .map(|index| route(&format!("/one{index}"), "", "one"))
            .collect::<String>()
    };
    let with = |count: usize| {
        servers.file(
            "",
            "",
            &format!("{}{}", route("/one", "", "one"), routes(count)),
        )
    };
    let gateway = servers.gateway(&with(0));
    let token = servers.token("");
    assert_eq!(get(gateway.address, "/one", Some(&token)).status, 200);
    let (fetches, connections) = (servers.issuer.fetches(), servers.upstreams[0].connections());
    assert_eq!(gateway.reload(&with(0)), Ok(Reloaded::Unchanged));
    // Positions and comments are no change.
    assert_eq!(
        gateway.reload(&format!("# the same\n\n{}", with(0))),
        Ok(Reloaded::Unchanged)
    );
    for count in 1..10 {
        assert_eq!(gateway.reload(&with(count)), Ok(Reloaded::Changed));
        assert_eq!(
            get(gateway.address, &format!("/one{}", count - 1), Some(&token)).status,
            200
        );
    }
    assert_eq!(
        servers.issuer.fetches(),
        fetches,
        "the JWKS is not fetched again"
    );
    assert_eq!(
        servers.upstreams[0].connections(),
        connections,
        "the connection is reused"
    );
}

#[test]
fn faulty_file_is_rejected_with_a_reason_and_changes_nothing() {
    let servers = Servers::start();
    let gateway = servers.gateway(&servers.file("", "", &route("/one", "", "one")));
    let token = servers.token("");
    let faulty = [
        (
            servers.file("", "", &route("/two", "", "three")),
            "routes[0].upstream: expected a declared upstream",
        ),
        (
            servers.file("", "", &route("/two/{", "", "two")),
            "routes[0].path",
        ),
        (
            servers.file("", "leeway = \"9m\"", &route("/two", "", "two")),
            "leeway",
        ),
        (
            servers.file("[server]\nkeep_alive = 3", "", &route("/two", "", "two")),
            "keep_alive",
        ),
        ("not a file".to_owned(), "not TOML"),
        (String::new(), "routes"),
        (
            servers.file("[server]\nshare_port = true", "", &route("/two", "", "two")),
            "server.share_port changed",
        ),
        (
            servers.file(
                "[[listeners]]\naddress = \"127.0.0.1:0\"",
                "",
                &route("/two", "", "two"),
            ),
            "the addresses of the listeners changed, which needs a restart",
        ),
    ];
    for (file, reason) in faulty {
        match gateway.reload(&file) {
            Err(error) => assert!(error.contains(reason), "{error}"),
            // A file without routes is valid: every request gets a 404.
            Ok(_) if file.is_empty() => {
                assert_eq!(
                    gateway.reload(&servers.file("", "", &route("/one", "", "one"))),
                    Ok(Reloaded::Changed)
                );
                eventually("the JWKS is fetched", || {
                    get(gateway.address, "/one", Some(&token)).status == 200
                });
            }
            Ok(outcome) => panic!("{outcome:?}: {file}"),
        }
        assert_eq!(get(gateway.address, "/one", Some(&token)).text(), "one");
        assert_eq!(get(gateway.address, "/two", Some(&token)).status, 404);
    }
}

#[test]
fn cached_tokens_end_with_the_configuration_of_their_issuer() {
    let servers = Servers::start();
    let routes = route("/one", "", "one");
    let gateway = servers.gateway(&servers.file("", "", &routes));
    let token = servers.token("");
    let mut connection = Connection::open(gateway.address);
    let request = format!("GET /one HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(connection.ask(&request).status, 200);
    // The same issuer, but its tokens need another claim.
    let stricter = servers.file("", "required_claims = [\"department\"]", &routes);
    assert_eq!(gateway.reload(&stricter), Ok(Reloaded::Changed));
    let refused = connection.ask(&request);
    assert_eq!(
        (refused.status, refused.challenge()),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    assert_eq!(
        gateway.reload(&servers.file("", "", &routes)),
        Ok(Reloaded::Changed)
    );
    assert_eq!(connection.ask(&request).status, 200);
    // Another issuer under the same name.
    let other = Issuer::start(&[&servers.key]);
    let file = servers
        .file("", "", &routes)
        .replace(&servers.issuer.url, &other.url);
    assert_eq!(gateway.reload(&file), Ok(Reloaded::Changed));
    assert_eq!(connection.ask(&request).status, 401);
}

#[test]
fn reload_waits_a_bounded_time_for_the_jwks_of_a_new_issuer() {
    let servers = Servers::start();
    let (key, routes) = (Key::es256("second"), route("/one", "", "one"));
    let gateway = servers.gateway(&servers.file("", "", &routes));
    let second = Issuer::start(&[&key]);
    let with = |issuer: &Issuer| {
        let declared = format!(
            "[issuers.second]\nissuer = \"{}\"\naudience = \"https://api.test\"\ntimeout = \"200ms\"\n",
            issuer.url
        );
        servers.file("", "timeout = \"200ms\"", &format!("{declared}{routes}"))
    };
    assert_eq!(gateway.reload(&with(&second)), Ok(Reloaded::Changed));
    // No polling: the JWKS is there when the reload returns.
    assert_eq!(
        get(
            gateway.address,
            "/one",
            Some(&key.token(&second.claims("")))
        )
        .status,
        200
    );

    let silent = Issuer::start(&[&key]);
    silent.fail(Reply::RawThenHang(Vec::new()));
    let began = Instant::now();
    assert_eq!(gateway.reload(&with(&silent)), Ok(Reloaded::Changed));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        get(
            gateway.address,
            "/one",
            Some(&key.token(&silent.claims("")))
        )
        .status,
        503
    );
    assert_eq!(
        get(gateway.address, "/one", Some(&servers.token(""))).status,
        200
    );
}

#[test]
fn keys_of_a_removed_issuer_are_not_fetched_for_clients_that_stay_connected() {
    let servers = Servers::start();
    let stream = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
    servers.upstreams[1].script(move |_| Reply::RawThenHang(stream.into()));
    let public = "public = true";
    let routes = route("/one", public, "one") + &route("/two", public, "two");
    let removed = Issuer::start(&[&servers.key]);
    let declared = format!(
        "[issuers.removed]\nissuer = \"{}\"\naudience = \"a\"\n",
        removed.url
    );
    let with_issuer = servers.file("", "", &format!("{declared}{routes}"));
    let mut issuer = Weak::new();
    let gateway = Gateway::start_altered(&with_issuer, |snapshot| {
        let mut issuers = snapshot.verifier.issuers().iter();
        let found = issuers.find(|issuer| &*issuer.settings.name == "removed");
        issuer = Arc::downgrade(found.expect("a declared issuer"));
    });
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut streaming = Connection::open(gateway.address);
    streaming.write(request("/two"));
    assert!(streaming.reads_until("part"));
    let mut idle = Connection::open(gateway.address);
    assert_eq!(idle.ask(request("/one")).text(), "one");

    let without_issuer = servers.file("", "", &routes);
    assert_eq!(gateway.reload(&without_issuer), Ok(Reloaded::Changed));
    // The refresh of its keys ends with the issuer. No connection closes, and no request arrives.
    eventually("the issuer is dropped", || issuer.strong_count() == 0);
    assert_eq!(idle.ask(request("/one")).text(), "one");
}

#[test]
fn reload_logs_at_its_start_which_new_issuers_it_waits_for() {
    let servers = Servers::start();
    let routes = route("/one", "", "one");
    let gateway = servers.gateway(&servers.file("", "timeout = \"1m\"", &routes));
    let hanging = Issuer::start(&[&servers.key]);
    hanging.fail(Reply::RawThenHang(Vec::new()));
    let declared = format!(
        "[issuers.hanging]\nissuer = \"{}\"\naudience = \"a\"\ntimeout = \"1s\"\n",
        hanging.url
    );
    let file = servers.file("", "timeout = \"1m\"", &format!("{declared}{routes}"));
    thread::scope(|scope| {
        let reload = scope.spawn(|| gateway.reload(&file));
        eventually("the wait is logged", || {
            logged("waiting for the keys of new issuers issuers=\"hanging\" timeout_seconds=2.0")
        });
        assert!(!reload.is_finished());
        assert_eq!(reload.join().expect("no panic"), Ok(Reloaded::Changed));
    });
}

#[test]
fn trusted_proxies_and_timeouts_of_open_connections_change() {
    let servers = Servers::start();
    let routes = route("/one", "public = true", "one");
    let gateway = servers.gateway(&servers.file("", "", &routes));
    let mut connection = Connection::open(gateway.address);
    let request = "GET /one HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    let forwarded_for = || {
        servers.upstreams[0]
            .received()
            .pop()
            .expect("a request")
            .header("x-forwarded-for")[0]
            .to_owned()
    };
    assert_eq!(connection.ask(request).status, 200);
    assert_eq!(forwarded_for(), "127.0.0.1");
    let server = "[server]\ntrusted_proxies = \"127.0.0.1\"\nkeep_alive_timeout = \"50ms\"";
    assert_eq!(
        gateway.reload(&servers.file(server, "", &routes)),
        Ok(Reloaded::Changed)
    );
    // They apply to the open connection, too.
    assert_eq!(connection.ask(request).status, 200);
    assert_eq!(forwarded_for(), "192.0.2.1, 127.0.0.1");
    let mut idle = Connection::open(gateway.address);
    assert!(idle.is_closed());
}

#[test]
fn reload_replaces_the_certificates_of_a_listener() {
    let (servers, authority) = (Servers::start(), Authority::generate());
    let routes = route("/one", "public = true", "one");
    let with = |name: &str| {
        let (certificate, key) = authority.server_files(name, &format!("{name}.test"));
        let tls = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n",
            certificate.display(),
            key.display()
        );
        servers.file(&format!("[server]\n{tls}"), "", &routes)
    };
    let gateway = servers.gateway(&with("before"));
    let config = Arc::new(authority.client_config(None));
    let is_served = |name: &'static str| {
        let socket =
            std::net::TcpStream::connect(gateway.addresses[1]).expect("a listening gateway");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let name = rustls::pki_types::ServerName::try_from(name).expect("a name");
        let mut session =
            rustls::ClientConnection::new(Arc::clone(&config), name).expect("a session");
        let mut socket = socket;
        while session.is_handshaking() {
            if session.complete_io(&mut socket).is_err() {
                return false;
            }
        }
        true
    };
    assert!(is_served("before.test") && !is_served("after.test"));
    assert_eq!(gateway.reload(&with("after")), Ok(Reloaded::Changed));
    assert!(is_served("after.test") && !is_served("before.test"));
    assert!(
        gateway
            .reload(&with("after").replace("after.key", "before.key"))
            .is_err()
    );
    assert!(is_served("after.test"));
}
