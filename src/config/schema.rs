//! The JSON Schema of gateway.toml, rendered from what its tables declare.

use serde_json::{Map, Value, json};

use super::reference::{Form, KeyReference, Presence, TableReference};

/// A name of an issuer or an upstream: it becomes a label of metrics and a field of logs.
const NAME: &str = "^[A-Za-z0-9_-]+$";

pub(super) fn render(root: &TableReference) -> String {
    let mut schema = table(root);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("gateway.toml");
    format!("{schema:#}\n")
}

fn table(table: &TableReference) -> Value {
    let properties: Map<_, _> = table
        .keys
        .iter()
        .map(|declared| (declared.key.name.to_owned(), property(declared)))
        .collect();
    let required: Vec<_> = table
        .keys
        .iter()
        .filter(|declared| matches!(declared.presence, Presence::Required))
        .map(|declared| declared.key.name)
        .collect();
    let mut schema = json!({
        "description": table.doc.trim(),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !table.rules.is_empty() {
        schema["allOf"] = json!(table.rules);
    }
    schema
}

fn property(declared: &KeyReference) -> Value {
    let mut schema = match &declared.form {
        Form::Value(values) => Value::Object(values.schema.clone()),
        Form::Table(reference) => table(reference),
        Form::TableOrFalse(reference) => {
            // Editors explain one object better than the alternatives of `anyOf`.
            let mut schema = table(reference);
            schema["type"] = json!(["object", "boolean"]);
            schema["not"] = json!({"const": true});
            schema
        }
        Form::Tables(0, element) => json!({"type": "array", "items": table(element)}),
        Form::Tables(least, element) => {
            json!({"type": "array", "items": table(element), "minItems": least})
        }
        Form::NamedTables(element) => json!({
            "type": "object",
            "propertyNames": {"pattern": NAME},
            "additionalProperties": table(element),
        }),
        Form::Map(names, values) => json!({
            "type": "object",
            "propertyNames": {"pattern": names},
            "additionalProperties": values.schema,
        }),
    };
    schema["description"] = json!(declared.description());
    if let Presence::Default(default) = &declared.presence {
        schema["default"] = default.clone();
    }
    schema
}
