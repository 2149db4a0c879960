//! Values and keys that are refused, and hints at what was meant.

use super::assert_faults;
use crate::config::parse_with;
use crate::config::tests::{PUSH, read};

/// Values of another type, or out of bounds.
const INVALID_VALUES: &[(&str, &str)] = &[
    (
        "server = 5",
        "gateway.toml:1: server: expected a table, written [server], but found 5",
    ),
    (
        "[server]\nworkers = 0",
        "gateway.toml:2: server.workers: expected an integer from 1 to 1024, but found 0",
    ),
    (
        "[server]\nworkers = -1",
        "gateway.toml:2: server.workers: expected an integer from 1 to 1024, but found -1",
    ),
    (
        "[server]\nworkers = \"2\"",
        "gateway.toml:2: server.workers: expected an integer from 1 to 1024, but found \"2\" (write 2, without quotes)",
    ),
    (
        "[server]\nshare_port = 1",
        "gateway.toml:2: server.share_port: expected true or false, but found 1 (write true)",
    ),
    (
        "[server]\ndrain_timeout = \"30\"",
        "gateway.toml:2: server.drain_timeout: expected a duration from \"0s\" to \"1h\", but found \"30\" (did you mean \"30s\"?)",
    ),
    (
        "[server]\ndrain_timeout = \"2h\"",
        "gateway.toml:2: server.drain_timeout: expected a duration from \"0s\" to \"1h\", but found \"2h\"",
    ),
    (
        "[server]\nmax_header_size = \"4KiB\"",
        "gateway.toml:2: server.max_header_size: expected a size from \"8KiB\" to \"1MiB\", but found \"4KiB\"",
    ),
    (
        "[server]\nlisten = [\"127.0.0.1:1\",\n  \"localhost:2\"]",
        "gateway.toml:3: server.listen[1]: expected an IP address and a port, but found \"localhost:2\" (did you mean \"127.0.0.1:2\"?)",
    ),
    (
        "[server]\nlisten = []",
        "gateway.toml:2: server.listen: expected at least one element, but found an empty list (add one)",
    ),
    (
        "[server]\nexternal_url = \"https://api.example.com/v1\"",
        "gateway.toml:2: server.external_url: expected an http or https URL of only scheme, host and port, but found \"https://api.example.com/v1\" (did you mean \"https://api.example.com\"?)",
    ),
    (
        "[server]\nhttp_proxy = \"proxy:3128\"",
        "gateway.toml:2: server.http_proxy: expected \"none\", \"environment\" or an http URL of only scheme, host and port, such as \"http://proxy:3128\", but found \"proxy:3128\" (did you mean \"http://proxy:3128\"?)",
    ),
    (
        "[server]\nhttp_proxy = \"socks5://proxy:1080\"",
        "gateway.toml:2: server.http_proxy: expected \"none\", \"environment\" or an http URL of only scheme, host and port, such as \"http://proxy:3128\", but found \"socks5://proxy:1080\" (the gateway speaks to a proxy over http: TLS and SOCKS proxies are not supported)",
    ),
    (
        "[server]\nhttp_proxy = \"https://proxy:3128\"",
        "gateway.toml:2: server.http_proxy: expected \"none\", \"environment\" or an http URL of only scheme, host and port, such as \"http://proxy:3128\", but found \"https://proxy:3128\" (the gateway speaks to a proxy over http: TLS and SOCKS proxies are not supported)",
    ),
    (
        "[server]\nhttp_proxy = \"http://user:s3cret@proxy:3128\"",
        "gateway.toml:2: server.http_proxy: expected \"none\", \"environment\" or an http URL of only scheme, host and port, such as \"http://proxy:3128\", but found one with credentials (set http_proxy = \"environment\", and put the URL with its credentials into https_proxy)",
    ),
    (
        "[server]\nhttp_proxy = true",
        "gateway.toml:2: server.http_proxy: expected \"none\", \"environment\" or an http URL of only scheme, host and port, such as \"http://proxy:3128\", but found true",
    ),
    (
        "[server]\ntrusted_proxies = [\"10.0.0.0/33\"]",
        "gateway.toml:2: server.trusted_proxies[0]: expected a network such as \"10.0.0.0/8\", but found \"10.0.0.0/33\"",
    ),
    (
        "[server]\npath_parameters = \"refuze\"",
        "gateway.toml:2: server.path_parameters: expected \"refuse\" or \"allow\", but found \"refuze\" (did you mean \"refuse\"?)",
    ),
    (
        "[log]\nlevel = \"verbose\"",
        "gateway.toml:2: log.level: expected \"error\", \"warn\", \"info\", \"debug\" or \"trace\", but found \"verbose\"",
    ),
    (
        "[challenge]\nrealm = \"caf\u{e9}\"",
        "gateway.toml:2: challenge.realm: expected a string of printable ASCII characters, but found \"caf\u{e9}\"",
    ),
    (
        "[development]\ntoken_paths = [\"oauth\", \"/a b\", \"/t?x\", \"/\"]",
        "gateway.toml:2: development.token_paths[0]: expected a path such as \"/oauth/token\", of letters, digits and \"-._~\", but found \"oauth\"\n\
             gateway.toml:2: development.token_paths[1]: expected a path such as \"/oauth/token\", of letters, digits and \"-._~\", but found \"/a b\"\n\
             gateway.toml:2: development.token_paths[2]: expected a path such as \"/oauth/token\", of letters, digits and \"-._~\", but found \"/t?x\"\n\
             gateway.toml:2: development.token_paths[3]: expected a path such as \"/oauth/token\", of letters, digits and \"-._~\", but found \"/\"",
    ),
    (
        "[development]\ntoken_paths = [\"/jwks\", \"/.well-known/x\"]",
        "gateway.toml:2: development.token_paths[0]: expected a path that no other endpoint of this server has, but found \"/jwks\"\n\
             gateway.toml:2: development.token_paths[1]: expected a path that no other endpoint of this server has, but found \"/.well-known/x\"",
    ),
    (
        "[development]\ntoken_format = \"opaq\"",
        "gateway.toml:2: development.token_format: expected \"jwt\" or \"opaque\", but found \"opaq\"",
    ),
    (
        "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\nbalance = \"least_request\"",
        "gateway.toml:3: upstreams.push.balance: expected \"least_requests\" or \"round_robin\", but found \"least_request\" (did you mean \"least_requests\"?)",
    ),
    (
        "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\n[upstreams.push.health]\ninterval = \"0s\"\nunhealthy_after = 0\nhealthy_after = -1",
        "gateway.toml:3: upstreams.push.health.path: expected the path of a check, such as \"/healthz\", but found nothing\n\
             gateway.toml:4: upstreams.push.health.interval: expected a duration from \"100ms\" to \"1h\", but found \"0s\"\n\
             gateway.toml:5: upstreams.push.health.unhealthy_after: expected an integer from 1 to 100, but found 0\n\
             gateway.toml:6: upstreams.push.health.healthy_after: expected an integer from 1 to 100, but found -1",
    ),
    (
        "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\nhealth.path = \"/a b\"",
        "gateway.toml:3: upstreams.push.health.path: expected a path that begins with \"/\", but found \"/a b\"",
    ),
    (
        "[server]\nmax_body_size = \"10MB\"",
        "gateway.toml:2: server.max_body_size: expected \"none\" or a size from \"0B\" to \"1048576MiB\", but found \"10MB\" (did you mean \"10MiB\"?)",
    ),
    (
        "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\noutlier = { consecutive = 0, ejection_time = \"0s\", max_ejected = 50 }",
        "gateway.toml:3: upstreams.push.outlier.consecutive: expected an integer from 1 to 1000, but found 0\n\
         gateway.toml:3: upstreams.push.outlier.ejection_time: expected a duration from \"100ms\" to \"1h\", but found \"0s\"\n\
         gateway.toml:3: upstreams.push.outlier.max_ejected: expected a share from \"1%\" to \"100%\", but found 50 (did you mean \"50%\"?)",
    ),
    (
        "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\noutlier.max_ejected = \"101%\"",
        "gateway.toml:3: upstreams.push.outlier.max_ejected: expected a share from \"1%\" to \"100%\", but found \"101%\"",
    ),
    (
        "[upstreams.push]\ntargets = [{ url = \"http://10.0.0.7\", weight = 0 }]",
        "gateway.toml:2: upstreams.push.targets[0]: expected an integer from 1 to 1000 as weight, but found 0",
    ),
    (
        "[upstreams.push]\ntargets = [{ url = \"http://10.0.0.7\", weight = 1001 }]",
        "gateway.toml:2: upstreams.push.targets[0]: expected an integer from 1 to 1000 as weight, but found 1001",
    ),
    (
        "[upstreams.push]\ntargets = { weight = 3 }",
        "gateway.toml:2: upstreams.push.targets: expected the URL of a server or { url = \"URL\", weight = NUMBER }, but found a table without a url",
    ),
    (
        "[upstreams.push]\ntargets = { url = \"http://10.0.0.7\", wieght = 3 }",
        "gateway.toml:2: upstreams.push.targets: expected the URL of a server or { url = \"URL\", weight = NUMBER }, but found a table with \"wieght\" (did you mean \"weight\"?)",
    ),
    (
        "[upstreams.push]\ntargets = { url = \"http://user:hunter2@10.0.0.7\" }",
        "gateway.toml:2: upstreams.push.targets: expected an http or https URL of only scheme, host and port as url, but found one with credentials",
    ),
    (
        "[upstreams.push]\ntargets = \"http:/10.0.0.7\"",
        "gateway.toml:2: upstreams.push.targets: expected an http or https URL of only scheme, host and port, but found \"http:/10.0.0.7\" (did you mean \"http://10.0.0.7\"?)",
    ),
    (
        "[upstreams.\"a b\"]\ntargets = \"http://10.0.0.7:9000\"",
        "gateway.toml:1: upstreams.\"a b\": expected a name of letters, digits, \"-\" and \"_\", but found \"a b\"",
    ),
    (
        "[routes]\npath = \"/\"",
        "gateway.toml:1: routes: expected a list of tables, written [[routes]], but found a table",
    ),
];

