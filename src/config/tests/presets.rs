//! Presets of issuers: `provider`.

use super::*;
use crate::values::{Algorithm, Keyword, Provider, Validation};

/// Every key that a preset may set. None of them names who is trusted.
const PRESET_KEYS: [&str; 9] = [
    "algorithms",
    "audience_claims",
    "claims",
    "granted_wildcards",
    "refuse_id_tokens",
    "required_claims",
    "scope_claims",
    "token_types",
    "validation",
];

/// What the preset of some providers needs beside `issuer` and `audience`.
fn needed(provider: Provider) -> &'static str {
    match provider {
        Provider::Authentik => {
            "introspection = { client_id = \"a\", client_secret = { env = \"LONG\" } }"
        }
        Provider::Zitadel => "scope_claims = \"orders_roles\"",
        Provider::Keycloak
        | Provider::Entra
        | Provider::Cognito
        | Provider::Auth0
        | Provider::Okta
        | Provider::Google
        | Provider::Kubernetes
        | Provider::GithubActions
        | Provider::Dex => "",
    }
}

fn issuer(keys: &str) -> Issuer {
    let mut issuers = good(&format!("[issuers.corp]\n{GOOD_ISSUER}{keys}")).issuers;
    issuers.pop().expect("an issuer")
}

fn presets(text: &str) -> Vec<AppliedPreset> {
    let read = parse_with("gateway.toml", text, &|_| Some(LONG.to_owned()));
    let (_, source) = read.unwrap_or_else(|report| panic!("{report}"));
    source.presets().to_vec()
}

#[test]
fn every_preset_is_read_like_the_keys_that_it_stands_for() {
    for (keyword, provider) in Provider::KEYWORDS {
        let short = format!("provider = \"{keyword}\"\n{}", needed(*provider));
        let applied = presets(&format!("[issuers.corp]\n{GOOD_ISSUER}{short}"));
        let [preset] = applied.as_slice() else {
            panic!("{keyword}: one preset, but found {applied:?}")
        };
        assert_eq!((&*preset.issuer, preset.provider), ("corp", *provider));
        let mut long = needed(*provider).to_owned();
        for key in &preset.keys {
            assert!(PRESET_KEYS.contains(&key.name), "{keyword}: {}", key.name);
            assert!(!key.is_overridden, "{keyword}: {}", key.name);
            write!(long, "\n{} = {}", key.name, key.value).expect("a string");
        }
        let (short, long) = (issuer(&short), issuer(&long));
        assert_eq!(
            short.provider.as_ref().map(|read| read.value),
            Some(*provider)
        );
        let without = Issuer {
            provider: None,
            ..short
        };
        assert_eq!(without, long, "{keyword}");
    }
}

#[test]
fn no_preset_widens_what_is_accepted() {
    for (keyword, provider) in Provider::KEYWORDS {
        let plain = issuer("");
        let preset = issuer(&format!("provider = \"{keyword}\"\n{}", needed(*provider)));
        assert_eq!(preset.audience, plain.audience, "{keyword}");
        assert!(preset.audience_required, "{keyword}");
        assert!(!preset.insecure_ignore_cnf && !preset.accept_unbounded_expiry.value);
        // Their access tokens have claims of ID tokens, and their pages say so.
        let needs_it = matches!(provider, Provider::Dex | Provider::Authentik);
        assert_eq!(preset.refuse_id_tokens, !needs_it, "{keyword}");
        assert!(preset.require_issuer, "{keyword}");
        let accepted = [&plain, &preset].map(algorithm_names);
        assert!(
            accepted[1].iter().all(|name| accepted[0].contains(name)),
            "{keyword}"
        );
        // The schema relies on this, and so does the advice for `shared_secret`.
        let mut algorithms = preset.algorithms.iter();
        assert!(
            !algorithms.any(|one| one.value.is_hmac()) && preset.algorithms.len() < 5,
            "{keyword} sets algorithms with public keys"
        );
        let types = |issuer: &Issuer| {
            let types = issuer.token_types.iter();
            types.map(|one| one.value.clone()).collect::<Vec<_>>()
        };
        let [all, some] = [types(&plain), types(&preset)];
        assert!(some.iter().all(|one| all.contains(one)), "{keyword}");
    }
}

#[test]
fn key_of_the_file_replaces_that_of_the_preset_as_a_whole() {
    let text = format!(
        "[issuers.corp]\n{GOOD_ISSUER}algorithms = \"ES256\"\nclaims = [{{ claim = \"azp\", is = \"web\" }}]\nprovider = \"cognito\""
    );
    let issuer = good(&text).issuers.pop().expect("an issuer");
    assert_eq!(algorithm_names(&issuer), ["ES256"]);
    let rules: Vec<_> = issuer
        .claims
        .iter()
        .map(|rule| &*rule.claim.value)
        .collect();
    assert_eq!(rules, ["azp"], "lists are not merged");
    assert_eq!(issuer.audience_claims[0].value, "client_id");
    let overridden: Vec<_> = presets(&text)[0]
        .keys
        .iter()
        .map(|key| (key.name, key.is_overridden))
        .collect();
    assert_eq!(
        overridden,
        [
            ("audience_claims", false),
            ("algorithms", true),
            ("claims", true),
            ("scope_claims", false)
        ]
    );
}

#[test]
fn authentik_is_introspected_unless_the_file_says_otherwise() {
    let preset = issuer(&format!(
        "provider = \"authentik\"\n{}",
        needed(Provider::Authentik)
    ));
    assert_eq!(preset.validation.value, Validation::JwksAndIntrospection);
    let keys = issuer("provider = \"authentik\"\nvalidation = \"jwks\"");
    assert_eq!(keys.validation.value, Validation::Jwks);
    let algorithms: Vec<_> = keys.algorithms.iter().map(|one| one.value).collect();
    assert_eq!(algorithms, [Algorithm::RS256, Algorithm::ES256]);
}

#[test]
fn presets_of_several_issuers_are_in_the_order_of_the_file() {
    let table = |name: &str, provider: &str| {
        format!("[issuers.{name}]\n{GOOD_ISSUER}provider = \"{provider}\"\n")
    };
    let applied = presets(&(table("z", "okta") + &table("a", "okta") + &table("m", "auth0")));
    let names: Vec<_> = applied.iter().map(|preset| &*preset.issuer).collect();
    assert_eq!(names, ["z", "a", "m"]);
}
