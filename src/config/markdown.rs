//! The reference of gateway.toml in Markdown, rendered from what its tables declare.

use std::fmt::Write;

use super::reference::{Form, KeyReference, Presence, TableReference};

pub(super) fn render(root: &TableReference) -> String {
    let mut text = format!("# gateway.toml\n\n{}\n", root.doc.trim());
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
        Form::Table(table) => (format!("[{path}]"), path, table),
        Form::Tables(_, table) => (format!("[[{path}]]"), path, table),
        Form::NamedTables(table) => (format!("[{path}.NAME]"), format!("{path}.NAME"), table),
        Form::Value(_) | Form::Map(..) => return,
    };
    let _ = write!(
        text,
        "\n## `{heading}`\n\n{}\n\n| key | type | default | unit | meaning |\n|---|---|---|---|---|\n",
        declared.key.doc.trim(),
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
    let (values, units) = match &declared.form {
        Form::Value(values) => (values.name.clone(), values.units.as_deref()),
        Form::Table(_) => (format!("table `[{table}.{name}]`"), None),
        Form::Tables(..) => (format!("tables `[[{table}.{name}]]`"), None),
        Form::NamedTables(_) => (format!("tables `[{table}.{name}.NAME]`"), None),
        Form::Map(_, values) => (format!("table of {}", values.name), None),
    };
    let default = match &declared.presence {
        Presence::Required => "required".to_owned(),
        Presence::Optional => String::new(),
        Presence::Default(default) => format!("`{default}`"),
    };
    let cells = [
        format!("`{name}`"),
        values,
        default,
        units.unwrap_or_default().to_owned(),
        declared.description(),
    ];
    // A bar would end the cell.
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
