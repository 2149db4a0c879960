//! Faults of `[[resources]]`.

use super::*;

fn faults_of(keys: &str) -> Vec<String> {
    let toml = format!("[[resources]]\n{keys}\n");
    match parse("gateway.toml", &toml) {
        Ok(_) => Vec::new(),
        Err(report) => report.lines().collect(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn url_of_a_resource_has_one_spelling() {
    for url in [
        "https://api.example.com",
        "https://api.example.com/",
        "https://api.example.com:8443/mcp",
        "https://api.example.com/mcp/",
        "http://127.0.0.1:8080/mcp",
        "http://[::1]:8080",
        "http://localhost",
        "http://a.localhost:8080/mcp",
    ] {
        assert_eq!(faults_of(&format!("url = \"{url}\"")), [""; 0], "{url}");
    }
    for (url, expected) in [
        (
            "http://api.example.com/mcp",
            "expected an https URL, or an http URL of a loopback host",
        ),
        (
            "http://localhost.example.com/mcp",
            "expected an https URL, or an http URL of a loopback host",
        ),
        (
            "http://127.0.0.1.example.com",
            "expected an https URL, or an http URL of a loopback host",
        ),
        (
            "http://10.0.0.1",
            "expected an https URL, or an http URL of a loopback host",
        ),
        (
            "https://api.example.com/mcp?x=y",
            "expected a URL without a query",
        ),
        (
            "https://api.example.com/mcp?",
            "expected a URL without a query",
        ),
        (
            "https://api.example.com/mcp#a",
            "expected an http or https URL",
        ),
        (
            "https://user:secret@api.example.com",
            "but found one with credentials",
        ),
        (
            "https://api.example.com:0",
            "expected a URL with a port that clients can use",
        ),
        ("ftp://api.example.com", "expected an http or https URL"),
        ("mcp", "expected an http or https URL"),
        (
            "https://API.example.com/mcp",
            "(did you mean \"https://api.example.com/mcp\"?)",
        ),
        (
            "https://api.example.com:443",
            "(did you mean \"https://api.example.com\"?)",
        ),
        (
            "https://api.example.com/a/../mcp",
            "(did you mean \"https://api.example.com/mcp\"?)",
        ),
        (
            "HTTPS://api.example.com/mcp",
            "(did you mean \"https://api.example.com/mcp\"?)",
        ),
    ] {
        let found = faults_of(&format!("url = \"{url}\""));
        assert_eq!(found.len(), 1, "{url}: {found:?}");
        assert!(found[0].contains("resources[0].url: "), "{found:?}");
        assert!(found[0].contains(expected), "{url}: {found:?}");
        assert!(!found[0].contains("secret"), "{found:?}");
    }
}

#[test]
fn resource_needs_a_url_and_an_issuer_needs_an_audience_without_resources() {
    let found = faults_of("name = \"Tools\"");
    assert_eq!(
        found,
        ["gateway.toml:1: resources[0].url: expected the URL of the resource, but found nothing"]
    );
    let issuer = "[issuers.corp]\nissuer = \"https://id.example.com\"";
    assert_eq!(
        faults_of(&format!("url = \"https://a.test\"\n{issuer}")),
        [""; 0]
    );
}