#[test]
fn invalid_value_is_reported_with_place_and_remedy() {
    assert_faults(INVALID_VALUES);
}

/// Values as other programs write them, and the remedy.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn values_of_another_form() -> Vec<(String, String)> {
    let target = |value: &str| format!("[upstreams.u]\ntargets = {value}");
    let issuer =
        |keys: &str| format!("[issuers.a]\nissuer = \"https://a.test\"\naudience = \"b\"\n{keys}");
    let route = |keys: &str| format!("{PUSH}[[routes]]\npath = \"/\"\nupstream = \"push\"\n{keys}");
    let filled = |placeholder: &str| {
        format!("placeholders such as {placeholder} are not replaced: write the value itself")
    };
    let meant = |text: &str| format!("did you mean {text}?");
    vec![
        (
            target("\"127.0.0.1:9081\""),
            meant("\"http://127.0.0.1:9081\""),
        ),
        (
            target("\"localhost:9081\""),
            meant("\"http://localhost:9081\""),
        ),
        (target("\"api.test\""), meant("\"https://api.test\"")),
        (
            target("\"api.test:443/v1\""),
            meant("\"https://api.test:443\""),
        ),
        (target("\"[::1]:9081\""), meant("\"http://[::1]:9081\"")),
        (target("\"http:/10.0.0.7\""), meant("\"http://10.0.0.7\"")),
        (target("\"htpp://10.0.0.7\""), meant("\"http://10.0.0.7\"")),
        (
            target("\"h2c://10.0.0.7:9000\""),
            meant("\"http://10.0.0.7:9000\""),
        ),
        (target("\"wss://10.0.0.7\""), meant("\"https://10.0.0.7\"")),
        (
            target("\"http://10.0.0.7/v1?a\""),
            meant("\"http://10.0.0.7\""),
        ),
        (target("\"http://${API_HOST}:9000\""), filled("${API_HOST}")),
        (target("\"http://$API_HOST:9000\""), filled("$API_HOST")),
        (
            target("\"http://{{ .Values.host }}\""),
            filled("{{ .Values.host }}"),
        ),
        (
            target("\"http://10.0.0.7:80, http://10.0.0.8:80\""),
            meant("[\"http://10.0.0.7:80\", \"http://10.0.0.8:80\"]"),
        ),
        (
            target("[[\"http://10.0.0.7\"]]"),
            "write \"http://10.0.0.7\", without brackets".to_owned(),
        ),
        (
            target("\"http://10.0.0.7\"\nhost = \"https://a.test/\""),
            meant("\"a.test\""),
        ),
        (
            target("\"http://10.0.0.7\"\nhost = \"${NAME}\""),
            filled("${NAME}"),
        ),
        (
            target("\"http://10.0.0.7\"\ntls_server_name = \"https://a.test\""),
            meant("\"a.test\""),
        ),
        (
            target("\"http://10.0.0.7\"\nconnect_timeout = 2"),
            meant("\"2s\""),
        ),
        (
            target("\"http://10.0.0.7\"\nconnect_timeout = \"1.5 sec\""),
            meant("\"1500ms\""),
        ),
        (
            target("\"http://10.0.0.7\"\nretries = \"1\""),
            "write 1, without quotes".to_owned(),
        ),
        (
            issuer("").replace("https://a.test", "https://a.test/<tenant>/v2.0"),
            format!(
                "{}; to name an issuer otherwise, give jwks_uri, jwks_file or shared_secret",
                filled("<tenant>")
            ),
        ),
        (
            issuer("jwks_uri = \"https://${HOST}/keys\""),
            filled("${HOST}"),
        ),
        (
            issuer("jwks_uri = \"keys.json\""),
            "jwks_file takes the path of a file".to_owned(),
        ),
        (
            issuer("jwks_file = \"https://a.test/keys\""),
            "a URL is not a path".to_owned(),
        ),
        (
            issuer("discovery = \"a.test/metadata\""),
            meant("\"https://a.test/metadata\""),
        ),
        (
            issuer("granted_wildcards = \"yes\""),
            "write true, without quotes".to_owned(),
        ),
        (
            "[server]\nlisten = 8080".to_owned(),
            "write \"127.0.0.1:8080\" for this machine only, \"0.0.0.0:8080\" for all interfaces"
                .to_owned(),
        ),
        (
            "[server]\nlisten = \"localhost:8080\"".to_owned(),
            meant("\"127.0.0.1:8080\""),
        ),
        (
            "[server]\nexternal_url = \"api.test\"".to_owned(),
            meant("\"https://api.test\""),
        ),
        (
            "[server]\ntrusted_proxies = \"10.0.0.*\"".to_owned(),
            meant("\"10.0.0.0/24\""),
        ),
        (
            "[server]\nmax_token_size = \"16kb\"".to_owned(),
            meant("\"16KiB\""),
        ),
        (
            "[server]\nmax_token_size = 16384".to_owned(),
            meant("\"16KiB\""),
        ),
        (
            route("methods = \"GET, POST\""),
            meant("[\"GET\", \"POST\"]"),
        ),
        (route("any_scope = \"a\""), meant("[\"a\"]")),
        (
            route("").replace("upstream = \"push\"", "upstream = [\"push\"]"),
            "declared: \"push\"".to_owned(),
        ),
        (
            "[[development.clients]]\nsecret = \"${SECRET}\"".to_owned(),
            "{ env = \"NAME\" } takes it from the environment".to_owned(),
        ),
        (
            "[[development.clients]]\nsecret = { env = \"${SECRET}\" }".to_owned(),
            "a variable is named without $ and braces".to_owned(),
        ),
    ]
}

