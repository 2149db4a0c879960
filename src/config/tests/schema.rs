//! The JSON Schema agrees with the reader.
//!
//! The reader records its keys here ([`record_keys`]); `every_key.toml` makes it read all of them.
//! Every text that a test of this module reads is also validated against the schema.

mod leaves;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::*;
use crate::config::schema as config_schema;
use leaves::{is_table, leaves, of_json, pointer_of, tables, with};

const EVERY_KEY: &str = include_str!("every_key.toml");

/// The remedy if the schema and the reader have different keys.
const REMEDY: &str = "a key is declared in its table, stands in src/config/tests/every_key.toml with a \
                      value that is not its default, and is named in docs/configuration.md";

/// Faults that a schema cannot express: values that depend on others, declarations, files, secrets.
/// Every other fault is one of shape, and the schema must refuse it too.
const BY_MEANING: [&str; 32] = [
    "a declared issuer, but",
    "a declared limit, but",
    "a declared upstream, but",
    "a header that the gateway leaves alone",
    "a loopback address beside [development]",
    "a secret in the environment variable",
    "a secret in the file",
    "a string, { env = \"NAME\" } or { file = \"PATH\" }, but found a placeholder",
    "a secret of at least",
    "a client_id or an audience for signed responses",
    "an id of its own",
    "an http or https URL without query and fragment",
    "discovery or ",
    "every header once",
    "no keys where no signature is verified",
    "a duration of whole seconds",
    "a number that is exact in JSON",
    "\"any\" to stand alone",
    "an https URL, or an http URL of a loopback host",
    "the usual spelling of a URL",
    "a URL with a port that clients can use",
    "an IP address and a port, but found \"",
    "the path of a file, but found \"",
    "an address of its own, but found that of ",
    "a network such as \"10.0.0.0/8\", but found \"",
    "server.trusted_proxies, but found none",
    "a listener without tls, but found one with it",
    "an https URL in server.external_url, but found \"",
    "server.external_url or one listener with tls, but found",
    "another listener that serves the routes, but found none",
    "a path of at most 107 bytes after unix:, but found ",
    "\"unix\" in server.trusted_proxies, but found no such element",
];

/// Well-formed quantities out of bounds.
const BOUNDED: [&str; 2] = ["a duration from", "a size from"];

thread_local! {
    static READ_KEYS: RefCell<BTreeMap<String, BTreeSet<&'static str>>> = RefCell::default();
}

/// The reader calls this once for each table, with every key that it read.
pub(in super::super) fn record_keys(table: &str, keys: &[&'static str]) {
    READ_KEYS.with_borrow_mut(|keys_of| keys_of.entry(table.to_owned()).or_default().extend(keys));
}

/// The schema must accept the text if the reader does, and refuse it if a value has a wrong form.
#[track_caller]
pub(super) fn assert_agrees(text: &str, read: &Result<Config, Report>) {
    // The schema judges only valid TOML.
    let Ok(table) = text.parse::<toml::Table>() else {
        return;
    };
    let file = as_json(&toml::Value::Table(table));
    let refused = refusal(&file);
    match (read, refused) {
        (Ok(_), None) | (Err(_), Some(_)) => {}
        (Ok(_), Some(refusal)) => {
            panic!("the schema refuses what the reader accepts ({REMEDY}): {refusal}\n{text}")
        }
        (Err(report), None) => {
            let of_shape: Vec<_> = report
                .faults()
                .iter()
                .filter(|fault| !is_by_meaning(fault))
                .collect();
            assert!(
                of_shape.is_empty(),
                "the schema takes what reading refuses: make the description of its type or a rule of its table refuse it, or, where no schema can \
                 know it, add it to BY_MEANING in src/config/tests/schema.rs\n{of_shape:#?}\n{text}"
            );
        }
    }
}

fn is_by_meaning(fault: &Fault) -> bool {
    let Some(expected) = fault.message.strip_prefix("expected ") else {
        return true;
    };
    let is_quantity =
        BOUNDED.iter().any(|start| expected.starts_with(start)) && fault.help.is_none();
    is_quantity || BY_MEANING.iter().any(|start| expected.starts_with(start))
}

/// Why the schema refuses the file. Only a test that fails prints it, so it is not yet text.
fn refusal(file: &Value) -> Option<impl Display> {
    static SCHEMAS: LazyLock<(Schemas, SchemaIndex)> = LazyLock::new(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler
            .add_resource("schema.json", schema())
            .expect("a resource");
        let index = compiler
            .compile("schema.json", &mut schemas)
            .expect("a schema of draft 2020-12");
        (schemas, index)
    });
    let (schemas, index) = &*SCHEMAS;
    schemas.validate(file, *index).err()
}

fn refusal_of(text: &str) -> Option<String> {
    let file = as_json(&toml::Value::Table(text.parse().expect("TOML")));
    refusal(&file).map(|refusal| refusal.to_string())
}

