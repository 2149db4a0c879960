//! Faults of issuers, of introspection and of secrets.

use super::assert_faults;
use crate::config::tests::{GOOD_ISSUER, good, read};

const ASKS: &str = "validation = \"introspection\"";
const CLIENT: &str = "client_id = \"a\"\nclient_secret = { env = \"LONG\" }\n";

fn introspection(of_issuer: &str, of_introspection: &str) -> String {
    format!(
        "[issuers.corp]\n{GOOD_ISSUER}{of_issuer}\n[issuers.corp.introspection]\n{of_introspection}"
    )
}

/// Tables that lack something or have too much, each with its reports.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn introspection_cases() -> Vec<(String, &'static [&'static str])> {
    vec![
        (
            format!("[issuers.corp]\n{GOOD_ISSUER}{ASKS}"),
            &[
                "1: issuers.corp.introspection: expected a table for introspection, but found nothing (add [issuers.corp.introspection] with client_id and client_secret)",
            ],
        ),
        (
            introspection("", CLIENT),
            &[
                "5: issuers.corp.introspection: expected it only with introspection, but found validation \"jwks\" (validation = \"introspection\", \"jwks+introspection\" or \"jwks-or-introspection\" uses introspection)",
            ],
        ),
        (
            introspection("validation = \"introspect\"", CLIENT),
            &[
                "4: issuers.corp.validation: expected \"jwks\", \"introspection\", \"jwks+introspection\" or \"jwks-or-introspection\", but found \"introspect\" (did you mean \"introspection\"?)",
            ],
        ),
        (
            introspection(ASKS, ""),
            &[
                "5: issuers.corp.introspection.client_id: expected the client_id that authentication \"basic\" needs, but found nothing",
                "5: issuers.corp.introspection.client_secret: expected the client_secret that authentication \"basic\" needs, but found nothing",
            ],
        ),
        (
            introspection(ASKS, "authentication = \"bearrer\"\nclient_id = \"a\""),
            &[
                "6: issuers.corp.introspection.authentication: expected \"basic\", \"form\", \"bearer\", \"private_key_jwt\" or \"none\", but found \"bearrer\" (did you mean \"bearer\"?)",
            ],
        ),
        (
            introspection(
                ASKS,
                &format!("{CLIENT}token_endpoint = \"https://id.example.com/token\""),
            ),
            &[
                "8: issuers.corp.introspection.token_endpoint: expected authentication \"bearer\" beside it, but found \"basic\"",
            ],
        ),
        (
            introspection(
                &format!("{ASKS}\njwks_uri = \"https://id.example.com/keys\""),
                CLIENT,
            ),
            &[
                "5: issuers.corp.jwks_uri: expected no keys where no signature is verified, but found them (validation = \"jwks+introspection\" verifies signatures before introspection)",
            ],
        ),
        (
            introspection(
                &format!("{ASKS}\ndiscovery = false"),
                &format!("authentication = \"bearer\"\naccept = \"phantom\"\n{CLIENT}"),
            ),
            &[
                "5: issuers.corp.discovery: expected discovery or another source of keys for signed responses, but found neither (give jwks_uri, jwks_file or shared_secret)",
                "5: issuers.corp.discovery: expected discovery or introspection.endpoint, but found neither (give introspection.endpoint)",
                "5: issuers.corp.discovery: expected discovery or introspection.token_endpoint, but found neither (give introspection.token_endpoint)",
            ],
        ),
        (
            introspection(ASKS, &format!("{CLIENT}cache_ttl = \"500ms\"")),
            &[
                "8: issuers.corp.introspection.cache_ttl: expected a duration of whole seconds, but found \"500ms\"",
            ],
        ),
        (
            introspection(ASKS, "authentication = \"none\"\naccept = \"jwt\"")
                .replace("\"api\"", "\"any\""),
            &[
                "7: issuers.corp.introspection.accept: expected a client_id or an audience for signed responses, but found neither",
            ],
        ),
        (
            format!("[issuers.corp]\n{GOOD_ISSUER}token_prefix = \"x\""),
            &[
                "4: issuers.corp.token_prefix: expected it only with introspection, but found validation \"jwks\" (validation = \"introspection\", \"jwks+introspection\" or \"jwks-or-introspection\" uses introspection)",
            ],
        ),
    ]
}

