//! A route with several paths.

use harness::{TestBed, send};

const ROUTES: &str = "
[[routes]]
path = [\"/old/{tenant}/orders/{id}\", \"/orders/{id}/of/{tenant}\"]
methods = \"GET\"
scope = \"{tenant}.orders.{id}\"
upstream = \"up\"
[[routes]]
path = \"/later\"
scope = \"later\"
upstream = \"up\"
request_headers = { remove = \"X-Debug\" }
[[routes]]
path = [\"/files/{*rest}\", \"/f/{*rest}\"]
public = true
upstream = \"up\"
";

#[test]
fn every_path_of_a_route_is_judged_with_its_own_parameters() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("t1.orders.7");
    for (path, status) in [
        ("/old/t1/orders/7", 200),
        ("/orders/7/of/t1", 200),
        ("/old/7/orders/t1", 403),
        ("/orders/t1/of/7", 403),
        ("/old/t1/of/7", 404),
        // A route after a list of paths keeps its own scope.
        ("/later", 403),
    ] {
        assert_eq!(test_bed.get(path, Some(&token)).status, status, "{path}");
    }
    assert_eq!(test_bed.get("/orders/7/of/t1", None).status, 401);
    assert_eq!(test_bed.get("/f/a/b", None).status, 200);
    assert_eq!(test_bed.last().target, "/f/a/b");
    let later = test_bed.token("later");
    assert_eq!(test_bed.get("/later", Some(&later)).status, 200);
    assert_eq!(test_bed.get("/f/a", Some("garbage")).status, 200);
}

#[test]
fn header_rules_apply_to_their_own_route_after_a_list_of_paths() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("later");
    for (path, debug) in [
        ("/later", vec![]),
        ("/files/a", vec!["1"]),
        ("/f/a", vec!["1"]),
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nX-Debug: 1\r\n\r\n"
        );
        assert_eq!(send(test_bed.address, request).status, 200, "{path}");
        assert_eq!(test_bed.last().header("x-debug"), debug, "{path}");
    }
}

#[test]
fn every_path_of_a_route_is_a_route_in_metrics_and_log() {
    let test_bed = TestBed::routes(ROUTES);
    for path in ["/files/a", "/f/a", "/f/b"] {
        assert_eq!(test_bed.get(path, None).status, 200);
    }
    for (route, count) in [("/files/{*rest}", 1.0), ("/f/{*rest}", 2.0)] {
        let series = format!(
            "scopegate_requests_total{{route=\"{route}\",method=\"GET\",status=\"2xx\",decision=\"public\",reason=\"\"}}"
        );
        assert_eq!(test_bed.metric(&series), Some(count), "{route}");
    }
    let ready = test_bed.get_admin("/readyz?verbose").text();
    // One more is of the test bed.
    assert!(ready.contains("configuration: 6 routes"), "{ready}");
}
