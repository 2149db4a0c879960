//! The page of each provider lists the keys of its preset, and its file means the same without it.

use std::path::PathBuf;

use scopegate::config::{self, Issuer, PresetKey};
use scopegate::values::{Keyword, Provider};

use crate::pages::{read_page, split};

fn issuers(toml: &str) -> (Vec<Issuer>, Vec<PresetKey>) {
    let secret = |_: &str| Some("secret".to_owned());
    let read = config::parse_with("gateway.toml", toml, &secret);
    let (config, source) = read.unwrap_or_else(|report| panic!("{report}"));
    let presets = source.presets().iter();
    (
        config.issuers,
        presets.flat_map(|preset| preset.keys.clone()).collect(),
    )
}

#[test]
fn page_of_each_provider_lists_its_preset() {
    for (provider, _) in Provider::KEYWORDS {
        let page = read_page(PathBuf::from(format!("docs/issuers/{provider}.md")));
        let (blocks, _) = split(&page.text);
        let mut blocks = blocks.iter().skip_while(|block| block.info != "toml");
        let file = &blocks.next().expect("a complete file").code;
        let listed = blocks.next().expect("the keys of the preset");
        assert_eq!(listed.info, "toml,fragment", "{provider}");

        let (short, keys) = issuers(file);
        let mut in_page: Vec<_> = toml_keys(&listed.code);
        let mut in_preset: Vec<_> = keys
            .iter()
            .flat_map(|key| toml_keys(&format!("{} = {}", key.name, key.value)))
            .collect();
        in_page.sort_by(|one, other| one.0.cmp(&other.0));
        in_preset.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(in_page, in_preset, "{provider}");

        let written = format!("provider = \"{provider}\"\n");
        assert!(file.contains(&written), "{provider}");
        let filled_in = keys.iter().filter(|key| !key.is_overridden);
        let filled_in: String = filled_in
            .map(|key| format!("{} = {}\n", key.name, key.value))
            .collect();
        let (long, none) = issuers(&file.replace(&written, &filled_in));
        assert_eq!(none, []);
        let short: Vec<_> = short
            .into_iter()
            .map(|issuer| Issuer {
                provider: None,
                ..issuer
            })
            .collect();
        assert_eq!(short, long, "{provider}");
    }
}

fn toml_keys(text: &str) -> Vec<(String, toml::Value)> {
    let table: toml::Table = text.parse().expect("TOML");
    table.into_iter().collect()
}
