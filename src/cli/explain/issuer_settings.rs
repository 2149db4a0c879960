//! What the file sets for the issuer of a token without showing it: the keys of its preset, and whether
//! its keys are fetched with a token.

use serde_json::{Value, json};

use crate::config::{Config, PresetKey, Source};
use crate::values::Keyword;

/// The preset of an issuer and its `jwks_token`.
pub(super) struct IssuerSettings {
    /// The provider, and the keys of its preset.
    preset: Option<(&'static str, Vec<PresetKey>)>,
    /// Whether a bearer token is sent for keys and metadata. Its value is not shown.
    has_jwks_token: bool,
}

impl IssuerSettings {
    /// Those of `[issuers.NAME]`.
    pub(super) fn of(name: &str, config: &Config, source: &Source) -> Self {
        let mut presets = source.presets().iter();
        let preset = presets.find(|preset| preset.issuer == name);
        let mut issuers = config.issuers.iter();
        let issuer = issuers.find(|issuer| issuer.name.value == name);
        Self {
            preset: preset.map(|preset| (preset.provider.keyword(), preset.keys.clone())),
            has_jwks_token: issuer.is_some_and(|issuer| issuer.jwks_token.is_some()),
        }
    }

    /// Lines for a reader; none if there is nothing to show.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((provider, keys)) = &self.preset {
            let filled_in: Vec<_> = keys
                .iter()
                .filter(|key| !key.is_overridden)
                .map(|key| format!("{} = {}", key.name, key.value))
                .collect();
            let filled_in = match filled_in.is_empty() {
                true => "nothing".to_owned(),
                false => filled_in.join(", "),
            };
            lines.push(format!("provider {provider:?} fills in {filled_in}"));
            let replaced: Vec<_> = keys
                .iter()
                .filter(|key| key.is_overridden)
                .map(|key| key.name)
                .collect();
            if !replaced.is_empty() {
                lines.push(format!("the file replaces {}", replaced.join(", ")));
            }
        }
        if self.has_jwks_token {
            lines.push(
                "its keys and metadata are fetched with a bearer token (jwks_token)".to_owned(),
            );
        }
        lines
    }

    /// The name of the provider, if there is one, and its keys with their values in TOML.
    pub(super) fn provider_to_json(&self) -> Value {
        let Some((provider, keys)) = &self.preset else {
            return Value::Null;
        };
        let keys: Vec<_> = keys
            .iter()
            .map(
                |key| json!({ "key": key.name, "value": key.value, "replaced": key.is_overridden }),
            )
            .collect();
        json!({ "name": provider, "keys": keys })
    }

    /// Whether a bearer token is sent for keys and metadata.
    pub(super) fn has_jwks_token(&self) -> bool {
        self.has_jwks_token
    }
}
