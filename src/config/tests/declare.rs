//! A key is declared once.

use super::*;
use crate::config::units::{MINUTE, SECOND, duration};

table! {
    /// A table with one key, which no other table has.
    struct Example {
        fn read(table) -> Self;

        /// How long an example may take.
        /// Example: `example_timeout = "7s"`
        example_timeout: Duration = or(duration(SECOND..=MINUTE), "5s"),
    }
}

table! {
    /// A file with that table.
    struct ExampleFile {
        fn read(table) -> Self;

        /// The table.
        example: Example = table(Example::read),
    }
}

fn file(is_recording: bool) -> File<'static> {
    File {
        folder: PathBuf::new(),
        purpose: Purpose::Run,
        variable: &|_| None,
        is_recording,
        faults: RefCell::default(),
        warnings: RefCell::default(),
    }
}

fn read_example(text: &str) -> (ExampleFile, Vec<Fault>) {
    let file = file(false);
    let document = DeTable::parse(text).expect("TOML");
    let (example, _) = file.read(document.get_ref(), ExampleFile::read);
    (example, file.faults.into_inner())
}

#[test]
fn key_declared_on_one_line_is_in_reader_schema_and_reference() {
    let (read, faults) = read_example("[example]\nexample_timeout = \"7s\"");
    assert_eq!(read.example.example_timeout, Duration::from_secs(7));
    assert_eq!(faults, []);
    let (read, faults) = read_example("[example]\nexample_timeot = \"7s\"");
    assert_eq!(read.example.example_timeout, Duration::from_secs(5));
    assert_eq!(faults[0].key, "example.example_timeot");
    assert_eq!(faults[0].span, Some(10..24));
    assert_eq!(
        faults[0].help.as_deref(),
        Some("did you mean \"example_timeout\"?")
    );

    let (_, reference) = file(true).read(&DeTable::new(), ExampleFile::read);
    let schema: serde_json::Value =
        serde_json::from_str(&crate::config::schema::render(&reference)).expect("JSON");
    assert_eq!(
        schema["properties"]["example"]["properties"]["example_timeout"],
        serde_json::json!({
            "description": "How long an example may take. From 1s to 1m.",
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h)$",
            "default": "5s",
        })
    );
    let markdown = crate::config::markdown::render(&reference);
    assert!(
        markdown.contains(
            "\n## `[example]`\n\nThe table.\n\n| key | type | default | meaning | example |\n|---|---|---|---|---|\n\
             | `example_timeout` | duration | `\"5s\"` | How long an example may take. From 1s to 1m. | \
             `example_timeout = \"7s\"` |\n"
        ),
        "{markdown}"
    );
}

#[test]
fn reference_has_a_section_for_each_table_and_a_row_for_each_key_of_the_schema() {
    let markdown = markdown();
    let headings: Vec<_> = markdown
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert_eq!(
        headings,
        [
            "`[server]`",
            "`[server.response_headers]`",
            "`[[listeners]]`",
            "`[listeners.tls]`",
            "`[[listeners.tls.certificates]]`",
            "`[admin]`",
            "`[development]`",
            "`[[development.clients]]`",
            "`[log]`",
            "`[telemetry]`",
            "`[cors]`",
            "`[fleet]`",
            "`[challenge]`",
            "`[revocations]`",
            "`[issuers.NAME]`",
            "`[issuers.NAME.introspection]`",
            "`[[issuers.NAME.claims]]`",
            "`[upstreams.NAME]`",
            "`[upstreams.NAME.health]`",
            "`[upstreams.NAME.outlier]`",
            "`[upstreams.NAME.tls_client]`",
            "`[limits.NAME]`",
            "`[[routes]]`",
            "`[[routes.claims]]`",
            "`[routes.step_up]`",
            "`[routes.cors]`",
            "`[routes.request_headers]`",
            "`[routes.response_headers]`",
            "`[routes.respond]`",
            "`[routes.mcp]`",
            "`[[routes.tools]]`",
            "`[[resources]]`",
        ]
    );
    let rows = markdown
        .lines()
        .skip_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"));
    for row in rows {
        let row = row.replace("\\|", "");
        let cells: Vec<_> = row.split(" | ").collect();
        let [key, _, _, meaning, example] = *cells else {
            panic!("expected five cells, but found {row}");
        };
        assert!(meaning.ends_with('.'), "{row}");
        let sets_it = format!("`{} = ", key.trim_matches(['|', ' ', '`']));
        assert!(
            example.starts_with(&sets_it),
            "expected an example, but found {row}"
        );
    }
}
