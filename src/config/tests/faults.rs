//! The report of a faulty file, byte for byte.

mod claim_rules;
mod issuers;
mod keys;
mod listeners;
mod presets;
mod resources;
mod values;

use std::path::Path;

use super::super::{load, parse};
use super::{GOOD_ISSUER, PUSH, good, read};

/// Each text has exactly one fault, which is reported with exactly this line.
#[track_caller]
fn assert_faults(cases: &[(&str, &str)]) {
    for (text, report) in cases {
        assert_eq!(read(text).err().as_deref(), Some(*report), "{text}");
    }
}

#[test]
fn listener_with_tls_has_a_certificate() {
    assert_faults(&[
        (
            "[[listeners]]",
            "gateway.toml:1: listeners[0].address: expected an IP address and a port, but found nothing",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:8443\"\ntls = {}",
            "gateway.toml:3: listeners[0].tls.certificates: expected at least one certificate with its key, but found nothing (certificates = [{ certificate = \"a.crt\", key = \"a.key\" }])",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:8443\"\ntls = { certificates = [{ certificate = \"a.crt\" }] }",
            "gateway.toml:3: listeners[0].tls.certificates[0].key: expected the path of its private key, but found nothing",
        ),
        (
            "[development]\n[[listeners]]\naddress = \"0.0.0.0:8443\"",
            "gateway.toml:3: listeners[0].address: expected a loopback address beside [development], but found \"0.0.0.0:8443\" (listen on 127.0.0.1, or remove [development])",
        ),
    ]);
    // A file with listeners has no default address.
    let addresses = |text: &str| {
        good(text)
            .listeners
            .iter()
            .map(|listener| listener.address.value.to_string())
            .collect::<Vec<_>>()
    };
    let declared = "[[listeners]]\naddress = \"127.0.0.1:8443\"\n";
    assert_eq!(addresses(declared), ["127.0.0.1:8443"]);
    assert_eq!(
        addresses(&format!("[server]\nlisten = \"127.0.0.1:80\"\n{declared}")),
        ["127.0.0.1:80", "127.0.0.1:8443"]
    );
}

/// Keys of a route beside its path and its upstream.
const ROUTE_KEYS: &[(&str, &str)] = &[
    (
        "step_up = {}",
        "9: routes[0].step_up.acr: expected acr or max_age, but found neither",
    ),
    (
        "step_up = { acr = \"a b\" }",
        "9: routes[0].step_up.acr: expected printable ASCII characters without spaces, quotes and backslashes, but found \"a b\" (did you mean [\"a\", \"b\"]?)",
    ),
    (
        "step_up = { acr = [] }",
        "9: routes[0].step_up.acr: expected at least one element, but found an empty list (add one; without the key, any value is accepted)",
    ),
    (
        "step_up = { max_age = \"0s\" }",
        "9: routes[0].step_up.max_age: expected a duration from \"1s\" to \"720h\", but found \"0s\"",
    ),
    (
        "public = true\nstep_up = { acr = \"phr\" }",
        "10: routes[0].step_up: expected only one of \"public\" and \"step_up\", but found both",
    ),
    (
        "public = true\ntoken_from = \"header\"",
        "10: routes[0].token_from: expected only one of \"public\" and \"token_from\", but found both",
    ),
    (
        "token_from = \"query\"",
        "9: routes[0].token_from: expected \"header\", \"websocket_protocol\" or { cookie = \"NAME\", origins = [\"ORIGIN\"] }, but found \"query\" (URLs end up in logs and histories: use \"websocket_protocol\" for WebSockets, and a cookie for EventSource and links)",
    ),
    (
        "token_from = { cookie = \"a b\" }",
        "9: routes[0].token_from: expected \"header\", \"websocket_protocol\" or { cookie = \"NAME\", origins = [\"ORIGIN\"] }, but found something else as the name of the cookie",
    ),
    (
        "token_from = { origins = \"https://a.test\" }",
        "9: routes[0].token_from: expected \"header\", \"websocket_protocol\" or { cookie = \"NAME\", origins = [\"ORIGIN\"] }, but found a table without a cookie",
    ),
    (
        "token_from = { cookie = \"at\", orgins = \"https://a.test\" }",
        "9: routes[0].token_from: expected \"header\", \"websocket_protocol\" or { cookie = \"NAME\", origins = [\"ORIGIN\"] }, but found a table with \"orgins\" (did you mean \"origins\"?)",
    ),
    (
        "allow_from = []",
        "9: routes[0].allow_from: expected at least one element, but found an empty list (add one; without the key, all clients may use it)",
    ),
    (
        "scope = \"a\"\nany_scope = [\"b\"]",
        "10: routes[0].any_scope: expected only one of \"scope\" and \"any_scope\", but found both",
    ),
    (
        "public = true\nscope = \"a\"",
        "10: routes[0].scope: expected only one of \"public\" and \"scope\", but found both",
    ),
    (
        "public = true\nany_scope = [\"a\"]",
        "10: routes[0].any_scope: expected only one of \"public\" and \"any_scope\", but found both",
    ),
    (
        "public = true\nissuers = \"corp\"",
        "10: routes[0].issuers: expected only one of \"public\" and \"issuers\", but found both",
    ),
    (
        "any_scope = \"a\"",
        "9: routes[0].any_scope: expected a list, but found \"a\" (did you mean [\"a\"]?)",
    ),
    (
        "scope = [\"a\", \"b\"]",
        "9: routes[0].scope: expected a string that is not empty, but found a list (write scopes that are all required in one string: \"a b\"; any_scope takes a list)",
    ),
    (
        "scope = \"\"",
        "9: routes[0].scope: expected a string that is not empty, but found \"\"",
    ),
    (
        "issuers = [\"corp\", \"acme\"]",
        "9: routes[0].issuers[1]: expected a declared issuer, but found \"acme\" (declared: \"corp\")",
    ),
    (
        "issuers = []",
        "9: routes[0].issuers: expected at least one element, but found an empty list (add one; without the key, those of all issuers are)",
    ),
    (
        "methods = \"post\"",
        "9: routes[0].methods: expected an HTTP method in capitals, but found \"post\" (did you mean \"POST\"?)",
    ),
    (
        "methods = [\"A B\"]",
        "9: routes[0].methods[0]: expected an HTTP method, but found \"A B\"",
    ),
    (
        "claim_headers = { \"a b\" = \"sub\" }",
        "9: routes[0].claim_headers.\"a b\": expected the name of a header, but found \"a b\"",
    ),
    (
        "claim_headers = { X-Groups = { format = \"json\" } }",
        "9: routes[0].claim_headers.X-Groups: expected the name of a claim or { claim = \"NAME\", format = \"text\" or \"json\" }, but found a table without a claim",
    ),
    (
        "claim_headers = { X-Groups = { claim = \"groups\", format = \"jsn\" } }",
        "9: routes[0].claim_headers.X-Groups: expected \"text\" or \"json\" as format, but found \"jsn\" (did you mean \"json\"?)",
    ),
    (
        "claim_headers = { X-Groups = { claim = \"groups\", from = \"x\" } }",
        "9: routes[0].claim_headers.X-Groups: expected the name of a claim or { claim = \"NAME\", format = \"text\" or \"json\" }, but found a table with \"from\"",
    ),
    (
        "claim_headers = { Content_Length = \"sub\" }",
        "9: routes[0].claim_headers.Content_Length: expected a header that the gateway leaves alone, but found \"Content_Length\" (choose a name of your own, such as \"X-Client-Id\")",
    ),
    (
        "claim_headers = { X-User = \"sub\", x_user = \"sub\" }",
        "9: routes[0].claim_headers.x_user: expected every header once, but found \"x_user\" again",
    ),
];

