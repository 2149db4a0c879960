//! Keys that are misspelt, repeated, or written in another form.

use super::assert_faults;
use crate::config::tests::{PUSH, good};

#[test]
fn an_unknown_key_is_reported_with_the_nearest_known_one() {
    assert_faults(&[
        (
            "[server]\nlisen = \"127.0.0.1:1\"",
            "gateway.toml:2: server.lisen: expected a known key, but found \"lisen\" (did you mean \"listen\"?)",
        ),
        (
            "[server]\nshare-port = true",
            "gateway.toml:2: server.share-port: expected a known key, but found \"share-port\" (did you mean \"share_port\"?)",
        ),
        (
            "[log]\ncolour = true",
            "gateway.toml:2: log.colour: expected a known key, but found \"colour\" (known: \"format\", \"level\", \"access\", \"client_id\", \"subject\", \"path\" and \"refusals_per_second\")",
        ),
        (
            "[page]\nlisten = \"127.0.0.1:9090\"",
            "gateway.toml:1: page: expected a known key, but found \"page\" (known: \"server\", \"listeners\", \"admin\", \"development\", \"log\", \"telemetry\", \"cors\", \"fleet\", \"challenge\", \"revocations\", \"issuers\", \"upstreams\", \"limits\", \"routes\" and \"resources\")",
        ),
        (
            "workers = 3\n[server]",
            "gateway.toml:1: workers: expected a known key, but found \"workers\" (write it below the header of its table: \"server\", \"listeners\", \"admin\", \"development\", \"log\", \"telemetry\", \"cors\", \"fleet\", \"challenge\", \"revocations\", \"issuers\", \"upstreams\", \"limits\", \"routes\" or \"resources\")",
        ),
        (
            "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\ntls_client = { certificate = \"c\", key = \"k\", kee = 1 }",
            "gateway.toml:3: upstreams.push.tls_client.kee: expected a known key, but found \"kee\" (did you mean \"key\"?)",
        ),
        (
            "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\nhealth = { path = \"/\", intervall = \"5s\" }",
            "gateway.toml:3: upstreams.push.health.intervall: expected a known key, but found \"intervall\" (did you mean \"interval\"?)",
        ),
    ]);
}

/// Misspelt keys whose absence would be a fault as well.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn misspelt_keys() -> Vec<(String, String)> {
    let corp = "[issuers.corp]\nissuer = \"https://id.example.com\"\naudience = \"api\"\n";
    let meant = |line: usize, key: &str, found: &str, meant: &str| {
        format!(
            "gateway.toml:{line}: {key}: expected a known key, but found {found:?} (did you mean {meant:?}?)"
        )
    };
    vec![
        (
            format!("{PUSH}[[routes]]\npth = \"/\"\nupstream = \"push\""),
            meant(4, "routes[0].pth", "pth", "path"),
        ),
        (
            format!("{PUSH}[[routes]]\npath = \"/\"\nbackend = \"push\""),
            meant(5, "routes[0].backend", "backend", "upstream"),
        ),
        (
            corp.replace("audience", "aud"),
            meant(3, "issuers.corp.aud", "aud", "audience"),
        ),
        (
            format!(
                "[upstream.push]\ntargets = \"http://10.0.0.7\"\n{}",
                "[[routes]]\npath = \"/\"\nupstream = \"push\"\n"
            ),
            meant(1, "upstream", "upstream", "upstreams"),
        ),
        (
            format!(
                "{corp}validaton = \"introspection\"\n[issuers.corp.introspection]\nclient_id = \"a\"\nclient_secret = {{ env = \"LONG\" }}"
            ),
            meant(4, "issuers.corp.validaton", "validaton", "validation"),
        ),
        (
            format!(
                "{corp}validation = \"introspection\"\n[issuers.corp.introspecton]\nclient_id = \"a\""
            ),
            meant(
                5,
                "issuers.corp.introspecton",
                "introspecton",
                "introspection",
            ),
        ),
        (
            format!(
                "{corp}validation = \"introspection\"\n[issuers.corp.introspection]\nclient_ident = \"a\"\nclient_secret = {{ env = \"LONG\" }}"
            ),
            meant(
                6,
                "issuers.corp.introspection.client_ident",
                "client_ident",
                "client_id",
            ),
        ),
        (
            format!("{corp}discovery = false\njwk_uri = \"https://a/b\""),
            meant(5, "issuers.corp.jwk_uri", "jwk_uri", "jwks_uri"),
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\ntls = { certificate = [] }".to_owned(),
            meant(
                3,
                "listeners[0].tls.certificate",
                "certificate",
                "certificates",
            ),
        ),
    ]
}

