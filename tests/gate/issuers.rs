//! Several issuers: `iss` selects one of the route's issuers (R16, R18).

use harness::{Gateway, Issuer, Key, Reply, Server, claims, eventually, get};

struct TwoIssuers {
    keys: [Key; 2],
    issuers: [Issuer; 2],
    upstream: Server,
    gateway: Gateway,
}

/// Issuers `one` and `two`, each with a key called `k`.
///
/// The route `/one` accepts tokens of the first issuer only, `/both` of either.
fn two_issuers() -> TwoIssuers {
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
        eventually("the JWKS is fetched", || {
            get(gateway.address, "/both", Some(&token)).status == 200
        });
    }
    TwoIssuers {
        keys,
        issuers,
        upstream,
        gateway,
    }
}

#[test]
fn key_verifies_only_tokens_of_its_issuer_even_if_kids_are_equal() {
    let test_bed = two_issuers();
    let hits = test_bed.upstream.hits();
    for (key, issuer, status) in [(0, 0, 200), (1, 1, 200), (0, 1, 401), (1, 0, 401)] {
        let token = test_bed.keys[key].token(&test_bed.issuers[issuer].claims(""));
        assert_eq!(
            get(test_bed.gateway.address, "/both", Some(&token)).status,
            status,
            "key {key}, issuer {issuer}"
        );
    }
    assert_eq!(test_bed.upstream.hits() - hits, 2);
}

#[test]
fn token_of_another_issuer_than_the_routes_is_invalid_cached_or_not() {
    let test_bed = two_issuers();
    let token = test_bed.keys[1].token(&test_bed.issuers[1].claims("*"));
    for (path, status) in [("/one", 401), ("/both", 200), ("/one", 401)] {
        let response = get(test_bed.gateway.address, path, Some(&token));
        assert_eq!(response.status, status, "{path}");
        assert_eq!(
            response.challenge(),
            (status == 401).then_some("Bearer error=\"invalid_token\"")
        );
    }
}

#[test]
fn cause_of_an_unknown_issuer_names_the_accepted_issuers() {
    let test_bed = two_issuers();
    let [one, other] = [&test_bed.issuers[0].url, &test_bed.issuers[1].url];
    let (host, port) = one.rsplit_once(':').expect("a port");
    let tls = one.replacen("http", "https", 1);
    let cause = |path: &str, iss: &str| {
        let token = test_bed.keys[0].token(&claims(iss, ""));
        assert_eq!(
            get(test_bed.gateway.address, path, Some(&token)).status,
            401
        );
        let line = test_bed.gateway.requests.lines().pop().expect("a line");
        assert_eq!(line["reason"], "unknown_issuer");
        line["cause"].as_str().expect("a cause").to_owned()
    };
    let prefix = format!("expected {one:?} as iss (the route's issuers), but found ");
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
        assert_eq!(cause("/one", &iss), format!("{prefix}{iss:?}{hint}"));
    }
    let both =
        format!("expected {one:?} or {other:?} as iss (the route's issuers), but found \"x\"");
    assert_eq!(cause("/both", "x"), both);
}

#[test]
fn public_route_verifies_no_token() {
    let test_bed = two_issuers();
    for token in [None, Some("garbage")] {
        assert_eq!(get(test_bed.gateway.address, "/open", token).status, 200);
    }
}
