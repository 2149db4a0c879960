//! The rooms of `src/lib.rs` import what its table says, and nothing else.

mod events;
mod graph;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The rooms that every room may import, and that import nothing.
const GROUND: [&str; 4] = ["values", "text", "sync", "client_limits"];

/// The rooms that each room may import besides [`GROUND`]. A room that is missing here may import all.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("values", &[]),
    ("text", &[]),
    ("sync", &[]),
    ("client_limits", &[]),
    ("oauth", &[]),
    ("files", &[]),
    ("http_client", &[]),
    ("config", &["files"]),
    ("clock", &["oauth"]),
    ("transport", &["clock", "files"]),
    ("policy", &["oauth"]),
    ("rate_limits", &["oauth"]),
    ("telemetry", &["oauth", "policy", "clock", "http_client"]),
    ("revocation", &["oauth", "clock"]),
    (
        "verify",
        &["oauth", "telemetry", "clock", "http_client", "revocation"],
    ),
    (
        "fleet",
        &[
            "oauth",
            "clock",
            "telemetry",
            "transport",
            "revocation",
            "verify",
            "rate_limits",
        ],
    ),
    (
        "upstream",
        &["oauth", "policy", "telemetry", "clock", "transport"],
    ),
    (
        "gateway",
        &[
            "oauth",
            "files",
            "config",
            "clock",
            "http_client",
            "transport",
            "policy",
            "telemetry",
            "revocation",
            "verify",
            "upstream",
            "rate_limits",
            "fleet",
        ],
    ),
    (
        "server",
        &["gateway", "config", "clock", "transport", "telemetry"],
    ),
    (
        "reload",
        &[
            "gateway",
            "config",
            "clock",
            "server",
            "transport",
            "telemetry",
        ],
    ),
    (
        "admin",
        &[
            "gateway",
            "clock",
            "telemetry",
            "oauth",
            "revocation",
            "verify",
            "upstream",
            "rate_limits",
            "fleet",
            "server",
            "reload",
        ],
    ),
    ("dev", &["oauth", "clock", "transport", "verify"]),
];

/// What a pure room does not know of.
const IMPURE: [&str; 6] = [
    "tokio",
    "reqwest",
    "tracing",
    "SystemTime",
    "Instant",
    "net",
];

