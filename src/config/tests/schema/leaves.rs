//! The keys of `every_key.toml`, and where the schema describes them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{EVERY_KEY, REMEDY, schema};

/// One step into a file: a key of a table, or an index of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    Place(usize),
}

/// A key of `every_key.toml`, with its value there and its schema.
pub(super) struct Leaf {
    pub(super) steps: Vec<Step>,
    /// The key as a fault names it.
    pub(super) key: String,
    /// Its place in the schema.
    pub(super) pointer: String,
    pub(super) described: Value,
}

/// Every key that has a description of its own, tables and lists of tables included.
pub(super) fn leaves() -> Vec<Leaf> {
    let (file, mut leaves) = (every_key(), Vec::new());
    collect(
        &file,
        &schema(),
        &mut Leaf {
            steps: vec![],
            key: String::new(),
            pointer: String::new(),
            described: Value::Null,
        },
        &mut leaves,
    );
    assert!(leaves.len() > 100, "{} keys", leaves.len());
    leaves
}

pub(super) fn collect(value: &toml::Value, node: &Value, at: &mut Leaf, leaves: &mut Vec<Leaf>) {
    match value {
        toml::Value::Table(entries) if is_table(node) => {
            for (name, value) in entries {
                let key = if at.key.is_empty() {
                    name.clone()
                } else {
                    format!("{}.{name}", at.key)
                };
                let (node, step, described) = match node["properties"].get(name) {
                    Some(node) => (node, format!("/properties/{name}"), true),
                    None => (
                        &node["additionalProperties"],
                        "/additionalProperties".to_owned(),
                        false,
                    ),
                };
                assert!(
                    node.is_object(),
                    "{key}: reading takes it, and the schema does not know it; {REMEDY}"
                );
                let steps = [at.steps.clone(), vec![Step::Key(name.clone())]].concat();
                let mut leaf = Leaf {
                    steps,
                    key,
                    pointer: format!("{}{step}", at.pointer),
                    described: node.clone(),
                };
                collect(value, node, &mut leaf, leaves);
                if described {
                    leaves.push(leaf);
                }
            }
        }
        toml::Value::Array(elements) if is_table(&node["items"]) => {
            for (place, element) in elements.iter().enumerate() {
                let steps = [at.steps.clone(), vec![Step::Place(place)]].concat();
                let (key, pointer) = (
                    format!("{}[{place}]", at.key),
                    format!("{}/items", at.pointer),
                );
                let mut leaf = Leaf {
                    steps,
                    key,
                    pointer,
                    described: Value::Null,
                };
                collect(element, &node["items"], &mut leaf, leaves);
            }
        }
        toml::Value::Table(_)
        | toml::Value::Array(_)
        | toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

/// A secret may be a table, but counts as one value.
pub(super) fn is_table(node: &Value) -> bool {
    let kind = &node["type"];
    kind == "object" || *kind == serde_json::json!(["object", "boolean"])
}

pub(super) fn every_key() -> toml::Value {
    static FILE: LazyLock<toml::Value> =
        LazyLock::new(|| toml::Value::Table(EVERY_KEY.parse().expect("TOML")));
    FILE.clone()
}

/// `every_key.toml` with another value at `steps`, or with none.
pub(super) fn with(steps: &[Step], value: Option<toml::Value>) -> String {
    let mut file = every_key();
    let (last, before) = steps.split_last().expect("a key");
    let mut place = &mut file;
    for step in before {
        place = match step {
            Step::Key(name) => &mut place[name.as_str()],
            Step::Place(index) => &mut place[*index],
        };
    }
    let (Step::Key(name), toml::Value::Table(table)) = (last, place) else {
        panic!("a key of a table")
    };
    match value {
        Some(value) => table.insert(name.clone(), value),
        None => table.remove(name),
    };
    toml::to_string(&file).expect("TOML")
}

pub(super) fn of_json(value: &Value) -> toml::Value {
    toml::Value::try_from(value).expect("JSON without null")
}

/// Every table of the schema by its pointer, with its properties.
pub(super) fn tables(
    node: &Value,
    pointer: &str,
    found: &mut BTreeMap<String, Map<String, Value>>,
) {
    if let Some(properties) = node["properties"].as_object().filter(|_| is_table(node)) {
        assert_eq!(
            node["additionalProperties"], false,
            "{pointer}: a table accepts only known keys"
        );
        for (name, node) in properties {
            tables(node, &format!("{pointer}/properties/{name}"), found);
        }
        found.insert(pointer.to_owned(), properties.clone());
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(node) = node.get(inner) {
            tables(node, &format!("{pointer}/{inner}"), found);
        }
    }
}

/// The pointer in the schema to the table that a fault calls `key`.
pub(super) fn pointer_of(key: &str, schema: &Value) -> String {
    let mut pointer = String::new();
    for part in key.split('.').filter(|part| !part.is_empty()) {
        let (name, places) = part.split_once('[').unwrap_or((part, ""));
        let node = schema.pointer(&pointer).unwrap_or(&Value::Null);
        let known = node["properties"].get(name).is_some();
        pointer += &if known {
            format!("/properties/{name}")
        } else {
            "/additionalProperties".to_owned()
        };
        pointer += if places.is_empty() { "" } else { "/items" };
    }
    pointer
}
