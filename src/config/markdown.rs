//! The page `docs/configuration.md`: an introduction, and what the tables of gateway.toml declare.

use std::fmt::Write;

use super::reference::{Form, KeyReference, Presence, TableReference};

/// The text above the tables.
const INTRODUCTION: &str = include_str!("markdown/introduction.md");

pub(super) fn render(root: &TableReference) -> String {
    let mut text = INTRODUCTION.to_owned();
    for declared in &root.keys {
        section(&mut text, "", declared);
    }
    text
}

/// The section of a table, and those of the tables within it.
fn section(text: &mut String, parent: &str, declared: &KeyReference) {
    let name = declared.key.name;
    let path = if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    };
    let (heading, path, table) = match &declared.form {
        Form::Table(table) | Form::TableOrFalse(table) => (format!("[{path}]"), path, table),
        Form::Tables(_, table) => (format!("[[{path}]]"), path, table),
        Form::NamedTables(table) => (format!("[{path}.NAME]"), format!("{path}.NAME"), table),
        Form::Value(_) | Form::Map(..) => return,
    };
    let _ = write!(
        text,
        "\n## `{heading}`\n\n{}\n\n| key | type | default | meaning | example |\n|---|---|---|---|---|\n",
        declared.key.meaning(),
    );
    for declared in &table.keys {
        row(text, &path, declared);
    }
    for declared in &table.keys {
        section(text, &path, declared);
    }
}

fn row(text: &mut String, table: &str, declared: &KeyReference) {
    let name = declared.key.name;
    let values = match &declared.form {
        Form::Value(values) => values.name.clone(),
        Form::Table(_) => format!("table `[{table}.{name}]`"),
        Form::TableOrFalse(_) => format!("table `[{table}.{name}]`, or `false`"),
        Form::Tables(..) => format!("tables `[[{table}.{name}]]`"),
        Form::NamedTables(_) => format!("tables `[{table}.{name}.NAME]`"),
        Form::Map(_, values) => format!("table of {}", values.name),
    };
    let default = match &declared.presence {
        Presence::Required => "required".to_owned(),
        Presence::Optional => String::new(),
        Presence::Default(default) => format!("`{default}`"),
    };
    let example = declared.key.example();
    let cells = [
        format!("`{name}`"),
        values,
        default,
        declared.description(),
        example
            .map(|example| format!("`{example}`"))
            .unwrap_or_default(),
    ];
    // A bar would end the cell.
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
