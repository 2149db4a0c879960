//! Another file in the place of the one in force: what changes, what stays, and what is refused.

mod under_load;

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use scopegate::reload::Reloaded;

use harness::{
    Authority, Connection, Gateway, Issuer, Key, Reply, Server, TIMEOUT, eventually, get, logged,
};

/// An issuer, and upstreams to choose from.
struct Parts {
    key: Key,
    issuer: Issuer,
    upstreams: [Server; 2],
}

impl Parts {
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

    /// A file with these routes, and what comes before everything else.
    fn file(&self, front: &str, of_issuer: &str, routes: &str) -> String {
        let [one, two] = [&self.upstreams[0], &self.upstreams[1]].map(|upstream| upstream.address);
        format!(
            "{front}\n[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n{of_issuer}\n\
             [upstreams.one]\ntargets = \"http://{one}\"\n[upstreams.two]\ntargets = \"http://{two}\"\n{routes}",
            self.issuer.url
        )
    }

    fn gateway(&self, file: &str) -> Gateway {
        let gateway = Gateway::start(file);
        eventually("the issuer's keys are here", || self.issuer.fetches() > 0);
        let token = self.token("anything");
        eventually("the issuer's keys are used", || {
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
fn routes_change_for_the_next_request_of_a_connection_that_is_kept() {
    let parts = Parts::start();
    let gateway = parts.gateway(&parts.file("", "", &route("/one", "scope = \"a\"", "one")));
    let token = parts.token("a");
    let mut connection = Connection::open(gateway.address);
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    assert_eq!(connection.ask(request("/one")).text(), "one");
    assert_eq!(connection.ask(request("/other")).status, 404);
    let file = parts.file(
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
fn what_is_the_same_stays_with_its_keys_and_connections() {
    let parts = Parts::start();
    let routes = |count: usize| {
        (0..count)
            .map(|index| route(&format!("/one{index}"), "", "one"))
            .collect::<String>()
    };
    let with = |count: usize| {
        parts.file(
            "",
            "",
            &format!("{}{}", route("/one", "", "one"), routes(count)),
        )
    };
    let gateway = parts.gateway(&with(0));
    let token = parts.token("");
    assert_eq!(get(gateway.address, "/one", Some(&token)).status, 200);
    let (fetches, connections) = (parts.issuer.fetches(), parts.upstreams[0].connections());
    assert_eq!(gateway.reload(&with(0)), Ok(Reloaded::Same));
    // Where a line stands, and what is written about it, is nothing that changes.
    assert_eq!(
        gateway.reload(&format!("# the same\n\n{}", with(0))),
        Ok(Reloaded::Same)
    );
    for count in 1..10 {
        assert_eq!(gateway.reload(&with(count)), Ok(Reloaded::Changed));
        assert_eq!(
            get(gateway.address, &format!("/one{}", count - 1), Some(&token)).status,
            200
        );
    }
    assert_eq!(
        parts.issuer.fetches(),
        fetches,
        "the keys were not asked for again"
    );
    assert_eq!(
        parts.upstreams[0].connections(),
        connections,
        "the connection is the one from before"
    );
}

#[test]
fn faulty_file_changes_nothing_and_says_why() {
    let parts = Parts::start();
    let gateway = parts.gateway(&parts.file("", "", &route("/one", "", "one")));
    let token = parts.token("");
    let faulty = [
        (
            parts.file("", "", &route("/two", "", "three")),
            "routes[0].upstream: expected a declared upstream",
        ),
        (
            parts.file("", "", &route("/two/{", "", "two")),
            "routes[0].path",
        ),
        (
            parts.file("", "leeway = \"9m\"", &route("/two", "", "two")),
            "leeway",
        ),
        (
            parts.file("[server]\nkeep_alive = 3", "", &route("/two", "", "two")),
            "keep_alive",
        ),
        ("not a file".to_owned(), "not TOML"),
        (String::new(), "routes"),
        (
            parts.file("[server]\nshare_port = true", "", &route("/two", "", "two")),
            "server.share_port changed",
        ),
        (
            parts.file(
                "[[listeners]]\naddress = \"127.0.0.1:0\"",
                "",
                &route("/two", "", "two"),
            ),
            "the addresses of the listeners changed, which takes a restart",
        ),
    ];
    for (file, said) in faulty {
        match gateway.reload(&file) {
            Err(error) => assert!(error.contains(said), "{error}"),
            // A file without routes is one that answers 404 to everything.
            Ok(_) if file.is_empty() => {
                assert_eq!(
                    gateway.reload(&parts.file("", "", &route("/one", "", "one"))),
                    Ok(Reloaded::Changed)
                );
                eventually("the keys are here", || {
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
fn facts_end_with_the_configuration_of_their_issuer() {
    let parts = Parts::start();
    let routes = route("/one", "", "one");
    let gateway = parts.gateway(&parts.file("", "", &routes));
    let token = parts.token("");
    let mut connection = Connection::open(gateway.address);
    let request = format!("GET /one HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(connection.ask(&request).status, 200);
    // The same issuer, but its tokens have to say something else now.
    let stricter = parts.file("", "required_claims = [\"department\"]", &routes);
    assert_eq!(gateway.reload(&stricter), Ok(Reloaded::Changed));
    let refused = connection.ask(&request);
    assert_eq!(
        (refused.status, refused.challenge()),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    assert_eq!(
        gateway.reload(&parts.file("", "", &routes)),
        Ok(Reloaded::Changed)
    );
    assert_eq!(connection.ask(&request).status, 200);
    // Another one in its place.
    let other = Issuer::start(&[&parts.key]);
    let file = parts
        .file("", "", &routes)
        .replace(&parts.issuer.url, &other.url);
    assert_eq!(gateway.reload(&file), Ok(Reloaded::Changed));
    assert_eq!(connection.ask(&request).status, 401);
}

#[test]
fn keys_of_a_new_issuer_are_there_with_its_routes_and_waiting_for_them_is_bounded() {
    let parts = Parts::start();
    let (key, routes) = (Key::es256("second"), route("/one", "", "one"));
    let gateway = parts.gateway(&parts.file("", "", &routes));
    let second = Issuer::start(&[&key]);
    let with = |issuer: &Issuer| {
        let declared = format!(
            "[issuers.second]\nissuer = \"{}\"\naudience = \"https://api.test\"\ntimeout = \"200ms\"\n",
            issuer.url
        );
        parts.file("", "timeout = \"200ms\"", &format!("{declared}{routes}"))
    };
    assert_eq!(gateway.reload(&with(&second)), Ok(Reloaded::Changed));
    // At once, without waiting for anything.
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
        get(gateway.address, "/one", Some(&parts.token(""))).status,
        200
    );
}

#[test]
fn keys_of_a_removed_issuer_are_not_fetched_for_clients_that_stay_connected() {
    let parts = Parts::start();
    let stream = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
    parts.upstreams[1].script(move |_| Reply::RawThenHang(stream.into()));
    let public = "public = true";
    let routes = route("/one", public, "one") + &route("/two", public, "two");
    let removed = Issuer::start(&[&parts.key]);
    let declared = format!(
        "[issuers.removed]\nissuer = \"{}\"\naudience = \"a\"\n",
        removed.url
    );
    let with_issuer = parts.file("", "", &format!("{declared}{routes}"));
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

    let without_issuer = parts.file("", "", &routes);
    assert_eq!(gateway.reload(&without_issuer), Ok(Reloaded::Changed));
    // The refresh of its keys ends with the issuer. No connection closes, and no request arrives.
    eventually("the issuer is dropped", || issuer.strong_count() == 0);
    assert_eq!(idle.ask(request("/one")).text(), "one");
}

#[test]
fn reload_says_at_its_start_which_new_issuers_it_waits_for_and_how_long_at_most() {
    let parts = Parts::start();
    let routes = route("/one", "", "one");
    let gateway = parts.gateway(&parts.file("", "timeout = \"1m\"", &routes));
    let hanging = Issuer::start(&[&parts.key]);
    hanging.fail(Reply::RawThenHang(Vec::new()));
    let declared = format!(
        "[issuers.hanging]\nissuer = \"{}\"\naudience = \"a\"\ntimeout = \"2s\"\n",
        hanging.url
    );
    let file = parts.file("", "timeout = \"1m\"", &format!("{declared}{routes}"));
    thread::scope(|scope| {
        let reload = scope.spawn(|| gateway.reload(&file));
        eventually("it says so", || {
            logged("waiting for the keys of new issuers issuers=\"hanging\" timeout_seconds=4.0")
        });
        assert!(!reload.is_finished());
        assert_eq!(reload.join().expect("no panic"), Ok(Reloaded::Changed));
    });
}

#[test]
fn whom_to_trust_and_how_long_to_wait_change_as_well() {
    let parts = Parts::start();
    let routes = route("/one", "public = true", "one");
    let gateway = parts.gateway(&parts.file("", "", &routes));
    let mut connection = Connection::open(gateway.address);
    let request = "GET /one HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    let told = || {
        parts.upstreams[0]
            .received()
            .pop()
            .expect("a request")
            .header("x-forwarded-for")[0]
            .to_owned()
    };
    assert_eq!(connection.ask(request).status, 200);
    assert_eq!(told(), "127.0.0.1");
    let front = "[server]\ntrusted_proxies = \"127.0.0.1\"\nkeep_alive_timeout = \"50ms\"";
    assert_eq!(
        gateway.reload(&parts.file(front, "", &routes)),
        Ok(Reloaded::Changed)
    );
    // Of a connection that is kept, too.
    assert_eq!(connection.ask(request).status, 200);
    assert_eq!(told(), "192.0.2.1, 127.0.0.1");
    let mut idle = Connection::open(gateway.address);
    assert!(idle.is_closed());
}

#[test]
fn listener_shows_other_certificates() {
    let (parts, authority) = (Parts::start(), Authority::generate());
    let routes = route("/one", "public = true", "one");
    let with = |name: &str| {
        let (certificate, key) = authority.server_files(name, &format!("{name}.test"));
        let tls = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n",
            certificate.display(),
            key.display()
        );
        parts.file(&format!("[server]\n{tls}"), "", &routes)
    };
    let gateway = parts.gateway(&with("before"));
    let config = Arc::new(authority.client_config(None));
    let is_shown = |name: &'static str| {
        let socket = std::net::TcpStream::connect(gateway.addresses[1]).expect("somebody listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
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
    assert!(is_shown("before.test") && !is_shown("after.test"));
    assert_eq!(gateway.reload(&with("after")), Ok(Reloaded::Changed));
    assert!(is_shown("after.test") && !is_shown("before.test"));
    assert!(
        gateway
            .reload(&with("after").replace("after.key", "before.key"))
            .is_err()
    );
    assert!(is_shown("after.test"));
}