#[test]
fn route_needs_a_path_an_upstream_and_one_kind_of_access() {
    let route = |keys: &str| {
        format!(
            "{PUSH}[issuers.corp]\n{GOOD_ISSUER}[[routes]]\npath = \"/\"\nupstream = \"push\"\n{keys}"
        )
    };
    for (keys, report) in ROUTE_KEYS {
        assert_eq!(
            read(&route(keys)).err(),
            Some(format!("gateway.toml:{report}")),
            "{keys}"
        );
    }
    assert_faults(&[
        (
            "[[routes]]\npath = \"/\"\nupstream = \"push\"",
            "gateway.toml:3: routes[0].upstream: expected a declared upstream, but found \"push\" (declared: none is)",
        ),
        (
            &format!("{PUSH}[[routes]]\npath = \"/\"\nupstream = \"pusch\""),
            "gateway.toml:5: routes[0].upstream: expected a declared upstream, but found \"pusch\" (declared: \"push\"; did you mean \"push\"?)",
        ),
        (
            &format!("{PUSH}[[routes]]\nupstream = \"push\""),
            "gateway.toml:3: routes[0].path: expected the path it is for, but found nothing",
        ),
        (
            "[[routes]]\npath = \"/\"",
            "gateway.toml:1: routes[0].upstream: expected the name of an upstream, but found nothing (add upstream = \"NAME\", or respond if the gateway itself responds)",
        ),
    ]);
}

#[test]
fn development_listens_on_loopback_only() {
    assert_faults(&[
        (
            "[server]\nlisten = [\"127.0.0.1:8080\", \"0.0.0.0:8090\"]\n[development]",
            "gateway.toml:2: server.listen[1]: expected a loopback address beside [development], but found \"0.0.0.0:8090\" (listen on 127.0.0.1, or remove [development])",
        ),
        (
            "[development]\necho = \"10.0.0.1:9081\"",
            "gateway.toml:2: development.echo: expected a loopback address beside [development], but found \"10.0.0.1:9081\" (listen on 127.0.0.1, or remove [development])",
        ),
        (
            "[development]\nclients = [{ id = \"a\" }, { id = \"a\" }]",
            "gateway.toml:2: development.clients[1]: expected an id of its own, but found \"a\" again",
        ),
    ]);
}

