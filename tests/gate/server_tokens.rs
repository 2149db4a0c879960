//! Access tokens as authorization servers in the field shape them.

use serde_json::{Value, json};

use harness::TestBed;

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nupstream = \"up\"\n\
    [[routes]]\npath = \"/read\"\nscope = \"things.read\"\nupstream = \"up\"\n";

fn token(test_bed: &TestBed, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = test_bed.issuer.claims("");
    change(&mut claims);
    test_bed.key.token(&claims)
}

fn status(test_bed: &TestBed, path: &str, token: &str) -> u16 {
    test_bed.get(path, Some(token)).status
}

#[test]
fn claims_of_id_tokens_say_nothing_where_the_file_says_so() {
    let strict = TestBed::routes(ROUTES);
    let lenient = TestBed::toml("", "refuse_id_tokens = false", "", ROUTES);
    for claim in ["nonce", "at_hash", "c_hash"] {
        // Dex writes `at_hash` into every access token, authentik `nonce`.
        let of = |test_bed: &TestBed| token(test_bed, |claims| claims[claim] = json!("x"));
        assert_eq!(status(&lenient, "/things", &of(&lenient)), 200, "{claim}");
        assert_eq!(status(&strict, "/things", &of(&strict)), 401, "{claim}");
        let line = strict.requests.lines().pop().expect("a line");
        let cause = line["cause"].as_str().expect("a cause");
        assert!(
            cause.contains(claim) && cause.contains("refuse_id_tokens"),
            "{cause}"
        );
    }
    // Other kinds of token stay refused.
    for (claim, value) in [
        ("events", json!({})),
        ("htm", json!("GET")),
        ("token_introspection", json!({})),
        ("token_use", json!("id")),
        ("typ", json!("ID")),
    ] {
        let token = token(&lenient, |claims| claims[claim] = value);
        assert_eq!(status(&lenient, "/things", &token), 401, "{claim}");
    }
}

#[test]
fn token_without_iss_goes_to_the_only_issuer_of_the_route_if_the_file_says_so() {
    let without = |test_bed: &TestBed| {
        token(test_bed, |claims| {
            claims.as_object_mut().expect("an object").remove("iss");
        })
    };
    let strict = TestBed::routes(ROUTES);
    assert_eq!(status(&strict, "/things", &without(&strict)), 401);

    let lenient = TestBed::toml("", "require_issuer = false", "", ROUTES);
    assert_eq!(status(&lenient, "/things", &without(&lenient)), 200);
    // A claim that is there must be right, whatever its type.
    for iss in [
        json!("https://other.test"),
        json!(null),
        json!(""),
        json!([lenient.issuer.url]),
    ] {
        let token = token(&lenient, |claims| claims["iss"] = iss.clone());
        assert_eq!(status(&lenient, "/things", &token), 401, "{iss}");
    }

    // With a second issuer, nothing says which of them is meant; cached or not.
    let top = "[issuers.other]\nissuer = \"https://other.test\"\naudience = \"any\"\n\
               shared_secret = \"a secret of thirty-two bytes, or more\"\nrequire_issuer = false\n";
    let routes =
        format!("{ROUTES}[[routes]]\npath = \"/one\"\nissuers = \"corp\"\nupstream = \"up\"\n");
    let several = TestBed::toml(top, "require_issuer = false", "", &routes);
    let token = without(&several);
    for (path, expected) in [
        ("/things", 401),
        ("/one", 200),
        ("/things", 401),
        ("/one", 200),
    ] {
        assert_eq!(status(&several, path, &token), expected, "{path}");
    }
}

#[test]
fn scopes_are_separated_as_the_file_says() {
    let commas = TestBed::toml("", "scope_separator = \",\"", "", ROUTES);
    for (scope, expected) in [
        ("things.write,things.read", 200),
        ("things.write, things.read", 200),
        ("things.read", 200),
        ("things.write things.read", 403),
        ("things.write,x things.read", 403),
        (",,", 403),
    ] {
        let token = token(&commas, |claims| claims["scope"] = json!(scope));
        assert_eq!(status(&commas, "/read", &token), expected, "{scope}");
    }
    let spaces = TestBed::routes(ROUTES);
    let token = token(&spaces, |claims| {
        claims["scope"] = json!("things.write,things.read")
    });
    assert_eq!(status(&spaces, "/read", &token), 403);
}
