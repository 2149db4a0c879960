//! Complete configurations in the documentation compile.

use std::fs;
use std::path::Path;

use scopegate::{config, gateway};

use crate::pages::{all_pages, root, split};

const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

#[test]
fn complete_configurations_in_the_documentation_compile() {
    let mut faults = Vec::new();
    let mut compiled = 0;
    for page in all_pages() {
        let (blocks, _) = split(&page.text);
        for block in blocks.iter().filter(|block| is_complete_toml(block.info)) {
            compiled += 1;
            let location = format!("{}:{}", page.path.display(), block.line);
            if let Err(report) = compile(&block.code) {
                faults.push(format!("{location}:\n{report}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(compiled > 0, "no configuration is documented");
}

fn is_complete_toml(info: &str) -> bool {
    let mut words = info.split([',', ' ']);
    words.next() == Some("toml") && !words.any(|word| word == "fragment")
}

#[test]
fn the_packaged_configuration_compiles() {
    let text = fs::read_to_string(root().join("packaging/gateway.toml")).expect("a packaged file");
    compile(&text).unwrap_or_else(|report| panic!("{report}"));
}

/// Good for every algorithm, as a bearer token, and as the key of a fleet.
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Reads and compiles a configuration in a folder of its own. The folder has the files that the configuration names.
pub(crate) fn compile(toml: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = with_named_files(toml, folder.path());
    let path = folder.path().join("gateway.toml");
    fs::write(&path, &toml).expect("a file");
    // The pages name variables that an operator would set.
    let secret = |_: &str| Some(SECRET.to_owned());
    let (config, source) = config::parse_with(&path.display().to_string(), &toml, &secret)
        .map_err(|report| report.to_string())?;
    gateway::compile(&config)
        .map(|_| ())
        .map_err(|faults| source.report(faults).to_string())
}

/// Writes the files that a configuration names to `folder`, and replaces their absolute paths by their names.
fn with_named_files(toml: &str, folder: &Path) -> String {
    let certified =
        rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).expect("a certificate");
    let mut replaced = toml.to_owned();
    let strings = toml.split('"').skip(1).step_by(2);
    for named in strings.filter(|text| !text.contains("://")) {
        let name = named.rsplit('/').next().unwrap_or(named);
        let content = match name.rsplit_once('.') {
            _ if ["{ ", "\n"]
                .iter()
                .any(|before| toml.contains(&format!("{before}file = \"{named}\""))) =>
            {
                SECRET.to_owned()
            }
            Some((_, "json")) => JWKS.to_owned(),
            Some((stem, "pem" | "key")) if named.ends_with(".key") || stem.contains("key") => {
                certified.signing_key.serialize_pem()
            }
            Some((_, "pem" | "crt")) => certified.cert.pem(),
            Some(_) | None => continue,
        };
        fs::write(folder.join(name), content).expect("a file");
        replaced = replaced.replace(&format!("\"{named}\""), &format!("\"{name}\""));
    }
    replaced
}
