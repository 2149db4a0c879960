mod declare;
mod faults;
mod http_proxy;
mod presets;
pub(super) mod schema;

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::values::{Balance, ForwardToken, LogLevel, PathParameters, TokenFormat};

const GOOD_ISSUER: &str = "issuer = \"https://id.example.com\"\naudience = \"api\"\n";
const PUSH: &str = "[upstreams.push]\ntargets = \"http://10.0.0.7:9000\"\n";
const LONG: &str = "0123456789abcdef0123456789abcdef";

fn read(text: &str) -> Result<Config, String> {
    let variable = |name: &str| match name {
        "LONG" => Some(LONG.to_owned()),
        "BLANK" => Some(" \n".to_owned()),
        _ => None,
    };
    let read = parse_with("gateway.toml", text, &variable).map(|(config, _)| config);
    schema::assert_agrees(text, &read);
    read.map_err(|report| report.to_string())
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn secret_knows_its_origin_and_loses_the_newline_of_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "from the file\n").expect("a writable folder");
    let file_name = folder.path().join("gateway.toml").display().to_string();
    let text = "[[development.clients]]\nid = \"a\"\nsecret = { file = \"secret\" }\n\
                [[development.clients]]\nid = \"b\"\nsecret = { env = \"B\" }\n\
                [[development.clients]]\nid = \"c\"\nsecret = \"bare\"";
    let (config, _) =
        parse_with(&file_name, text, &|name| Some(format!("from {name}"))).expect("a good file");
    let clients = config.development.expect("declared").clients;
    let secrets: Vec<_> = clients.iter().map(|client| &client.value.secret).collect();
    assert_eq!(
        secrets
            .iter()
            .map(|secret| secret.expose())
            .collect::<Vec<_>>(),
        ["from the file", "from B", "bare"]
    );
    assert_eq!(
        *secrets[0].origin(),
        SecretOrigin::File(folder.path().join("secret"))
    );
    assert_eq!(*secrets[1].origin(), SecretOrigin::Variable("B".to_owned()));
    assert_eq!(*secrets[2].origin(), SecretOrigin::Bare);
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = good("");
    let server = &config.server;
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(
        config.listeners[0].address.value.to_string(),
        "127.0.0.1:8080"
    );
    assert_eq!(server.header_timeout, Duration::from_secs(10));
    assert_eq!(server.keep_alive_timeout, Duration::from_secs(75));
    assert_eq!(server.path_parameters, PathParameters::Refuse);
    assert_eq!(
        (
            server.max_header_size,
            server.max_headers,
            server.max_token_size
        ),
        (32_768, 100, 16_384)
    );
    let log = Log {
        format: None,
        level: LogLevel::Info,
        access: true,
        client_id: true,
        subject: Spanned::new(false, "log.subject".to_owned(), None),
        path: Spanned::new(false, "log.path".to_owned(), None),
        refusals_per_second: 100,
    };
    assert_eq!(config.log, log);
    assert!(server.request_id);
    let quiet = Challenge {
        realm: None,
        describe: false,
        scope_when_unauthenticated: false,
    };
    assert_eq!(config.challenge, quiet);
    assert!(config.development.is_none() && config.issuers.is_empty() && config.routes.is_empty());
}