#[test]
fn every_room_imports_only_those_below_it() {
    let modules = source::parse_crate();
    let mut faults = Vec::new();
    for (module, used) in graph::graph(&modules) {
        let Some((room, allowed)) = MAY_IMPORT
            .iter()
            .find(|(room, _)| module.first().is_some_and(|name| name == room))
        else {
            continue;
        };
        let rooms: BTreeSet<_> = used.iter().filter_map(|used| used.first()).collect();
        for imported in rooms {
            let is_allowed =
                GROUND.contains(&imported.as_str()) || allowed.contains(&imported.as_str());
            if imported != room && !is_allowed {
                faults.push(format!("{}: {room} imports {imported}", module.join("::")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_rooms_touch_no_clock_no_socket_and_no_log() {
    for (module, source) in source::parse_crate() {
        let Some(room) = module
            .first()
            .filter(|room| ["oauth", "policy"].contains(&room.as_str()))
        else {
            continue;
        };
        // `policy` parses addresses, which is no network.
        let impure = IMPURE
            .into_iter()
            .filter(|name| !(room == "policy" && *name == "net"));
        for name in impure {
            let mut paths = source
                .imports
                .iter()
                .map(|import| &import.path)
                .chain(&source.paths);
            let found = paths.find(|path| path.iter().any(|segment| segment == name));
            assert!(
                found.is_none(),
                "{} uses {}",
                module.join("::"),
                found.map(|path| path.join("::")).unwrap_or_default()
            );
        }
    }
}

#[test]
fn every_room_stands_in_the_table_of_the_tour() {
    let tour = tour();
    let rooms = &source::parse_crate()[&Vec::new()].children;
    for room in rooms {
        let row = table_row(&tour, room)
            .unwrap_or_else(|| panic!("{room} is not in the table of src/lib.rs"));
        let imports = row.rsplit('|').nth(1).unwrap_or_default();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| name == room) else {
            assert_eq!(imports.trim(), "everything", "{room}");
            continue;
        };
        let documented: BTreeSet<&str> = quoted(imports).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(documented, allowed, "what src/lib.rs lets {room} import");
    }
}

#[test]
fn every_lock_is_in_the_table_of_the_tour() {
    let tour = tour();
    let modules = source::parse_crate();
    let has_lock = |source: &source::Module| {
        let imports = source.imports.iter().map(|import| &import.path);
        let mut names = imports.chain(&source.paths).flatten();
        names.any(|name| ["Mutex", "RwLock"].contains(&name.as_str()))
    };
    let locked: BTreeSet<String> = modules
        .iter()
        .filter(|(_, source)| has_lock(source))
        .map(|(module, _)| module.join("::"))
        .filter(|module| module != "sync")
        .collect();
    let (_, section) = tour.split_once("//! # Locks").expect("a section on locks");
    let (section, _) = section.split_once("//! # ").expect("a section after it");
    let documented: BTreeSet<String> = section
        .lines()
        .filter_map(|line| quoted(line.strip_prefix("//! | ")?).next())
        .map(str::to_owned)
        .collect();
    assert_eq!(locked, documented, "files with a lock, and src/lib.rs");
}

#[test]
fn only_http_client_builds_an_http_client() {
    for (module, source) in source::parse_crate() {
        if module == ["http_client"] {
            continue;
        }
        let imports = source.imports.iter().map(|import| &import.path);
        let uses = imports.chain(&source.paths);
        for path in uses.filter(|path| path.first().is_some_and(|name| name == "reqwest")) {
            assert_eq!(path[1..], ["Error"], "{} uses reqwest", module.join("::"));
        }
    }
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = fs::read_to_string(root.join("SECURITY.md")).expect("the threat model");
    assert_tests_exist("SECURITY.md", &model, 40);
    for threat in 1..=18 {
        assert!(model.contains(&format!("**T{threat}. ")), "T{threat}");
    }
}

#[test]
fn every_test_that_the_tour_names_exists() {
    assert_tests_exist("src/lib.rs", &tour(), 25);
}

#[test]
fn every_file_that_the_tour_names_exists() {
    let tour = tour();
    let is_file = |text: &&str| text.contains('/') && text.ends_with(".rs");
    let files: BTreeSet<&str> = quoted(&tour).filter(is_file).collect();
    assert!(files.len() > 10, "src/lib.rs names {} files", files.len());
    for file in files {
        let exists = source::source_folder().join(file).exists();
        assert!(exists, "src/lib.rs names {file}, which does not exist");
    }
}

fn tour() -> String {
    fs::read_to_string(source::source_folder().join("lib.rs")).expect("the tour")
}

fn table_row<'t>(tour: &'t str, room: &str) -> Option<&'t str> {
    let cells = [format!("//! | [`{room}`] |"), format!("//! | `{room}` |")];
    tour.lines()
        .find(|line| cells.iter().any(|cell| line.starts_with(cell)))
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Names with more than two underscores are taken for names of tests.
fn assert_tests_exist(page: &str, text: &str, at_least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        read_all(&root.join(folder), &mut sources);
    }
    let is_name =
        |text: &&str| text.matches('_').count() > 2 && !text.contains([' ', '=', '.', ':']);
    // Fences of code blocks are backticks, too.
    let text = text.replace("```", "");
    let named: BTreeSet<&str> = quoted(&text).filter(is_name).collect();
    assert!(
        named.len() >= at_least,
        "{page} names {} tests",
        named.len()
    );
    for name in named {
        assert!(
            sources.contains(&format!("fn {name}(")),
            "{page} names {name}, which is no test"
        );
    }
}

fn read_all(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn only_clock_reads_a_clock() {
    let mut reads = Vec::new();
    for (module, source) in source::parse_crate() {
        if module.first().is_none_or(|room| room != "clock") {
            let module = module.join("::");
            reads.extend(
                source
                    .clock_reads
                    .iter()
                    .map(|read| format!("{module}: {read}")),
            );
        }
    }
    assert!(reads.is_empty(), "{}", reads.join("\n"));
}

#[test]
fn files_form_no_circle() {
    let graph = graph::graph(&source::parse_crate());
    let circles = graph::circles(&graph);
    for circle in &circles {
        println!("a circle of {} files:", circle.len());
        for module in circle {
            let uses = graph[module].iter().filter(|used| circle.contains(used));
            let uses: Vec<_> = uses.map(|used| used.join("::")).collect();
            println!("  {} uses {}", module.join("::"), uses.join(", "));
        }
    }
    assert!(circles.is_empty(), "{} circles of files", circles.len());
}