#[test]
fn misspelt_key_is_one_fault_and_its_consequences_none() {
    for (text, report) in misspelt_keys() {
        assert_faults(&[(&text, &report)]);
    }
}

#[test]
fn word_of_another_program_is_one_fault_with_the_key_that_is_meant() {
    let route = format!("{PUSH}[[routes]]\npath = \"/\"\nupstream = \"push\"\n");
    let fault = |place: &str, found: &str, meant: &str| {
        format!(
            "gateway.toml:{place}.{found}: expected a known key, but found {found:?} (did you mean {meant:?}?)"
        )
    };
    for (found, meant) in [
        ("equals", "is"),
        ("value", "is"),
        ("in", "one_of"),
        ("anyOf", "one_of"),
        ("contains", "has"),
        ("regex", "matches"),
    ] {
        let text = format!("{route}claims = [{{ claim = \"a\", {found} = \"b\" }}]");
        assert_faults(&[(&text, &fault("6: routes[0].claims[0]", found, meant))]);
    }
    let text = format!("{route}claims = [{{ name = \"a\", is = \"b\" }}]");
    assert_faults(&[(&text, &fault("6: routes[0].claims[0]", "name", "claim"))]);
    for found in ["allow_origins", "allowedOrigins", "allow-origin", "orgins"] {
        let text = format!("[cors]\n{found} = \"https://a.test\"");
        assert_faults(&[(&text, &fault("2: cors", found, "origins"))]);
    }
    for (found, meant) in [
        ("allowed_headers", "headers"),
        ("exposeHeaders", "expose"),
        ("allow_credentials", "credentials"),
    ] {
        let text = format!("[cors]\norigins = \"https://a.test\"\n{found} = true");
        assert_faults(&[(&text, &fault("3: cors", found, meant))]);
    }
}

#[test]
fn header_beside_the_table_of_headers_is_proposed_in_it() {
    let route = format!("{PUSH}[[routes]]\npath = \"/\"\n");
    let fault = |table: &str, proposal: &str| {
        format!(
            "gateway.toml:6: routes[0].{table}.X-Key: expected a known key, but found \"X-Key\" ({proposal})"
        )
    };
    let set = "did you mean set = { \"X-Key\" = … }?";
    for (keys, report) in [
        (
            "upstream = \"push\"\nrequest_headers = { X-Key = \"s3cret\" }",
            fault("request_headers", set),
        ),
        (
            "upstream = \"push\"\nresponse_headers = { X-Key = \"s3cret\" }",
            fault("response_headers", set),
        ),
        (
            "public = true\nrespond = { status = 503, X-Key = \"1\" }",
            fault("respond", "did you mean headers = { \"X-Key\" = … }?"),
        ),
    ] {
        assert_faults(&[(&format!("{route}{keys}"), &report)]);
    }
    let other = format!("{route}upstream = \"push\"\nrequest_headers = {{ other = \"a\" }}");
    assert_faults(&[(
        &other,
        "gateway.toml:6: routes[0].request_headers.other: expected a known key, but found \"other\" (known: \"set\" and \"remove\")",
    )]);
}

