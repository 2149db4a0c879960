//! `rewrite`: the path that goes upstream.

use harness::{TestBed, send};

const ROUTES: &str = "
[[routes]]
path = \"/shop/{tenant}/orders/{*rest}\"
rewrite = \"/v2/{tenant}/{*rest}\"
scope = \"orders.{tenant}\"
upstream = \"up\"
[[routes]]
path = [\"/old/{id}\", \"/older/{id}/x\"]
rewrite = \"/items/{id}\"
public = true
upstream = \"up\"
[[routes]]
path = \"/shadow/{id}\"
rewrite = \"/items/{id}\"
scope = \"items\"
enforce = false
upstream = \"up\"
";

#[test]
fn upstream_gets_the_rewritten_path_and_the_query() {
    let test_bed = TestBed::routes(ROUTES);
    for (target, sent) in [
        ("/old/7", "/items/7"),
        ("/old/7?a=/old/%2e%2e&b", "/items/7?a=/old/%2e%2e&b"),
        ("/old/7?", "/items/7?"),
        ("/older/7/x", "/items/7"),
        ("/old/%7Eme", "/items/~me"),
        ("/old/%2B%3f%23", "/items/%2B%3F%23"),
        ("/old/a%25", "/items/a%25"),
        ("/old/{id}", "/items/{id}"),
        ("http://a/old/7?q", "/items/7?q"),
        ("/shadow/7", "/items/7"),
    ] {
        let response = send(
            test_bed.address,
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(test_bed.last().target, sent, "{target}");
    }
    let token = test_bed.token("orders.acme");
    for (path, sent) in [
        ("/shop/acme/orders/7/lines", "/v2/acme/7/lines"),
        ("/shop/acme/orders/7/", "/v2/acme/7/"),
        ("/shop/acme/orders/", "/v2/acme/"),
        ("/shop/acme/orders", "/v2/acme"),
    ] {
        assert_eq!(test_bed.get(path, Some(&token)).status, 200, "{path}");
        assert_eq!(test_bed.last().target, sent, "{path}");
    }
}

#[test]
fn requested_path_is_judged_and_ambiguous_ones_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let (token, hits) = (test_bed.token("orders.acme"), test_bed.hits());
    for (path, token, status) in [
        ("/shop/acme/orders/7", None, 401),
        ("/shop/other/orders/7", Some(&*token), 403),
        ("/shop/acme/orders/../7", Some(&token), 400),
        ("/shop/acme/orders/%2e%2e/other/7", Some(&token), 400),
        ("/shop/acme%2Fother/orders/7", Some(&token), 400),
        ("/old/%252e%252e", None, 400),
        ("/old/..", None, 400),
        ("/old/a%5C..%5Cb", None, 400),
        ("/old/a;b", None, 400),
        ("/shadow/..", None, 400),
        // No route has the rewritten path.
        ("/items/7", None, 404),
        ("/v2/acme/7", Some(&token), 404),
    ] {
        assert_eq!(test_bed.get(path, token).status, status, "{path}");
    }
    assert_eq!(test_bed.hits(), hits);
}
