//! Several issuers: a token goes to the one that its `iss` names, among the route's (R16, R18).

use harness::{Gateway, Issuer, Key, Reply, Server, claims, eventually, get};

struct Two {
    keys: [Key; 2],
    issuers: [Issuer; 2],
    upstream: Server,
    gateway: Gateway,
}

/// Issuers `one` and `two`, each with a key called `k`; `/one` takes tokens of the first alone, `/both` of either.
fn two() -> Two {
    let keys = [Key::es256("k"), Key::ed25519("k")];
    let issuers = [Issuer::start(&[&keys[0]]), Issuer::start(&[&keys[1]])];
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "[issuers.one]\nissuer = \"{}\"\naudience = \"https://api.test\"\n[issuers.two]\nissuer = \"{}\"\n\
         audience = \"https://api.test\"\n[upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/one\"\nissuers = \"one\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/both\"\nupstream = \"up\"\n[[routes]]\npath = \"/open\"\npublic = true\nupstream = \"up\"\n",
        issuers[0].url, issuers[1].url, upstream.address
    ));
    for (key, issuer) in keys.iter().zip(&issuers) {
        let token = key.token(&issuer.claims(""));
        eventually("keys", || {
            get(gateway.address, "/both", Some(&token)).status == 200
        });
    }
    Two {
        keys,
        issuers,
        upstream,
        gateway,
    }
}

#[test]
fn keys_are_bound_to_their_issuer_even_where_they_share_a_name() {
    let two = two();
    let hits = two.upstream.hits();
    for (key, issuer, status) in [(0, 0, 200), (1, 1, 200), (0, 1, 401), (1, 0, 401)] {
        let token = two.keys[key].token(&two.issuers[issuer].claims(""));
        assert_eq!(
            get(two.gateway.address, "/both", Some(&token)).status,
            status,
            "key {key}, issuer {issuer}"
        );
    }
    assert_eq!(two.upstream.hits() - hits, 2);
}

#[test]
fn token_of_an_issuer_that_is_not_the_routes_is_invalid_there_cached_or_not() {
    let two = two();
    let token = two.keys[1].token(&two.issuers[1].claims("*"));
    for (path, status) in [("/one", 401), ("/both", 200), ("/one", 401)] {
        let answer = get(two.gateway.address, path, Some(&token));
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            answer.challenge(),
            (status == 401).then_some("Bearer error=\"invalid_token\"")
        );
    }
}

#[test]
fn unknown_issuer_is_told_beside_the_issuers_that_are_accepted() {
    let two = two();
    let [one, other] = [&two.issuers[0].url, &two.issuers[1].url];
    let (host, port) = one.rsplit_once(':').expect("a port");
    let tls = one.replacen("http", "https", 1);
    let cause = |path: &str, iss: &str| {
        let token = two.keys[0].token(&claims(iss, ""));
        assert_eq!(get(two.gateway.address, path, Some(&token)).status, 401);
        let line = two.gateway.requests.lines().pop().expect("a line");
        assert_eq!(line["reason"], "unknown_issuer");
        line["cause"].as_str().expect("a cause").to_owned()
    };
    let expected = format!("expected {one:?} as iss (the route's issuers), but found ");
    let differs = |by: &str| format!(", which differs from {one:?} by {by}");
    for (iss, hint) in [
        (format!("{one}/"), differs("a trailing slash")),
        (tls, differs("the scheme")),
        (one.to_uppercase(), differs("upper and lower case")),
        (
            format!("{host}:1{port}/"),
            differs("the port and a trailing slash"),
        ),
        ("https://id.example.com".to_owned(), String::new()),
        (
            other.clone(),
            ", which is issuer \"two\", but not one of the route (see issuers)".to_owned(),
        ),
    ] {
        assert_eq!(cause("/one", &iss), format!("{expected}{iss:?}{hint}"));
    }
    let both =
        format!("expected {one:?} or {other:?} as iss (the route's issuers), but found \"x\"");
    assert_eq!(cause("/both", "x"), both);
}

#[test]
fn public_route_asks_nobody_and_believes_nobody() {
    let two = two();
    for token in [None, Some("garbage")] {
        assert_eq!(get(two.gateway.address, "/open", token).status, 200);
    }
}