#[test]
fn repeated_key_is_one_fault_with_its_remedy() {
    let several = "(there may be several, so each begins with [[routes]])";
    let routes = |lines: &[usize]| {
        let lines = lines.iter().map(|line| {
            format!("gateway.toml:{line}: expected [[routes]], but found [routes] {several}")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let single = "[routes]\npath = \"/a\"\nupstream = \"u\"\n";
    let listed = "[[routes]]\npath = \"/a\"\nupstream = \"u\"\n";
    for (text, report) in [
        (single.repeat(4), routes(&[1, 4, 7, 10])),
        (format!("{single}{listed}{listed}"), routes(&[1])),
        (format!("{listed}{single}[server]\n"), routes(&[4])),
        (
            "[server]\nworkers = 1\n[server] # again\nworkers = 2\n[log]\naccess = true\naccess = true".to_owned(),
            "gateway.toml:3: not TOML: duplicate key \"server\" (write it once)\n\
             gateway.toml:7: not TOML: duplicate key \"access\" (write it once)"
                .to_owned(),
        ),
    ] {
        assert_faults(&[(&text, &report)]);
    }
}

#[test]
fn section_of_another_form_is_one_fault() {
    let route = "[[routes]]\npath = \"/\"\nupstream = \"push\"\n";
    for (text, report) in [
        (
            format!("[upstreams]\ntargets = \"http://10.0.0.7\"\nprotocol = \"http2\"\n{route}"),
            "2: upstreams.targets: expected a table, written [upstreams.NAME], but found a string (write [upstreams.NAME] above its keys, with a name of your own)",
        ),
        (
            format!("[[upstreams]]\nname = \"push\"\n{route}"),
            "1: upstreams: expected tables, written [upstreams.NAME], but found a list",
        ),
        (
            "[[server]]\nworkers = 1".to_owned(),
            "1: server: expected a table, written [server], but found a list",
        ),
    ] {
        assert_faults(&[(&text, &format!("gateway.toml:{report}"))]);
    }
}

#[test]
fn every_syntax_error_is_reported_and_nothing_else() {
    assert_faults(&[
        (
            "a = 1\na = 2\n[server]\nworkers = 0\n[server]",
            "gateway.toml:2: not TOML: duplicate key \"a\" (write it once)\n\
             gateway.toml:5: not TOML: duplicate key \"server\" (write it once)",
        ),
        (
            "[routes\nb = 1",
            "gateway.toml:1: not TOML: unclosed table, expected `]`",
        ),
        (
            "[server]\nlisten = 127.0.0.1:8080",
            "gateway.toml:2: not TOML: invalid float, expected nothing (write a text in quotes: key = \"text\")",
        ),
        (
            "[[routes]]\nscope = files.*",
            "gateway.toml:2: not TOML: invalid boolean, expected `false` (write a text in quotes: key = \"text\")",
        ),
        (
            "[[routes]]\npath = /x",
            "gateway.toml:2: not TOML: string values must be quoted, expected literal string (write a text in quotes: key = \"text\")",
        ),
    ]);
}

#[test]
fn tables_written_as_dotted_keys_are_read_and_placed_like_any_other() {
    let text = "server.workers = 3\nupstreams.push.targets = \"http://10.0.0.7\"\n";
    assert_eq!(good(text).server.workers, 3);
    let fault = "gateway.toml:2: issuers.corp.audience: expected the aud of tokens meant for this gateway, or \"any\", but found nothing";
    assert_faults(&[(
        "# dotted\nissuers.corp.issuer = \"https://id.example.com\"",
        fault,
    )]);
}

#[test]
fn a_broken_declaration_is_not_an_undeclared_name() {
    let text = "[upstreams.push]\ntargets = 1\n[[routes]]\npath = \"/\"\nupstream = \"push\"";
    let fault = "gateway.toml:2: upstreams.push.targets: expected an http or https URL of only scheme, host and port, but found 1";
    assert_faults(&[(text, fault)]);
}
