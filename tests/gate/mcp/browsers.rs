//! Pages: `Origin`, and CORS.

use harness::{Response, TestBed, send};

use super::{call, post};

const ROUTES: &str = "\
[[routes]]
path = \"/listed\"
scope = \"mcp.use\"
upstream = \"up\"
mcp = { origins = [\"https://agent.example\", \"https://*.apps.example\"] }

[[routes]]
path = \"/own\"
scope = \"mcp.use\"
upstream = \"up\"
mcp = {}
";

fn ask(test_bed: &TestBed, path: &str, token: &str, origin: &str) -> Response {
    send(test_bed.address, post(path, token, origin, &call("add")))
}

#[test]
fn page_of_a_foreign_origin_is_a_403_before_its_token_is_looked_at() {
    let top = "[server]\nexternal_url = \"https://api.example\"\n";
    let test_bed = TestBed::toml(top, "", "", ROUTES);
    let token = test_bed.token("mcp.use");
    for (path, origin, passes) in [
        ("/listed", "", true),
        ("/listed", "Origin: https://agent.example\r\n", true),
        ("/listed", "Origin: https://a.apps.example\r\n", true),
        ("/listed", "Origin: https://api.example\r\n", false),
        ("/listed", "Origin: https://evil.example\r\n", false),
        ("/listed", "Origin: http://agent.example\r\n", false),
        ("/listed", "Origin: null\r\n", false),
        ("/listed", "Origin: \r\n", false),
        (
            "/listed",
            "Origin: https://agent.example\r\nOrigin: https://evil.example\r\n",
            false,
        ),
        ("/own", "", true),
        ("/own", "Origin: https://api.example\r\n", true),
        ("/own", "Origin: https://agent.example\r\n", false),
        // The Host of a rebound name.
        ("/own", "Origin: http://a\r\n", false),
    ] {
        for token in [&*token, "forged"] {
            let response = ask(&test_bed, path, token, origin);
            let expected = match (passes, token) {
                (false, _) => 403,
                (true, "forged") => 401,
                (true, _) => 200,
            };
            assert_eq!(response.status, expected, "{path} {origin}");
            if !passes {
                assert_eq!(response.challenge(), None);
            }
        }
    }
    let lines = test_bed.gateway.requests.lines();
    let refused = lines
        .iter()
        .find(|line| line["status"] == 403)
        .expect("a refusal");
    assert_eq!(refused["reason"], "origin_not_allowed");
    let get = format!(
        "GET /listed HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nOrigin: https://evil.example\r\n\r\n"
    );
    assert_eq!(send(test_bed.address, get).status, 403);
}

#[test]
fn pages_of_the_resource_are_accepted_whatever_external_url_says() {
    let top = "[server]\nexternal_url = \"https://api.example\"\n\
               [[resources]]\nurl = \"https://api.test/own\"\naudiences = \"https://api.test\"\n";
    let test_bed = TestBed::toml(top, "", "", ROUTES);
    let token = test_bed.token("mcp.use");
    for (origin, status) in [
        ("Origin: https://api.test\r\n", 200),
        ("Origin: https://api.example\r\n", 403),
        ("", 200),
    ] {
        let response = ask(&test_bed, "/own", &token, origin);
        assert_eq!(response.status, status, "{origin}");
    }
}

#[test]
fn gateway_without_external_url_accepts_no_page() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("mcp.use");
    assert_eq!(ask(&test_bed, "/own", &token, "").status, 200);
    let origin = format!("Origin: http://{}\r\n", test_bed.address);
    assert_eq!(ask(&test_bed, "/own", &token, &origin).status, 403);
}

#[test]
fn preflight_allows_the_headers_of_the_protocol() {
    let top = "[cors]\norigins = \"https://agent.example\"\nheaders = [\"Authorization\", \"mcp-method\"]\nexpose = []\n";
    let routes =
        format!("{ROUTES}\n[[routes]]\npath = \"/plain\"\npublic = true\nupstream = \"up\"\n");
    let test_bed = TestBed::toml(top, "", "", &routes);
    let preflight = |path: &str| {
        send(
            test_bed.address,
            format!(
                "OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://agent.example\r\n\
                 Access-Control-Request-Method: POST\r\n\r\n"
            ),
        )
    };
    let response = preflight("/listed");
    assert_eq!(response.status, 204);
    assert_eq!(
        response.header("access-control-allow-headers"),
        Some(
            "Authorization, mcp-method, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Name, Last-Event-ID"
        )
    );
    assert_eq!(
        preflight("/plain").header("access-control-allow-headers"),
        Some("Authorization, mcp-method")
    );
    let token = test_bed.token("mcp.use");
    let response = ask(
        &test_bed,
        "/listed",
        &token,
        "Origin: https://agent.example\r\n",
    );
    assert_eq!(
        response.header("access-control-expose-headers"),
        Some("Mcp-Session-Id, MCP-Protocol-Version")
    );
}
