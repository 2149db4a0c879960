//! Which requests count together.

use harness::{TestBed, send};
use serde_json::json;

use super::{SLOW, passed, token};

fn test_bed(key: &str) -> TestBed {
    TestBed::routes(&format!(
        "[limits.standard]\n{SLOW}key = {key}\n\
         [[routes]]\npath = \"/a\"\nlimit = \"standard\"\nupstream = \"up\"\n\
         [[routes]]\npath = [\"/b\", \"/c\"]\nlimit = \"standard\"\nupstream = \"up\"\n"
    ))
}

#[test]
fn client_is_the_first_of_the_claims_that_name_it() {
    let test_bed = test_bed("\"client_id\"");
    for claims in [
        json!({ "client_id": "one", "azp": "x", "cid": "x", "appid": "x" }),
        json!({ "client_id": null, "azp": "two", "cid": "x", "appid": "x" }),
        json!({ "client_id": null, "azp": null, "cid": "three", "appid": "x" }),
        json!({ "client_id": null, "azp": null, "cid": null, "appid": "four" }),
    ] {
        // Every token is another one, of the same client.
        let tokens = [1, 2].map(|number| {
            let mut claims = claims.clone();
            claims["jti"] = json!(number);
            token(&test_bed, claims)
        });
        assert_eq!(passed(&test_bed, 2, "/a", &tokens[0]), 2, "{claims}");
        assert_eq!(passed(&test_bed, 3, "/a", &tokens[1]), 1, "{claims}");
    }
    let same = token(&test_bed, json!({ "client_id": null, "azp": "one" }));
    assert_eq!(passed(&test_bed, 1, "/a", &same), 0);
}

#[test]
fn tokens_without_the_claim_share_one_bucket() {
    let test_bed = test_bed("{ claim = \"/org/id\" }");
    let with = |org| token(&test_bed, json!({ "org": org, "jti": "a" }));
    let tokens = [
        with(json!(null)),
        with(json!({})),
        with(json!({ "id": null })),
        with(json!("text")),
        token(&test_bed, json!({ "sub": "another" })),
    ];
    let admitted = tokens.iter().map(|token| passed(&test_bed, 1, "/a", token));
    assert_eq!(admitted.sum::<usize>(), 3);
    // Values of different types differ, and "null" is a text.
    for org in [
        json!("null"),
        json!(""),
        json!("5"),
        json!(5),
        json!(true),
        json!(["a"]),
    ] {
        let token = with(json!({ "id": org }));
        assert_eq!(passed(&test_bed, 4, "/a", &token), 3, "{org}");
    }
}

#[test]
fn composite_key_counts_what_has_all_parts_in_common() {
    let test_bed = test_bed("[\"subject\", { claim = \"tenant\" }]");
    for (subject, tenant) in [("a", "x"), ("a", "y"), ("b", "x"), ("ax", ""), ("", "ax")] {
        let token = token(&test_bed, json!({ "sub": subject, "tenant": tenant }));
        assert_eq!(passed(&test_bed, 5, "/a", &token), 3, "{subject} {tenant}");
    }
}

#[test]
fn routes_that_name_a_limit_share_it_unless_the_route_is_in_its_key() {
    let shared = test_bed("\"subject\"");
    let token = shared.token("");
    let admitted = ["/a", "/b", "/c"].map(|path| passed(&shared, 2, path, &token));
    assert_eq!(admitted, [2, 1, 0]);

    let by_route = test_bed("[\"route\", \"subject\"]");
    let token = by_route.token("");
    // Two paths of one route count together.
    let admitted = ["/a", "/b", "/c"].map(|path| passed(&by_route, 2, path, &token));
    assert_eq!(admitted, [2, 2, 1]);
}

#[test]
fn issuer_is_one_client() {
    let test_bed = test_bed("\"issuer\"");
    let tokens = ["a", "b"].map(|sub| token(&test_bed, json!({ "sub": sub, "client_id": sub })));
    let admitted = tokens.map(|token| passed(&test_bed, 2, "/a", &token));
    assert_eq!(admitted, [2, 1]);
}

#[test]
fn addresses_of_a_64_count_together() {
    let test_bed = TestBed::toml(
        "[server]\ntrusted_proxies = \"127.0.0.1\"\n",
        "",
        "",
        &format!(
            "[limits.open]\n{SLOW}key = \"address\"\n\
             [[routes]]\npath = \"/a\"\npublic = true\nlimit = \"open\"\nupstream = \"up\"\n"
        ),
    );
    let statuses = |addresses: &[&str]| {
        let ask = |address: &&str| {
            let head = format!("GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n");
            send(test_bed.address, head).status
        };
        addresses.iter().map(ask).collect::<Vec<_>>()
    };
    let of_one = [
        "2001:db8::1",
        "2001:db8::2:1",
        "2001:db8::3:0:0:1",
        "2001:db8::4",
    ];
    assert_eq!(statuses(&of_one), [200, 200, 200, 429]);
    assert_eq!(statuses(&["2001:db8:0:1::1", "2001:db8:1::1"]), [200, 200]);
    let of_one = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"];
    assert_eq!(statuses(&of_one), [200, 200, 200, 429]);
    assert_eq!(statuses(&["192.0.2.2"]), [200]);
}
