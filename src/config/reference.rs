//! Records the declarations of the tables of `gateway.toml`.
//!
//! Reading an empty file reads every key once. With recording on, each read records the key, its
//! type, default and description. The JSON Schema and the reference are rendered from the record,
//! so their keys are exactly those of the reader.

use serde_json::{Map, Value, json};

/// A key as its table declares it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// Its meaning in whole sentences, and at the end a line of a file: "Example: `key = value`".
    pub(super) doc: &'static str,
}

impl Key {
    /// The meaning of the key.
    pub(super) fn meaning(&self) -> &'static str {
        self.split().0
    }

    /// What holds without the key, if its meaning says so.
    pub(super) fn default_meaning(&self) -> Option<&'static str> {
        let (_, rest) = self.meaning().split_once("Without it, ")?;
        let sentence = rest.split_once(". ").map_or(rest, |(first, _)| first);
        Some(sentence.trim_end_matches('.'))
    }

    /// A line of a file that sets the key. Sections have none.
    pub(super) fn example(&self) -> Option<&'static str> {
        self.split().1
    }

    fn split(&self) -> (&'static str, Option<&'static str>) {
        match self.doc.split_once("Example: `") {
            Some((meaning, example)) => (meaning.trim(), example.trim().strip_suffix('`')),
            None => (self.doc.trim(), None),
        }
    }
}

/// Declares a key outside [`table!`](super::declare::table).
pub(super) const fn key(name: &'static str, doc: &'static str) -> Key {
    Key { name, doc }
}

/// The `properties` of a JSON Schema that accepts none of these keys.
pub(super) fn forbidden(names: &[&str]) -> Value {
    let forbidden = names.iter().map(|name| ((*name).to_owned(), json!(false)));
    Value::Object(forbidden.collect())
}

/// The description of a type of values.
#[derive(Clone, Debug)]
pub(super) struct Description {
    /// The JSON Schema that accepts the values.
    pub(super) schema: Map<String, Value>,
    /// The type in a few words.
    pub(super) name: String,
    /// A sentence that follows the description of each key of this type.
    pub(super) note: Option<String>,
}

impl Description {
    /// A type with the keywords of a JSON object.
    pub(super) fn new(name: impl Into<String>, schema: Value) -> Self {
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        Self {
            schema,
            name: name.into(),
            note: None,
        }
    }

    /// Strings that match `pattern`.
    pub(super) fn pattern(name: &str, pattern: &str) -> Self {
        Self::new(name, json!({"type": "string", "pattern": pattern}))
    }

    /// Strings that are not empty.
    pub(super) fn text(name: &str) -> Self {
        Self::new(name, json!({"type": "string", "minLength": 1}))
    }

    /// One of these words.
    pub(super) fn one_of(words: &[&str]) -> Self {
        let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        Self::new(quoted.join(", "), json!({"enum": words}))
    }

    /// A secret, in one of its three forms.
    pub(super) fn secret() -> Self {
        let source = |doc| json!({"description": doc, "type": "string", "minLength": 1});
        let schema = json!({
            "type": ["string", "object"],
            "pattern": "\\S",
            "properties": {
                "env": source("The variable of the environment that holds it."),
                "file": source("The file that holds it."),
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        });
        Self::new("secret", schema)
            .with_note("A string, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`.")
    }

    pub(super) fn with_note(self, note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            ..self
        }
    }

    /// A list of at least `least` of these.
    pub(super) fn list(self, least: usize) -> Self {
        let mut schema = json!({"type": "array", "items": self.schema});
        require_items(&mut schema, least);
        Self {
            name: format!("list of {}", self.name),
            ..Self::new("", schema)
        }
    }

    /// A list of at least `least` of these, or one bare value.
    pub(super) fn one_or_many(self, least: usize) -> Self {
        let element = Value::Object(self.schema.clone());
        let mut list = json!({"type": "array", "items": element});
        require_items(&mut list, least);
        // Editors explain one object better than the alternatives of `anyOf`.
        let schema = if element["type"] == "string" {
            let mut merged = element;
            merged["items"] = list["items"].take();
            merged["type"] = json!(["string", "array"]);
            require_items(&mut merged, least);
            merged
        } else {
            json!({"anyOf": [element, list]})
        };
        Self {
            name: format!("{}, one or several", self.name),
            ..Self::new("", schema)
        }
    }
}

fn require_items(schema: &mut Value, least: usize) {
    if least > 0 {
        schema["minItems"] = json!(least);
    }
}

/// The effect of a missing key.
#[derive(Clone, Debug)]
pub(super) enum Presence {
    /// The file is refused.
    Required,
    /// As its description states after "Without it, ".
    Optional,
    /// This value.
    Default(Value),
}

/// The form of a key in the file.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// One value.
    Value(Description),
    /// `[key]`
    Table(TableReference),
    /// `[key]`, or `key = false`
    TableOrFalse(TableReference),
    /// `[[key]]`, at least this many.
    Tables(usize, TableReference),
    /// `[key.NAME]`
    NamedTables(TableReference),
    /// A table of keys that match a pattern, with values of one type.
    Map(&'static str, Description),
}

/// One key of a table.
#[derive(Clone, Debug)]
pub(super) struct KeyReference {
    pub(super) key: Key,
    pub(super) presence: Presence,
    pub(super) form: Form,
}

impl KeyReference {
    /// The meaning of the key and the note of its type.
    pub(super) fn description(&self) -> String {
        let doc = self.key.meaning();
        match &self.form {
            Form::Value(Description {
                note: Some(note), ..
            }) => format!("{doc} {note}"),
            Form::Value(_)
            | Form::Table(_)
            | Form::TableOrFalse(_)
            | Form::Tables(..)
            | Form::NamedTables(_)
            | Form::Map(..) => doc.to_owned(),
        }
    }
}

/// One table of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct TableReference {
    /// What it is for.
    pub(super) doc: &'static str,
    /// Its keys, in the order of their declaration.
    pub(super) keys: Vec<KeyReference>,
    /// JSON Schemas that hold beside the keys: which keys exclude or need each other.
    pub(super) rules: Vec<Value>,
}