#[test]
fn absent_key_has_its_documented_default() {
    let config = good(&format!(
        "[development]\n[issuers.z]\n{GOOD_ISSUER}[issuers.a]\n{GOOD_ISSUER}shared_secret = {{ env = \"LONG\" }}\n{PUSH}\
         [[routes]]\npath = \"/\"\nupstream = \"push\""
    ));
    let development = config.development.expect("declared");
    assert_eq!(development.listen.value.to_string(), "127.0.0.1:9080");
    assert_eq!(development.clients[0].value.id, "test");
    assert_eq!(development.clients[0].value.allowed_scope, "*");

    let names: Vec<_> = config
        .issuers
        .iter()
        .map(|issuer| issuer.name.value.as_str())
        .collect();
    assert_eq!(names, ["z", "a"], "the order of the file");
    let texts = |list: &[Spanned<String>]| {
        list.iter()
            .map(|text| text.value.clone())
            .collect::<Vec<_>>()
    };
    let [public, shared] = config.issuers.as_slice() else {
        panic!("two issuers")
    };
    assert_eq!(
        algorithm_names(public),
        ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
    );
    assert_eq!(algorithm_names(shared), ["HS256"]);
    assert_eq!(texts(&public.token_types), ["at+jwt", "JWT", ""]);
    let scope_claims: Vec<_> = public
        .scope_claims
        .iter()
        .map(|source| (source.value.claim.as_str(), &source.value.table))
        .collect();
    assert_eq!(scope_claims, [("scope", &None), ("scp", &None)]);
    assert_eq!(public.leeway, Duration::from_secs(30));
    assert!(matches!(
        (&public.keys, &public.discovery),
        (Some(KeySource::Discovered), Discovery::WellKnown)
    ));
    assert!(public.audience_required && public.granted_wildcards && !public.insecure_ignore_cnf);

    let upstream = &config.upstreams[0];
    assert_eq!(upstream.host, UpstreamHost::Pass);
    assert_eq!((upstream.retries, upstream.pool_idle), (1, 256));
    assert_eq!(upstream.balance, Balance::LeastRequests);
    assert!(
        upstream.health.is_none(),
        "nobody is asked what nobody asked for"
    );
    assert_eq!(upstream.pool_idle_timeout, Duration::from_secs(4));

    let route = &config.routes[0];
    assert!(
        matches!(route.access, Access::AnyToken),
        "no route is public unless it says so"
    );
    assert!(route.host.is_empty() && route.methods.is_empty() && route.issuers.is_empty());
    assert_eq!(route.forward_token, ForwardToken::Keep);
}

#[test]
fn health_checks_need_only_a_path() {
    let config = good(&format!(
        "{PUSH}health = {{ path = \"/healthz?deep=1\" }}\nbalance = \"round_robin\""
    ));
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.balance, Balance::RoundRobin);
    let health = upstream.health.as_ref().expect("declared");
    assert_eq!(health.path, "/healthz?deep=1");
    assert_eq!(health.interval, Duration::from_secs(5));
    assert_eq!((health.unhealthy_after, health.healthy_after), (3, 2));
}

#[test]
fn development_tokens_are_jwts_by_default() {
    for (line, format) in [
        ("", TokenFormat::Jwt),
        ("token_format = \"jwt\"", TokenFormat::Jwt),
        ("token_format = \"opaque\"", TokenFormat::Opaque),
    ] {
        let development = good(&format!("[development]\n{line}"))
            .development
            .expect("declared");
        assert_eq!(development.token_format, format, "{line}");
    }
}

#[test]
fn issuer_without_discovery_need_not_be_a_url() {
    for source in [
        "jwks_uri = \"https://h/keys\"",
        "jwks_file = \"keys\"",
        "shared_secret = { env = \"LONG\" }",
    ] {
        let config = good(&format!(
            "[issuers.mfp]\nissuer = \"com.ibm.mfp\"\naudience = \"any\"\n{source}"
        ));
        assert!(matches!(config.issuers[0].audience, Audience::Any(_)));
    }
}

const KEYS: [&str; 16] = [
    "server",
    "development",
    "clients",
    "issuers",
    "corp",
    "upstreams",
    "routes",
    "listen",
    "secret",
    "issuer",
    "audience",
    "targets",
    "claim_headers",
    "path",
    "scope",
    "leeway",
];
const VALUES: [&str; 12] = [
    "1",
    "-1",
    "true",
    "\"\"",
    "\"any\"",
    "\"5s\"",
    "\"https://h\"",
    "[]",
    "[1]",
    "{}",
    "{ env = \"X\" }",
    "1979-05-27",
];

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn no_arrangement_of_known_words_makes_reading_panic(
        lines in prop::collection::vec((0..5_usize, 0..KEYS.len(), 0..KEYS.len(), 0..VALUES.len()), 0..12),
    ) {
        let mut text = String::new();
        for (form, first, second, value) in lines {
            let (first, second, value) = (KEYS[first], KEYS[second], VALUES[value]);
            match form {
                0 => writeln!(text, "[{first}.{second}]"),
                1 => writeln!(text, "[[{first}]]"),
                2 => writeln!(text, "[{first}]"),
                3 => writeln!(text, "{first}.{second} = {value}"),
                _ => writeln!(text, "{first} = {value}"),
            }
            .expect("writing to a string succeeds");
        }
        let _ = read(&text);
    }
}

fn algorithm_names(issuer: &Issuer) -> Vec<&'static str> {
    let names = issuer.algorithms.iter();
    names.map(|algorithm| algorithm.value.name()).collect()
}