fn schema() -> Value {
    serde_json::from_str(&config_schema()).expect("JSON")
}

fn as_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(value) => json!(value),
        // JSON has no dates, and none of our keys accepts one.
        toml::Value::Datetime(_) => Value::Null,
        toml::Value::Array(elements) => elements.iter().map(as_json).collect(),
        toml::Value::Table(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), as_json(value)))
                .collect(),
        ),
    }
}

#[test]
fn schema_has_exactly_the_keys_of_the_reader() {
    READ_KEYS.take();
    good(EVERY_KEY);
    let schema = schema();
    let mut described = BTreeMap::new();
    tables(&schema, "", &mut described);
    let mut known: BTreeSet<_> = described
        .iter()
        .flat_map(|(table, properties)| {
            properties
                .keys()
                .map(move |name| format!("{table}/properties/{name}"))
        })
        .collect();
    let mut not_read = known.clone();
    for (table, keys) in READ_KEYS.take() {
        let pointer = pointer_of(&table, &schema);
        for key in keys {
            let at = format!("{pointer}/properties/{key}");
            not_read.remove(&at);
            assert!(
                !known.insert(at),
                "[{table}] {key}: the reader reads it, but the schema lacks it; {REMEDY}"
            );
        }
    }
    assert!(
        not_read.is_empty(),
        "the reader does not read {not_read:?}; {REMEDY}"
    );
}

