//! The configuration page is generated, and each of its examples compiles.

use std::path::PathBuf;

use scopegate::config;

use crate::configurations::compile;
use crate::pages::{read_page, split};

const CONFIGURATION_PAGE: &str = "docs/configuration.md";

#[test]
fn the_configuration_page_is_generated_from_the_declared_keys() {
    let page = read_page(PathBuf::from(CONFIGURATION_PAGE));
    assert!(
        page.text == config::markdown(),
        "{CONFIGURATION_PAGE} is stale. Regenerate it:\n    cargo run -- schema --markdown > {CONFIGURATION_PAGE}"
    );
}

#[test]
fn every_example_of_the_configuration_page_compiles() {
    let page = read_page(PathBuf::from(CONFIGURATION_PAGE));
    let (_, prose) = split(&page.text);
    let (mut section, mut compiled, mut faults) = ("", 0, Vec::new());
    for (_, line) in prose {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.trim_matches(['`', '[', ']']);
        } else if !section.is_empty() && line.starts_with("| `") {
            let key = line.split('`').nth(1).expect("a key");
            let cell = line.rsplit(" | ").next().expect("a cell");
            let example = cell.trim_matches(['|', ' ', '`']).replace("\\|", "|");
            compiled += 1;
            if let Err(report) = compile(&file_with(section, key, &example)) {
                faults.push(format!("[{section}] {example}\n{report}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(compiled > 100, "only {compiled} examples were found");
}

/// A file in which the section `section` has the line `example`.
fn file_with(section: &str, key: &str, example: &str) -> String {
    let parse = |text: &str| text.parse::<toml::Table>().expect("TOML");
    let mut file = parse(
        "issuers.corp = { issuer = \"https://id.example.com\", audience = \"https://api.example.com\" }
         upstreams.orders = { targets = \"http://127.0.0.1:9000\" }
         routes = [{ path = \"/v1/orders/{id}\", upstream = \"orders\" }]",
    );
    let section = section
        .replace("issuers.NAME", "issuers.corp")
        .replace("upstreams.NAME", "upstreams.orders")
        .replace("limits.NAME", "limits.standard");
    let ends = section.match_indices('.').map(|(end, _)| end);
    for end in ends {
        let outer = &section[..end];
        table_at(&mut file, outer).extend(parse(neighbours(outer, "")));
    }
    if section == "routes.respond" || key == "respond" {
        table_at(&mut file, "routes").remove("upstream");
    }
    if section == "routes.tools" {
        table_at(&mut file, "routes").extend(parse("mcp = {}"));
    }
    if key == "proxy_protocol" {
        table_at(&mut file, "server").extend(parse("trusted_proxies = \"10.0.0.0/8\""));
    }
    if key == "redirect_to_https" {
        let server = "listen = \"127.0.0.1:8081\"\nexternal_url = \"https://api.example.com\"";
        table_at(&mut file, "server").extend(parse(server));
    }
    if key == "limit" {
        table_at(&mut file, "limits.standard").extend(parse(neighbours("limits.standard", "key")));
    }
    if section.ends_with("introspection") {
        table_at(&mut file, "issuers.corp").extend(parse("validation = \"jwks+introspection\""));
    }
    let table = table_at(&mut file, &section);
    table.extend(parse(neighbours(&section, key)));
    table.extend(parse(example));
    toml::to_string(&file).expect("TOML")
}

/// The table at `path` of a file. Lists of tables have one table.
fn table_at<'t>(file: &'t mut toml::Table, path: &str) -> &'t mut toml::Table {
    path.split('.').fold(file, |table, name| {
        let new = toml::Value::Table(toml::Table::new());
        let value = table.entry(name).or_insert(match name {
            "listeners" | "certificates" | "clients" | "claims" | "tools" | "resources" => {
                toml::Value::Array(vec![new])
            }
            _ => new,
        });
        let value = if value.is_array() {
            value.get_mut(0)
        } else {
            Some(value)
        };
        value.and_then(toml::Value::as_table_mut).expect("a table")
    })
}

/// What a section needs beside `key`.
fn neighbours(section: &str, key: &str) -> &'static str {
    const INTROSPECTION: &str =
        "introspection = { client_id = \"gateway\", client_secret = { env = \"SECRET\" } }";
    match (section, key) {
        ("limits.standard", "requests") => "per = \"1m\"",
        ("limits.standard", "per") => "requests = 100",
        ("limits.standard", _) => "requests = 100\nper = \"1m\"",
        ("listeners", _) => "address = \"127.0.0.1:8443\"",
        ("listeners.tls", _) => "certificates = [{ certificate = \"a.crt\", key = \"a.key\" }]",
        ("listeners.tls.certificates" | "upstreams.orders.tls_client", _) => {
            "certificate = \"a.crt\"\nkey = \"a.key\""
        }
        ("resources", "") | ("resources", "url") => "",
        ("resources", _) => "url = \"https://api.example.com/v1\"",
        ("admin", _) => "listen = \"127.0.0.1:9090\"",
        ("fleet", key) => neighbours_in_fleet(key),
        ("cors" | "routes.cors", _) => "origins = [\"https://app.example.com\"]",
        ("issuers.corp.claims" | "routes.claims", "claim") => "exists = true",
        ("issuers.corp.claims" | "routes.claims", "") => "",
        ("issuers.corp.claims" | "routes.claims", _) => "claim = \"azp\"",
        ("routes.respond", _) => "status = 503",
        ("routes", "tools") => "mcp = {}",
        ("routes.tools", "method") => "",
        ("routes.tools", _) => "method = \"tools/call\"",
        ("routes.step_up", "") => "acr = \"phr\"",
        ("routes.step_up", _) => "",
        ("upstreams.orders.health", _) => "path = \"/healthz\"",
        ("issuers.corp", "validation") => INTROSPECTION,
        ("issuers.corp", "tenants") => "issuer = \"https://id.example.com/{tenant}\"",
        ("issuers.corp", "max_tenants") => {
            "issuer = \"https://id.example.com/{tenant}\"\ntenants = \"any\""
        }
        ("issuers.corp", "introspection") => "validation = \"jwks+introspection\"",
        ("issuers.corp", "token_prefix") => {
            "validation = \"introspection\"
             introspection = { client_id = \"gateway\", client_secret = { env = \"SECRET\" } }"
        }
        (
            "issuers.corp.introspection",
            "authentication" | "client_key" | "client_key_id" | "client_key_algorithm",
        ) => {
            "authentication = \"private_key_jwt\"
             client_id = \"gateway\"
             client_key = \"gateway.key\"
             client_key_algorithm = \"ES256\""
        }
        ("issuers.corp.introspection", "token_endpoint" | "scope") => {
            "authentication = \"bearer\"
             client_id = \"gateway\"
             client_secret = { env = \"SECRET\" }"
        }
        ("issuers.corp.introspection", _) => {
            "client_id = \"gateway\"\nclient_secret = { env = \"SECRET\" }"
        }
        _ => "",
    }
}

fn neighbours_in_fleet(key: &str) -> &'static str {
    match key {
        "redis" => "key = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
        "key" => "redis = \"redis://127.0.0.1:6379\"",
        "username" => {
            "redis = \"redis://127.0.0.1:6379\"
             key = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"
             password = \"secret\""
        }
        _ => {
            "redis = \"redis://127.0.0.1:6379\"
             key = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
        }
    }
}
