//! `provider` of an issuer: whose preset fills in the keys that the table does not set.

use serde_json::json;
use toml::de::DeValue;

use super::presets::preset;
use super::read::Table;
use super::reference::key;
use super::report::Spanned;
use super::scalars::keyword;
use crate::values::{Keyword, Provider, Validation};

/// Reads `provider`.
pub(super) fn provider(table: &mut Table<'_>) -> Option<Spanned<Provider>> {
    let key = key(
        "provider",
        "The product that issues the tokens. It fills in the keys that tokens of this product need and that the \
         table does not set. A key of the table replaces that of the provider as a whole; lists are not merged. \
         `scopegate check` prints the keys. Without it, none are filled in. Example: `provider = \"keycloak\"`",
    );
    let provider = table.optional(key, keyword::<Provider>());
    // The algorithms of every preset have public keys, so they exclude a shared secret.
    table.rule(|| {
        json!({"not": {
            "required": ["provider", "shared_secret"],
            "properties": {"algorithms": false},
        }})
    });
    for (keyword, of) in Provider::KEYWORDS {
        let Some((required, what)) = required_beside(*of) else {
            continue;
        };
        table.rule(|| {
            json!({
                "if": {"properties": {"provider": {"const": keyword}}, "required": ["provider"]},
                "then": {"required": [required]},
            })
        });
        let is_this = provider.as_ref().is_some_and(|read| read.value == *of);
        if is_this && !table.has(required) {
            let message = format!("expected {what}, but found nothing");
            let help = format!("provider {keyword:?} has no safe default for it");
            table.push_unless_misspelt(&[required], table.fault(required, message).with_help(help));
        }
    }
    provider
}

/// The keys that an issuer of this provider must set itself, because their defaults are unsafe for
/// its tokens and no value is right for all: the name, and what it is.
fn required_beside(provider: Provider) -> Option<(&'static str, &'static str)> {
    match provider {
        // The default is `scope`, and Zitadel grants each client the scopes that it asks for.
        Provider::Zitadel => Some(("scope_claims", "the claim with the roles of the project")),
        Provider::Keycloak
        | Provider::Entra
        | Provider::Cognito
        | Provider::Auth0
        | Provider::Okta
        | Provider::Google
        | Provider::Kubernetes
        | Provider::GithubActions
        | Provider::Dex
        | Provider::Authentik => None,
    }
}

/// The providers whose presets set `validation` to one of these.
pub(super) fn providers_with(validations: &[Validation]) -> Vec<&'static str> {
    let is_one_of = |provider: Provider| {
        let preset = preset(provider);
        let validation = preset.get("validation").map(toml::Spanned::get_ref);
        validation
            .and_then(DeValue::as_str)
            .and_then(Validation::from_keyword)
            .is_some_and(|validation| validations.contains(&validation))
    };
    let providers = Provider::KEYWORDS.iter();
    providers
        .filter(|(_, provider)| is_one_of(*provider))
        .map(|(keyword, _)| *keyword)
        .collect()
}