#[test]
fn introspection_needs_authentication_and_endpoint() {
    for (text, reports) in introspection_cases() {
        let expected: Vec<_> = reports
            .iter()
            .map(|report| format!("gateway.toml:{report}"))
            .collect();
        assert_eq!(read(&text).err(), Some(expected.join("\n")), "{text}");
    }
    // A section that cannot be read has one fault, and none that follow from it.
    let unreadable = "client_id = \"a\"\nclient_secret = { env = \"NONE\" }";
    for more in ["", "\ndiscovery = false"] {
        let named = introspection(&format!("{ASKS}{more}"), unreadable)
            .replace("https://id.example.com\"\n", "com.ibm.mfp\"\n");
        let report = read(&named).expect_err("no such variable");
        assert_eq!(
            (report.lines().count(), report.contains("client_secret")),
            (1, true),
            "{report}"
        );
    }
    let report = read(&introspection(
        "validation = \"introspection+jwks\"",
        CLIENT,
    ))
    .expect_err("another order");
    assert!(
        report.ends_with("(did you mean \"jwks+introspection\" or \"jwks-or-introspection\"?)"),
        "{report}"
    );
    let report = read(&introspection(
        &format!("{ASKS}\ntoken_prefix = \"a b\""),
        CLIENT,
    ))
    .expect_err("a space");
    assert!(
        report.contains("token_prefix: expected characters of a token"),
        "{report}"
    );
    // Where every endpoint is given, an issuer may go by any name.
    let given = "authentication = \"none\"\nendpoint = \"https://id.example.com/introspect\"";
    good(&introspection(ASKS, given).replace("https://id.example.com\"\n", "com.ibm.mfp\"\n"));
}

