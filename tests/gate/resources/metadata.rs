//! The metadata of a resource: where it is, who may read it, and what it says.

use harness::{Gateway, TestBed, send};
use serde_json::json;

use super::{METADATA, TWO, document, request};

#[test]
fn host_of_a_request_changes_nothing_in_the_metadata() {
    let test_bed = TestBed::routes(TWO);
    let path = format!("{METADATA}/one");
    let expected = request(&test_bed, "GET", &path, "Host: api.test\r\n").body;
    for lines in [
        "Host: evil.test\r\n",
        "Host: api.test:9999\r\n",
        "Host: evil.test\r\nX-Forwarded-Host: evil.test\r\nForwarded: host=evil.test\r\n",
        "Host: api.test\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Prefix: /evil\r\n",
    ] {
        let response = request(&test_bed, "GET", &path, lines);
        assert_eq!(
            (response.status, &response.body),
            (200, &expected),
            "{lines}"
        );
    }
    let absolute = send(
        test_bed.address,
        format!("GET http://evil.test{path}?x=evil HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
    );
    assert_eq!((absolute.status, absolute.body), (200, expected));
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn metadata_is_answered_without_a_token_and_with_a_bad_one() {
    let test_bed = TestBed::routes(TWO);
    let path = format!("{METADATA}/one");
    for lines in [
        "",
        "Authorization: Bearer garbage\r\n",
        "Authorization: Bearer\r\nAuthorization: Bearer\r\n",
    ] {
        let lines = format!("Host: api.test\r\n{lines}");
        assert_eq!(request(&test_bed, "GET", &path, &lines).status, 200);
    }
    let series = "scopegate_requests_total{route=\"\",method=\"GET\",status=\"2xx\",decision=\"replied\",reason=\"\"}";
    assert_eq!(test_bed.metric(series), Some(3.0));
}

#[test]
fn document_has_the_issuers_and_scopes_of_the_routes_and_no_empty_member() {
    let test_bed = TestBed::routes(TWO);
    let issuer = &test_bed.issuer.url;
    assert_eq!(
        document(&test_bed, &format!("{METADATA}/one")),
        json!({
            "resource": "https://api.test/one", "authorization_servers": [issuer],
            "scopes_supported": ["one.read"], "bearer_methods_supported": ["header"],
            "resource_name": "One",
        })
    );
    assert_eq!(
        document(&test_bed, &format!("{METADATA}/two")),
        json!({
            "resource": "https://api.test/two", "authorization_servers": [issuer],
            "scopes_supported": ["two.read"], "bearer_methods_supported": ["header"],
        })
    );
}

#[test]
fn scopes_with_parameters_and_wildcards_are_left_out() {
    let routes = "
[[resources]]
url = \"https://api.test\"
[[routes]]
path = \"/a/{id}\"
any_scope = [\"a.read a.{id}\", \"a.*\", \"a.admin offline_access\", \"a.read\"]
upstream = \"up\"
[[routes]]
path = \"/public\"
public = true
upstream = \"up\"
[[routes]]
path = \"/b\"
scope = \"b\"
upstream = \"up\"
";
    let test_bed = TestBed::routes(routes);
    let document = document(&test_bed, METADATA);
    assert_eq!(
        document["scopes_supported"],
        json!(["a.read", "a.admin", "b"])
    );
}

#[test]
fn file_sets_scopes_and_documentation() {
    let routes = "[[resources]]\nurl = \"https://api.test/a\"\nscopes = [\"z\", \"y\"]\n\
                  documentation = \"https://docs.test/a\"\n\
                  [[routes]]\npath = \"/a\"\nscope = \"x\"\nupstream = \"up\"\n";
    let test_bed = TestBed::routes(routes);
    let document = document(&test_bed, &format!("{METADATA}/a"));
    assert_eq!(document["scopes_supported"], json!(["z", "y"]));
    assert_eq!(document["resource_documentation"], "https://docs.test/a");
}

#[test]
fn authorization_servers_are_issuers_with_urls_and_listed_tenants() {
    let test_bed = TestBed::routes("");
    let gateway = Gateway::start(&format!(
        "[issuers.a]\nissuer = [\"https://new.test\", \"https://old.test\"]\njwks_uri = \"http://127.0.0.1:1/a\"\n\
         [issuers.b]\nissuer = \"com.example.b\"\njwks_uri = \"http://127.0.0.1:1/b\"\n\
         [issuers.t]\nissuer = \"https://t.test/{{tenant}}/v2\"\ntenants = [\"one\", \"two\"]\n\
         [issuers.u]\nissuer = \"https://u.test/{{tenant}}/v2\"\ntenants = \"any\"\n\
         [issuers.c]\nissuer = \"https://c.test\"\njwks_uri = \"http://127.0.0.1:1/c\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[resources]]\nurl = \"https://api.test/both\"\n[[resources]]\nurl = \"https://api.test/b\"\n\
         [[routes]]\npath = \"/both\"\nissuers = [\"b\", \"a\"]\nupstream = \"up\"\n\
         [[resources]]\nurl = \"https://api.test/t\"\n\
         [[routes]]\npath = \"/t\"\nissuers = [\"t\", \"u\"]\nupstream = \"up\"\n\
         [[routes]]\npath = \"/b\"\nissuers = \"b\"\nupstream = \"up\"\n",
        test_bed.upstream.address
    ));
    let document = |path: &str| -> serde_json::Value {
        let response = harness::get(gateway.address, &format!("{METADATA}{path}"), None);
        serde_json::from_slice(&response.body).expect("JSON")
    };
    assert_eq!(
        document("/both")["authorization_servers"],
        json!(["https://new.test"])
    );
    assert_eq!(
        document("/t")["authorization_servers"],
        json!(["https://t.test/one/v2", "https://t.test/two/v2"])
    );
    let of_b = document("/b");
    assert_eq!(of_b["resource"], "https://api.test/b");
    assert!(of_b.get("authorization_servers").is_none(), "{of_b}");
}

#[test]
fn placement_follows_the_path_of_the_resource() {
    let place = |url: &str| {
        let top = format!("[[resources]]\nurl = \"{url}\"\n");
        let routes = "[[routes]]\npath = \"/{*rest}\"\nupstream = \"up\"\n";
        TestBed::toml(&top, "", "", routes)
    };
    for (url, path) in [
        ("https://api.test", METADATA.to_owned()),
        ("https://api.test/", METADATA.to_owned()),
        ("https://api.test/a/b", format!("{METADATA}/a/b")),
        ("https://api.test:8443/a/", format!("{METADATA}/a/")),
        ("http://127.0.0.1:1234/a", format!("{METADATA}/a")),
        ("http://localhost/a", format!("{METADATA}/a")),
    ] {
        let test_bed = place(url);
        assert_eq!(document(&test_bed, &path)["resource"], url);
        let challenge = test_bed.get("/a/b", None);
        if let Some(challenge) = challenge
            .challenge()
            .filter(|text| text.contains("metadata"))
        {
            let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            assert_eq!(
                challenge,
                format!("Bearer resource_metadata=\"{origin}{path}\"")
            );
        }
        for other in [
            format!("{METADATA}x"),
            format!("{METADATA}/a/b/c"),
            METADATA.to_uppercase(),
        ] {
            assert_ne!(test_bed.get(&other, None).status, 200, "{url} {other}");
        }
    }
}

#[test]
fn other_methods_are_405_and_head_has_no_body() {
    let test_bed = TestBed::routes(TWO);
    let path = format!("{METADATA}/one");
    let get = request(&test_bed, "GET", &path, "Host: a\r\n");
    let head = request(&test_bed, "HEAD", &path, "Host: a\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "cache-control"] {
        assert!(get.header(name).is_some(), "{name}");
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let response = request(&test_bed, method, &path, "Host: a\r\nContent-Length: 0\r\n");
        assert_eq!(
            (
                response.status,
                response.header("allow"),
                response.challenge()
            ),
            (405, Some("GET, HEAD"), None),
            "{method}"
        );
    }
}

#[test]
fn unchanged_document_is_a_304() {
    let test_bed = TestBed::routes(TWO);
    let path = format!("{METADATA}/one");
    let get = request(&test_bed, "GET", &path, "Host: a\r\n");
    assert_eq!(get.header("cache-control"), Some("public, max-age=300"));
    let etag = get.header("etag").expect("a tag").to_owned();
    for (tags, status) in [
        (etag.clone(), 304),
        (format!("\"x\", W/{etag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let lines = format!("Host: a\r\nIf-None-Match: {tags}\r\n");
        let mut connection = harness::Connection::open(test_bed.address);
        connection.write(format!("GET {path} HTTP/1.1\r\n{lines}\r\n"));
        let response = connection.read(status == 304);
        assert_eq!(response.status, status, "{tags}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("etag"), Some(&*etag));
    }
    let other = request(&test_bed, "GET", &format!("{METADATA}/two"), "Host: a\r\n");
    assert_ne!(other.header("etag"), Some(&*etag));
}

#[test]
fn pages_of_every_origin_may_read_it_whatever_cors_says() {
    for cors in [
        "",
        "[cors]\norigins = \"https://app.test\"\ncredentials = true\n",
    ] {
        let test_bed = TestBed::toml(cors, "", "", TWO);
        let path = format!("{METADATA}/one");
        let lines = "Host: a\r\nOrigin: https://evil.test\r\nMCP-Protocol-Version: 2026-07-28\r\n";
        let response = request(&test_bed, "GET", &path, lines);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("access-control-allow-credentials"), None);
        let preflight = "Host: a\r\nOrigin: null\r\nAccess-Control-Request-Method: GET\r\n\
                         Access-Control-Request-Headers: mcp-protocol-version\r\n\
                         Access-Control-Request-Private-Network: true\r\n";
        let response = request(&test_bed, "OPTIONS", &path, preflight);
        assert_eq!(response.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", Some("*")),
            ("access-control-allow-methods", Some("GET, HEAD")),
            ("access-control-allow-headers", Some("MCP-Protocol-Version")),
            ("access-control-max-age", Some("7200")),
            ("access-control-allow-credentials", None),
            ("access-control-allow-private-network", None),
        ] {
            assert_eq!(response.header(name), value, "{name}");
        }
        // The routes keep their own rules.
        let response = request(
            &test_bed,
            "GET",
            "/one",
            "Host: a\r\nOrigin: https://evil.test\r\n",
        );
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
}

#[test]
fn route_that_takes_every_path_does_not_hide_the_metadata() {
    let routes =
        format!("{TWO}[[routes]]\npath = \"/{{*rest}}\"\nscope = \"all\"\nupstream = \"up\"\n");
    let test_bed = TestBed::routes(&routes);
    let resource = &document(&test_bed, &format!("{METADATA}/one"))["resource"];
    assert_eq!(resource, "https://api.test/one");
    // Other paths below the well-known one are the route's.
    assert_eq!(test_bed.get(&format!("{METADATA}/three"), None).status, 401);
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn hosts_with_routes_of_their_own_have_metadata_of_their_own() {
    let routes = "
[[resources]]
url = \"https://a.test\"
[[resources]]
url = \"https://b.test\"
[[routes]]
host = \"a.test\"
path = \"/{*rest}\"
upstream = \"up\"
[[routes]]
host = [\"b.test\", \"internal.test\"]
path = \"/{*rest}\"
upstream = \"up\"
[[routes]]
host = \"c.test\"
path = \"/{*rest}\"
public = true
upstream = \"up\"
";
    let test_bed = TestBed::routes(routes);
    let read = |host: &str| request(&test_bed, "GET", METADATA, &format!("Host: {host}\r\n"));
    for (host, expected) in [
        ("a.test", "https://a.test"),
        ("A.TEST:8443", "https://a.test"),
        ("b.test", "https://b.test"),
    ] {
        let document: serde_json::Value = serde_json::from_slice(&read(host).body).expect("JSON");
        assert_eq!(document["resource"], expected, "{host}");
    }
    // The upstream of this host may have metadata of its own.
    assert_eq!(read("c.test").text(), "hello");
    assert_eq!(read("unknown.test").status, 404);
}