#[test]
fn a_file_with_a_dozen_faults_reports_them_all_in_the_order_of_their_places() {
    let text = r#"
[server]
lisen = "127.0.0.1:8080"
workers = 0
[development]
token_format = "reference"
[issuers.corp]
issuer = "corp"
algorithms = ["HS256", "RS265"]
[upstreams.push]
targets = ["http://10.0.0.7:9000", "ftp://10.0.0.8"]
health = { path = "health" }
[[routes]]
path = "/a"
upstream = "psh"
[[routes]]
methods = "post"
public = true
issuers = ["crop"]
"#;
    let places: Vec<_> = [
        "3: server.lisen",
        "4: server.workers",
        "6: development.token_format",
        "7: issuers.corp.audience",
        "8: issuers.corp.issuer",
        "9: issuers.corp.algorithms[0]",
        "9: issuers.corp.algorithms[1]",
        "11: upstreams.push.targets[1]",
        "12: upstreams.push.health.path",
        "15: routes[0].upstream",
        "16: routes[1].path",
        "16: routes[1].upstream",
        "17: routes[1].methods",
        "19: routes[1].issuers",
        "19: routes[1].issuers[0]",
    ]
    .map(|place| format!("gateway.toml:{place}: expected "))
    .into();
    let report = read(text).expect_err("a broken file");
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), places.len(), "{report}");
    for (line, place) in lines.iter().zip(places) {
        assert!(line.starts_with(&place), "{line} at {place}");
    }
}

#[test]
fn addresses_that_collide_are_refused_and_free_ports_never_do() {
    let same = "expected an address of its own, but found that of";
    let cases = [
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n[admin]\nlisten = \"127.0.0.1:1\"",
            4,
            "admin.listen",
            "server.listen",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:1\", \"0.0.0.0:1\"]",
            2,
            "server.listen[1]",
            "server.listen[0]",
        ),
        (
            "[server]\nlisten = \"[::1]:1\"\n[[listeners]]\naddress = \"[::]:1\"",
            4,
            "listeners[0].address",
            "server.listen",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n[development]\nlisten = \"127.0.0.1:1\"",
            4,
            "development.listen",
            "server.listen",
        ),
        (
            "[development]\nlisten = \"127.0.0.1:1\"\necho = \"127.0.0.1:1\"",
            3,
            "development.echo",
            "development.listen",
        ),
    ];
    for (text, line, key, other) in cases {
        assert_faults(&[(text, &format!("gateway.toml:{line}: {key}: {same} {other}"))]);
    }
    for text in [
        "[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]",
        "[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.2:1\", \"[::1]:1\"]",
        "[server]\nlisten = [\"0.0.0.0:1\", \"[::]:1\"]",
    ] {
        good(text);
    }
}

#[test]
fn of_very_many_faults_the_first_are_printed_and_the_rest_are_counted() {
    let routes = "[[routes]]\npath = \"/\"\nupstream = \"push\"\nskope = \"a\"\n".repeat(3000);
    let report = read(&format!("{PUSH}{routes}"))
        .expect_err("misspelt")
        .to_string();
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 51);
    assert!(
        lines[0].starts_with("gateway.toml:6: routes[0].skope: "),
        "{}",
        lines[0]
    );
    assert_eq!(lines[50], "gateway.toml: 2950 more errors are not shown");
    let long = read(&format!("{} = 1", "a".repeat(100_000)))
        .expect_err("no key")
        .to_string();
    assert!(long.len() < 1100 && long.ends_with('…'), "{}", long.len());
}

#[test]
fn unreadable_file_is_a_report() {
    let report = |path: &Path| load(path).map(|_| ()).expect_err("unreadable").to_string();
    let missing = Path::new("/nowhere/gateway.toml");
    let none = "/nowhere/gateway.toml: expected a file to read, but found none: No such file or directory (os error 2)";
    assert_eq!(report(missing), none);
    let folder = tempfile::tempdir().expect("a folder");
    let of_folder = format!(
        "{}: expected a file to read, but found a directory, which is not a regular file (reloads read it again, so it must be a file, or a link to one)",
        folder.path().display()
    );
    assert_eq!(report(folder.path()), of_folder);
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, b"a = 1\nb = \"\xff\"").expect("a writable folder");
    assert_eq!(
        report(&path),
        format!(
            "{}:2: expected UTF-8, but found other bytes",
            path.display()
        )
    );
}

#[test]
fn fault_found_after_parsing_is_reported_with_its_place() {
    let text = format!("{PUSH}[[routes]]\npath = \"nonsense\"\nupstream = \"push\"");
    let (config, source) = parse("gateway.toml", &text).expect("a good file");
    let fault = config.routes[0]
        .first_path()
        .fault("expected a path that starts with \"/\", but found \"nonsense\"");
    let report = source.report(vec![fault.with_help("write \"/nonsense\"")]);
    let line = "gateway.toml:4: routes[0].path: expected a path that starts with \"/\", but found \"nonsense\" (write \"/nonsense\")";
    assert_eq!(report.to_string(), line);
}