#[test]
fn every_key_is_in_every_key_toml_has_a_description_and_is_in_the_reference() {
    let reference = fs::read_to_string(root().join("docs/configuration.md")).expect("a page");
    let written: BTreeSet<_> = leaves().into_iter().map(|leaf| leaf.pointer).collect();
    let mut described = BTreeMap::new();
    tables(&schema(), "", &mut described);
    for (table, properties) in described {
        for (name, node) in properties {
            let pointer = format!("{table}/properties/{name}");
            assert!(
                written.contains(&pointer),
                "{pointer} is not in every_key.toml; {REMEDY}"
            );
            assert!(
                node["description"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.')),
                "{pointer}: description"
            );
            assert!(
                reference.contains(&name),
                "{pointer} is not named in docs/configuration.md; {REMEDY}"
            );
        }
    }
}

#[test]
fn omitting_any_key_changes_the_configuration() {
    let whole = good(EVERY_KEY);
    for leaf in leaves() {
        let without = read(&with(&leaf.steps, None));
        assert_ne!(
            without.as_ref().ok(),
            Some(&whole),
            "{} has its default in every_key.toml; {REMEDY}",
            leaf.key
        );
    }
}

#[test]
fn schema_and_reader_have_the_same_defaults() {
    // Keys that other keys of that file require: each has a file of its own.
    let elsewhere = [
        (
            "/properties/server/properties/listen",
            "[server]\n",
            "listen",
        ),
        (
            "/properties/issuers/additionalProperties/properties/validation",
            "[issuers.corp]\nissuer = \"https://id.example.com\"\naudience = \"api\"\n",
            "validation",
        ),
        (
            "/properties/issuers/additionalProperties/properties/introspection/properties/authentication",
            "[issuers.corp]\nissuer = \"https://id.example.com\"\naudience = \"api\"\nvalidation = \"introspection\"\n\
             [issuers.corp.introspection]\nclient_id = \"a\"\nclient_secret = \"b\"\n",
            "authentication",
        ),
    ];
    for leaf in leaves() {
        let Some(default) = leaf.described.get("default") else {
            continue;
        };
        let (left_out, written) = match elsewhere
            .iter()
            .find(|(pointer, ..)| *pointer == leaf.pointer)
        {
            Some((_, text, key)) => ((*text).to_owned(), format!("{text}{key} = {default}")),
            None => (
                with(&leaf.steps, None),
                with(&leaf.steps, Some(of_json(default))),
            ),
        };
        assert!(
            same(&good(&left_out), &good(&written)),
            "{}: {default} is not its default; {REMEDY}",
            leaf.key
        );
    }
}

/// Whether two files mean the same; a written default is no difference.
fn same(one: &Config, other: &Config) -> bool {
    let server = |config: &Config| Server {
        listen: Vec::new(),
        ..config.server.clone()
    };
    server(one) == server(other)
        && Config {
            server: one.server.clone(),
            ..other.clone()
        } == *one
}

#[test]
fn reader_and_schema_agree_on_any_value_of_a_key() {
    for leaf in leaves() {
        for value in VALUES {
            let value: toml::Value =
                format!("a = {value}").parse::<toml::Table>().expect("TOML")["a"].clone();
            for value in [toml::Value::Array(vec![value.clone()]), value] {
                let _ = read(&with(&leaf.steps, Some(value)));
            }
        }
    }
}

#[test]
fn key_without_a_default_describes_its_absence() {
    for leaf in leaves() {
        let (table, name) = leaf
            .pointer
            .rsplit_once("/properties/")
            .expect("a property");
        let required = schema().pointer(table).is_some_and(|node| {
            node["required"]
                .as_array()
                .is_some_and(|names| names.contains(&json!(name)))
        });
        let has_default = leaf.described.get("default").is_some();
        let is_section = is_table(&leaf.described) && leaf.described.get("properties").is_some();
        let describes_absence = leaf.described["description"]
            .as_str()
            .is_some_and(|text| text.contains("Without it, "));
        let of_all = leaf.pointer.matches("/properties/").count() == 1;
        assert!(
            required ^ (has_default || describes_absence) || is_section || of_all,
            "{}: expected it to be required, or a default, or a description with \"Without it, …\"; {REMEDY}",
            leaf.pointer
        );
    }
}

#[test]
fn schema_and_reader_have_the_same_words_and_bounds() {
    let mut words: BTreeMap<String, (BTreeSet<String>, Value)> = BTreeMap::new();
    for leaf in leaves() {
        // No key accepts a date, so the fault names the form that the key accepts.
        let date = toml::Value::Datetime("1979-05-27".parse().expect("a date"));
        let report = read(&with(&leaf.steps, Some(date))).expect_err("a date");
        let start = format!(": {}: expected ", leaf.key);
        let fault = report
            .lines()
            .find_map(|line| line.split_once(&start))
            .unwrap_or_else(|| panic!("{report}"));
        let expected = fault
            .1
            .rsplit_once(", but found a date")
            .expect("what was found")
            .0;
        let (key, described) = (&leaf.key, &leaf.described);
        let said = described["description"].as_str().unwrap_or_default();
        if expected == "true or false" {
            assert_eq!(described["type"], "boolean", "{key}");
        } else if let Some(bounds) = expected.strip_prefix("an integer from ") {
            let bounds_of_schema = format!("{} to {}", described["minimum"], described["maximum"]);
            assert_eq!(
                (&*bounds_of_schema, &described["type"]),
                (bounds, &json!("integer")),
                "{key}"
            );
        } else if let Some(bounds) = BOUNDED
            .iter()
            .find_map(|start| expected.strip_prefix(start))
        {
            let bounds = format!("rom{}.", bounds.replace('"', ""));
            assert!(
                said.ends_with(&bounds),
                "{key}: expected a description that ends with \"F{bounds}\", but found {said}"
            );
        } else if let Some(list) = only_words(expected) {
            words
                .entry(leaf.pointer.clone())
                .or_insert_with(|| (BTreeSet::new(), described.clone()))
                .0
                .extend(list);
        }
    }
    assert!(words.len() > 8, "{words:?}");
    for (pointer, (words, described)) in words {
        let words_of_schema = described["enum"]
            .as_array()
            .or(described["anyOf"][0]["enum"].as_array());
        let words_of_schema: BTreeSet<_> = words_of_schema
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        assert_eq!(
            words_of_schema, words,
            "{pointer}: what the schema takes, and what reading does"
        );
    }
}

/// The words of `"a", "b" or "c"`, if the text has no other form.
fn only_words(expected: &str) -> Option<Vec<String>> {
    let parts = expected.split(", ").flat_map(|part| part.split(" or "));
    parts
        .map(|part| part.strip_prefix('"')?.strip_suffix('"').map(str::to_owned))
        .collect()
}

#[test]
fn schema_accepts_every_shipped_file() {
    let files = fs::read_dir(root().join("examples"))
        .expect("examples")
        .map(|entry| entry.expect("an entry").path());
    let files = files.filter(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    let files: Vec<_> = files.chain([root().join("gateway.toml")]).collect();
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        let refused = refusal_of(&text);
        assert_eq!(refused, None, "{}", file.display());
    }
}

#[test]
fn schema_refuses_faults_of_shape() {
    for text in [
        "[server]\nlisen = \"127.0.0.1:1\"",
        "[server]\nlisten = \"localhost:2\"",
        "[server]\ndrain_timeout = \"30\"",
        "[server]\nmax_token_size = \"16kb\"",
        "[upstreams.up]\ntargets = \"http://unix:a.sock\"",
        "[upstreams.up]\ntargets = \"http://a:b:80\"",
        "[issuers.corp]\nissuer = \"https://id.example.com\"",
        "[issuers.\"a b\"]\nissuer = \"a\"\naudience = \"b\"",
        "[[routes]]\npath = \"/\"\nupstream = \"push\"\nscope = \"a\"\nany_scope = [\"b\"]",
        "[[routes]]\npath = \"/\"\nupstream = \"push\"\npublic = true\nscope = \"a\"",
        "[[routes]]\npath = \"/\"",
        "[[routes]]\npath = \"/\"\nupstream = \"push\"\nrespond = { status = 503 }",
        "[[routes]]\npath = \"/\"\nrewrite = \"/a\"\nrespond = { status = 503 }",
        "[[development.clients]]\nsecret = { enw = \"A\" }",
    ] {
        assert!(refusal_of(text).is_some(), "{text}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
