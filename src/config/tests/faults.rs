//! What a broken file is told, byte for byte.

use std::path::Path;

use super::super::{load, parse, parse_with};
use super::{GOOD_ISSUER, PUSH, good, read};

/// Each text has exactly one fault, which is reported with exactly this line.
#[track_caller]
fn assert_faults(cases: &[(&str, &str)]) {
    for (text, report) in cases {
        assert_eq!(read(text).err().as_deref(), Some(*report), "{text}");
    }
}

#[test]
fn invalid_value_is_reported_with_place_and_remedy() {
    assert_faults(&[
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
            "gateway.toml:2: server.listen: expected at least one element, but found an empty list",
        ),
        (
            "[server]\nexternal_url = \"https://api.example.com/v1\"",
            "gateway.toml:2: server.external_url: expected an http or https URL of only scheme, host and port, but found \"https://api.example.com/v1\" (did you mean \"https://api.example.com\"?)",
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
    ]);
}

#[test]
fn value_of_another_form_is_reported_with_the_form_that_was_meant() {
    let target = |value: &str| format!("[upstreams.u]\ntargets = {value}");
    let issuer =
        |keys: &str| format!("[issuers.a]\nissuer = \"https://a.test\"\naudience = \"b\"\n{keys}");
    let route = |keys: &str| format!("{PUSH}[[routes]]\npath = \"/\"\nupstream = \"push\"\n{keys}");
    let filled = |placeholder: &str| {
        format!("nothing is filled in for {placeholder}: write the value itself")
    };
    let meant = |text: &str| format!("did you mean {text}?");
    for (text, remedy) in [
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
            "a URL is none".to_owned(),
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
            "\"127.0.0.1:8080\" is for this machine alone, \"0.0.0.0:8080\" for everybody"
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
    ] {
        let report = read(&text).expect_err(&text);
        assert!(
            report.ends_with(&format!(" ({remedy})")) && report.lines().count() == 1,
            "{text}:\n{report}"
        );
    }
    let credentials = read(&target("\"user:hunter2@api.test\"")).expect_err("credentials");
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
    let unfilled = "gateway.toml:3: issuers.a.audience: \"${AUD}\" is taken as it stands (nothing is filled in for ${AUD}: write the value itself)";
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
            "gateway.toml:1: page: expected a known key, but found \"page\" (known: \"server\", \"listeners\", \"admin\", \"development\", \"log\", \"telemetry\", \"challenge\", \"issuers\", \"upstreams\" and \"routes\")",
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
    // Whoever declares listeners says where to listen.
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

#[test]
fn introspection_needs_authentication_and_endpoint() {
    let issuer = |of_issuer: &str, of_introspection: &str| {
        format!(
            "[issuers.corp]\n{GOOD_ISSUER}{of_issuer}\n[issuers.corp.introspection]\n{of_introspection}"
        )
    };
    let asks = "validation = \"introspection\"";
    let client = "client_id = \"a\"\nclient_secret = { env = \"LONG\" }\n";
    let at = "gateway.toml:";
    for (text, reports) in [
        (
            format!("[issuers.corp]\n{GOOD_ISSUER}{asks}"),
            &[
                "1: issuers.corp.introspection: expected a table that says how tokens are asked about, but found nothing (add [issuers.corp.introspection] with client_id and client_secret)",
            ][..],
        ),
        (
            issuer("", client),
            &[
                "5: issuers.corp.introspection: expected it where tokens are asked about, but found validation \"jwks\" (validation = \"introspection\" or \"jwks+introspection\" asks)",
            ],
        ),
        (
            issuer("validation = \"introspect\"", client),
            &[
                "4: issuers.corp.validation: expected \"jwks\", \"introspection\" or \"jwks+introspection\", but found \"introspect\" (did you mean \"introspection\"?)",
            ],
        ),
        (
            issuer(asks, ""),
            &[
                "5: issuers.corp.introspection.client_id: expected the client_id that authentication \"basic\" needs, but found nothing",
                "5: issuers.corp.introspection.client_secret: expected the client_secret that authentication \"basic\" needs, but found nothing",
            ],
        ),
        (
            issuer(asks, "authentication = \"bearrer\"\nclient_id = \"a\""),
            &[
                "6: issuers.corp.introspection.authentication: expected \"basic\", \"form\", \"bearer\", \"private_key_jwt\" or \"none\", but found \"bearrer\" (did you mean \"bearer\"?)",
            ],
        ),
        (
            issuer(
                asks,
                &format!("{client}token_endpoint = \"https://id.example.com/token\""),
            ),
            &[
                "8: issuers.corp.introspection.token_endpoint: expected authentication \"bearer\" beside it, but found \"basic\"",
            ],
        ),
        (
            issuer(
                &format!("{asks}\njwks_uri = \"https://id.example.com/keys\""),
                client,
            ),
            &[
                "5: issuers.corp.jwks_uri: expected no keys where no signature is verified, but found them (validation = \"jwks+introspection\" verifies signatures before it asks)",
            ],
        ),
        (
            issuer(
                &format!("{asks}\ndiscovery = false"),
                &format!("authentication = \"bearer\"\naccept = \"phantom\"\n{client}"),
            ),
            &[
                "5: issuers.corp.discovery: expected discovery or another source of keys for answers that are signed, but found neither (give jwks_uri, jwks_file or shared_secret)",
                "5: issuers.corp.discovery: expected discovery or introspection.endpoint, but found neither (give introspection.endpoint)",
                "5: issuers.corp.discovery: expected discovery or introspection.token_endpoint, but found neither (give introspection.token_endpoint)",
            ],
        ),
        (
            issuer(asks, &format!("{client}cache_ttl = \"500ms\"")),
            &[
                "8: issuers.corp.introspection.cache_ttl: expected a duration of whole seconds, but found \"500ms\"",
            ],
        ),
        (
            issuer(asks, "authentication = \"none\"\naccept = \"jwt\"")
                .replace("\"api\"", "\"any\""),
            &[
                "7: issuers.corp.introspection.accept: expected a client_id or an audience that signed answers are meant for, but found neither",
            ],
        ),
        (
            format!("[issuers.corp]\n{GOOD_ISSUER}token_prefix = \"x\""),
            &[
                "4: issuers.corp.token_prefix: expected it where tokens are asked about, but found validation \"jwks\" (validation = \"introspection\" or \"jwks+introspection\" asks)",
            ],
        ),
    ] {
        let expected: Vec<_> = reports
            .iter()
            .map(|report| format!("{at}{report}"))
            .collect();
        assert_eq!(read(&text).err(), Some(expected.join("\n")), "{text}");
    }
    // A section that cannot be read has one fault, and none that follow from it.
    let unreadable = "client_id = \"a\"\nclient_secret = { env = \"NONE\" }";
    for more in ["", "\ndiscovery = false"] {
        let named = issuer(&format!("{asks}{more}"), unreadable)
            .replace("https://id.example.com\"\n", "com.ibm.mfp\"\n");
        let told = read(&named).expect_err("no such variable");
        assert_eq!(
            (told.lines().count(), told.contains("client_secret")),
            (1, true),
            "{told}"
        );
    }
    let told =
        read(&issuer("validation = \"introspection+jwks\"", client)).expect_err("another order");
    assert!(
        told.ends_with("(did you mean \"jwks+introspection\"?)"),
        "{told}"
    );
    let told =
        read(&issuer(&format!("{asks}\ntoken_prefix = \"a b\""), client)).expect_err("a space");
    assert!(
        told.contains("token_prefix: expected characters that tokens are made of"),
        "{told}"
    );
    // Where every endpoint is given, an issuer may go by any name.
    let given = "authentication = \"none\"\nendpoint = \"https://id.example.com/introspect\"";
    good(&issuer(asks, given).replace("https://id.example.com\"\n", "com.ibm.mfp\"\n"));
}

#[test]
fn an_issuer_says_who_it_is_whom_its_tokens_are_for_and_where_its_keys_are() {
    let secret_too_short = format!(
        "[issuers.corp]\n{GOOD_ISSUER}shared_secret = {{ env = \"LONG\" }}\nalgorithms = [\"HS512\"]"
    );
    let two_sources = format!(
        "[issuers.corp]\n{GOOD_ISSUER}jwks_uri = \"https://id.example.com/keys\"\njwks_file = \"keys\""
    );
    let public_key_with_secret = format!(
        "[issuers.corp]\n{GOOD_ISSUER}shared_secret = {{ env = \"LONG\" }}\nalgorithms = [\"RS256\"]"
    );
    let secret_without_secret =
        format!("[issuers.corp]\n{GOOD_ISSUER}jwks_file = \"keys\"\nalgorithms = [\"HS256\"]");
    let no_keys = format!("[issuers.corp]\n{GOOD_ISSUER}discovery = false");
    let leeway = format!("[issuers.corp]\n{GOOD_ISSUER}leeway = \"6m\"");
    assert_faults(&[
        (
            "[issuers.corp]\naudience = \"api\"",
            "gateway.toml:1: issuers.corp.issuer: expected the iss of its tokens, but found nothing",
        ),
        (
            "[issuers.corp]\nissuer = \"https://id.example.com\"",
            "gateway.toml:1: issuers.corp.audience: expected the aud of tokens meant for this gateway, or \"any\", but found nothing",
        ),
        (
            "[issuers.corp]\nissuer = \"https://id.example.com\"\naudience = [\"api\", \"any\"]",
            "gateway.toml:3: issuers.corp.audience[1]: expected \"any\" to stand alone, but found other audiences beside it",
        ),
        (
            "[issuers.corp]\nissuer = \"com.ibm.mfp\"\naudience = \"api\"",
            "gateway.toml:2: issuers.corp.issuer: expected an http or https URL without query and fragment, but found \"com.ibm.mfp\" (to name an issuer otherwise, give jwks_uri, jwks_file or shared_secret)",
        ),
        (
            "[issuers.corp]\nissuer = \"https://id.example.com/?a\"\naudience = \"api\"",
            "gateway.toml:2: issuers.corp.issuer: expected an http or https URL without query and fragment, but found \"https://id.example.com/?a\" (to name an issuer otherwise, give jwks_uri, jwks_file or shared_secret)",
        ),
        (
            &no_keys,
            "gateway.toml:4: issuers.corp.discovery: expected discovery or another source of keys, but found neither (give jwks_uri, jwks_file or shared_secret)",
        ),
        (
            &two_sources,
            "gateway.toml:5: issuers.corp.jwks_file: expected only one of \"jwks_uri\" and \"jwks_file\", but found both",
        ),
        (
            &secret_without_secret,
            "gateway.toml:5: issuers.corp.algorithms[0]: expected \"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\", \"ES256\", \"ES384\" or \"EdDSA\", but found \"HS256\" (HS256, HS384 and HS512 need shared_secret)",
        ),
        (
            &public_key_with_secret,
            "gateway.toml:5: issuers.corp.algorithms[0]: expected \"HS256\", \"HS384\" or \"HS512\", but found \"RS256\" (shared_secret serves no other)",
        ),
        (
            &secret_too_short,
            "gateway.toml:4: issuers.corp.shared_secret: expected a secret of at least 64 bytes, but found 32 (\"openssl rand -base64 64\" makes one)",
        ),
        (
            &leeway,
            "gateway.toml:4: issuers.corp.leeway: expected a duration from \"0s\" to \"5m\", but found \"6m\"",
        ),
    ]);
}

#[test]
fn route_needs_a_path_an_upstream_and_one_kind_of_access() {
    let route = |keys: &str| {
        format!(
            "{PUSH}[issuers.corp]\n{GOOD_ISSUER}[[routes]]\npath = \"/\"\nupstream = \"push\"\n{keys}"
        )
    };
    let cases = [
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
            "9: routes[0].scope: expected a string that is not empty, but found a list (scopes that are all needed stand in one string: \"a b\"; any_scope takes a list)",
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
            "9: routes[0].issuers: expected at least one element, but found an empty list",
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
    for (keys, report) in cases {
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
            "gateway.toml:1: routes[0].upstream: expected the name of an upstream, but found nothing",
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
fn a_secret_that_cannot_be_had_is_reported_with_the_remedy_and_never_printed() {
    let client = |secret: &str| format!("[[development.clients]]\nsecret = {secret}");
    let forms = "expected a string, { env = \"NAME\" } or { file = \"PATH\" }, but found";
    let variable = "expected a secret in the environment variable";
    let remedy = "(set it where scopegate starts)";
    let cases = [
        ("12345", format!("{forms} an integer")),
        ("[\"hunter2\"]", format!("{forms} a list")),
        ("\" \"", format!("{forms} a blank string")),
        ("{ enw = \"hunter2\" }", format!("{forms} another table")),
        ("{ env = \"A\", file = \"b\" }", format!("{forms} another table")),
        ("{ env = \"NONE\" }", format!("{variable} \"NONE\", but found no such variable, or one that is not UTF-8 {remedy}")),
        ("{ env = \"BLANK\" }", format!("{variable} \"BLANK\", but found a blank one {remedy}")),
        (
            "{ file = \"/nowhere/secret\" }",
            "expected a secret in the file \"/nowhere/secret\", but found none: No such file or directory (os error 2) (it must be a file that the user who runs scopegate may read)".to_owned(),
        ),
    ];
    for (secret, fault) in cases {
        let report = format!("gateway.toml:2: development.clients[0].secret: {fault}");
        assert_eq!(read(&client(secret)).err(), Some(report), "{secret}");
    }
    assert_faults(&[
        (
            "[upstreams.push]\ntargets = \"http://user:hunter2@10.0.0.7\"",
            "gateway.toml:2: upstreams.push.targets: expected an http or https URL of only scheme, host and port, but found one with credentials",
        ),
        (
            "[upstreams.push]\ntargets = \"http://user:hunter2@\"",
            "gateway.toml:2: upstreams.push.targets: expected an http or https URL of only scheme, host and port, but found one with credentials",
        ),
        (
            "[issuers.corp]\nissuer = \"https://user:hunter2@id.example.com\"\naudience = \"api\"",
            "gateway.toml:2: issuers.corp.issuer: expected an http or https URL without query and fragment, but found one with credentials (to name an issuer otherwise, give jwks_uri, jwks_file or shared_secret)",
        ),
        (
            "[[development.clients]]\nsecret = \"hunter2",
            "gateway.toml:2: not TOML: invalid basic string, expected `\"`",
        ),
    ]);
    let debug = format!("{:?}", good(&client("\"hunter2\"")));
    assert!(!debug.contains("hunter2"), "{debug}");
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
    let same = "expected an address that nothing else of this file has, but found that of";
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
fn every_syntax_error_is_reported_and_nothing_else() {
    assert_faults(&[
        (
            "a = 1\na = 2\n[server]\nworkers = 0\n[server]",
            "gateway.toml:2: not TOML: duplicate key \"a\" (it stands there once)\n\
             gateway.toml:5: not TOML: duplicate key \"server\" (it stands there once)",
        ),
        (
            "[routes\nb = 1",
            "gateway.toml:1: not TOML: unclosed table, expected `]`",
        ),
    ]);
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
            "gateway.toml:3: not TOML: duplicate key \"server\" (it stands there once)\n\
             gateway.toml:7: not TOML: duplicate key \"access\" (it stands there once)"
                .to_owned(),
        ),
    ] {
        assert_faults(&[(&text, &report)]);
    }
}

#[test]
fn misspelt_key_is_one_fault_and_its_consequences_none() {
    let corp = "[issuers.corp]\nissuer = \"https://id.example.com\"\naudience = \"api\"\n";
    let meant = |line: usize, key: &str, found: &str, meant: &str| {
        format!(
            "gateway.toml:{line}: {key}: expected a known key, but found {found:?} (did you mean {meant:?}?)"
        )
    };
    for (text, report) in [
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
fn a_file_that_cannot_be_read_is_a_report_as_well() {
    let report = |path: &Path| load(path).map(|_| ()).expect_err("unreadable").to_string();
    let missing = Path::new("/nowhere/gateway.toml");
    let none = "/nowhere/gateway.toml: expected a file to read, but found none: No such file or directory (os error 2)";
    assert_eq!(report(missing), none);
    let folder = tempfile::tempdir().expect("a folder");
    let of_folder = format!(
        "{}: expected a file to read, but found a folder, which is no regular file (what is read again for reloads has to be a file, or a link to one)",
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
fn later_faults_are_reported_at_the_places_kept_here() {
    let text = format!("{PUSH}[[routes]]\npath = \"nonsense\"\nupstream = \"push\"");
    let (config, source) = parse("gateway.toml", &text).expect("a good file");
    let fault = config.routes[0]
        .path
        .fault("expected a path that starts with \"/\", but found \"nonsense\"");
    let report = source.report(vec![fault.with_help("write \"/nonsense\"")]);
    let line = "gateway.toml:4: routes[0].path: expected a path that starts with \"/\", but found \"nonsense\" (write \"/nonsense\")";
    assert_eq!(report.to_string(), line);
}