#[test]
fn value_of_a_wrong_form_is_reported_with_the_right_form() {
    for (text, remedy) in values_of_another_form() {
        let report = read(&text).expect_err(&text);
        assert!(
            report.ends_with(&format!(" ({remedy})")) && report.lines().count() == 1,
            "{text}:\n{report}"
        );
    }
    let credentials =
        read("[upstreams.u]\ntargets = \"user:hunter2@api.test\"").expect_err("credentials");
    assert!(!credentials.contains("hunter2"), "{credentials}");
}

#[test]
fn unlikely_value_is_warned_of_and_secrets_are_not_inspected() {
    let warned = |text: &str| {
        let (_, source) = parse_with("gateway.toml", text, &|_| Some("${A}".repeat(20)))
            .unwrap_or_else(|report| panic!("{report}"));
        let lines: Vec<_> = source.report(source.warnings().to_vec()).lines().collect();
        lines.join("\n")
    };
    let issuer =
        |audience: &str| format!("[issuers.a]\nissuer = \"https://a.test\"\naudience = {audience}");
    let unfilled = "gateway.toml:3: issuers.a.audience: \"${AUD}\" is used literally (placeholders such as ${AUD} are not replaced: write the value itself)";
    assert_eq!(warned(&issuer("\"${AUD}\"")), unfilled);
    assert_eq!(
        warned(&issuer("[\"a\", \"x-${AUD}\"]")),
        unfilled.replace("audience:", "audience[1]:")
    );
    let listed = "gateway.toml:3: issuers.a.audience: \"a, b\" is one value (a list is written [\"a\", \"b\"])";
    assert_eq!(warned(&issuer("\"a, b\"")), listed);
    assert_eq!(warned(&issuer("[\"a\", \"b c\"]")), "");
    assert_eq!(
        warned(&format!(
            "{}\nshared_secret = {{ env = \"A\" }}",
            issuer("\"b\"")
        )),
        ""
    );
    assert_eq!(warned("[[development.clients]]\nsecret = \"a${B}c\""), "");
}