#[test]
fn issuer_needs_an_identifier_an_audience_and_one_source_of_keys() {
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
            "gateway.toml:5: issuers.corp.algorithms[0]: expected \"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\", \"ES256\", \"ES384\", \"ES512\", \"EdDSA\" or \"Ed25519\", but found \"HS256\" (HS256, HS384 and HS512 need shared_secret)",
        ),
        (
            &public_key_with_secret,
            "gateway.toml:5: issuers.corp.algorithms[0]: expected \"HS256\", \"HS384\" or \"HS512\", but found \"RS256\" (shared_secret works only with these)",
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
fn missing_secret_is_reported_with_the_remedy_and_never_printed() {
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
fn scope_claim_is_a_name_a_pointer_or_a_whole_table() {
    let forms = "expected the name of a claim, a JSON Pointer, or { claim = \"CLAIM\", prefix = \"PREFIX\", wildcards = true or false }";
    let prefix = "expected characters of a scope without * as prefix";
    for (written, report) in [
        ("\"\"", format!("{forms}, but found \"\"")),
        (
            "7",
            format!("{forms}, but found 7 (write \"7\", in quotes)"),
        ),
        (
            "{ prefix = \"a\" }",
            format!("{forms}, but found a table without a claim"),
        ),
        (
            "{ claim = \"\" }",
            format!("{forms}, but found something else as claim"),
        ),
        (
            "{ claim = \"a\", wildcard = true }",
            format!("{forms}, but found a table with \"wildcard\" (did you mean \"wildcards\"?)"),
        ),
        (
            "{ claim = \"a\", wildcards = \"no\" }",
            format!("{forms}, but found something else as wildcards"),
        ),
        (
            "{ claim = \"a\", prefix = \"a*\" }",
            format!("{prefix}, but found \"a*\""),
        ),
        (
            "{ claim = \"a\", prefix = \"a b\" }",
            format!("{prefix}, but found \"a b\""),
        ),
        (
            "{ claim = \"a\", prefix = \"ü\" }",
            format!("{prefix}, but found \"ü\""),
        ),
        (
            "{ claim = \"a\", prefix = 7 }",
            format!("{prefix}, but found 7"),
        ),
    ] {
        let text = format!("[issuers.corp]\n{GOOD_ISSUER}scope_claims = [\"scope\", {written}]");
        assert_eq!(
            read(&text).err(),
            Some(format!(
                "gateway.toml:4: issuers.corp.scope_claims[1]: {report}"
            )),
            "{written}"
        );
    }
    good(&format!(
        "[issuers.corp]\n{GOOD_ISSUER}scope_claims = [{{ claim = \"/a/b\", prefix = \"role:\" }}]"
    ));
}

#[test]
fn jwks_token_is_refused_where_nothing_is_fetched() {
    for (key, value) in [
        ("jwks_file", "\"keys.json\""),
        ("shared_secret", "{ env = \"LONG\" }"),
    ] {
        let written = format!(
            "[issuers.corp]\n{GOOD_ISSUER}{key} = {value}\njwks_token = {{ env = \"LONG\" }}"
        );
        assert_eq!(
            read(&written).err(),
            Some(format!(
                "gateway.toml:5: issuers.corp.jwks_token: expected only one of \"{key}\" and \"jwks_token\", but found both"
            )),
            "{key}"
        );
    }
    let config = good(&format!(
        "[issuers.corp]\n{GOOD_ISSUER}jwks_token = {{ env = \"LONG\" }}"
    ));
    let issuer = format!("{:?}", config.issuers[0]);
    let token = config.issuers[0].jwks_token.as_ref().expect("a token");
    assert!(!issuer.contains(token.value.expose()), "{issuer}");
}

#[test]
fn tenants_stand_beside_keys_that_fit_them() {
    let issuer = |keys: &str| format!("[issuers.corp]\n{GOOD_ISSUER}{keys}");
    for (keys, expected) in [
        (
            "max_tenants = 5",
            "4: issuers.corp.max_tenants: expected it only with tenants, but found none",
        ),
        (
            "tenants = [\"a\", \"any\"]",
            "4: issuers.corp.tenants[1]: expected \"any\" to stand alone, but found other tenants beside it",
        ),
        (
            "tenants = []",
            "4: issuers.corp.tenants: expected at least one element, but found an empty list (add one; without the key, the issuer has no tenants)",
        ),
        (
            "tenants = \"any\"\nrequire_issuer = false",
            "5: issuers.corp.require_issuer: expected true beside tenants, but found false (a token without iss names no tenant)",
        ),
        (
            "tenants = \"any\"\njwks_file = \"keys.json\"",
            "4: issuers.corp.tenants: expected only one of \"jwks_file\" and \"tenants\", but found both",
        ),
        (
            "tenants = \"any\"\nmax_tenants = 10001",
            "5: issuers.corp.max_tenants: expected an integer from 1 to 10000, but found 10001",
        ),
        (
            "tenants = \"any\"\njwks_uri = \"https://{tenant}.test/keys\"",
            "5: issuers.corp.jwks_uri: expected an http or https URL, but found \"https://{tenant}.test/keys\"",
        ),
        (
            "tenants = \"any\"\njwks_uri = \"https://id.test/a-{tenant}/keys\"",
            "5: issuers.corp.jwks_uri: expected an http or https URL, but found \"https://id.test/a-{tenant}/keys\" (did you mean \"https://id.test\"?)",
        ),
    ] {
        let report = read(&issuer(keys)).expect_err(keys);
        assert_eq!(report, format!("gateway.toml:{expected}"), "{keys}");
    }
    let introspecting = introspection(&format!("{ASKS}\ntenants = \"any\""), CLIENT);
    let report = read(&introspecting).expect_err("introspection");
    assert!(
        report.contains("expected only one of \"introspection\" and \"tenants\", but found both"),
        "{report}"
    );
}
