//! The documentation is checked like code: configurations compile, links resolve, sentences stay short.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use scopegate::{config, gateway};

/// A sentence with more words has to be read twice.
const MAX_WORDS: usize = 40;

/// Pages outside `docs` whose links are checked as well.
const PAGES_OUTSIDE_DOCS: [&str; 3] = ["README.md", "SECURITY.md", "CONTRIBUTING.md"];

const CONFIGURATION_PAGE: &str = "docs/configuration.md";

const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

struct Page {
    /// Relative to the root of the repository.
    path: PathBuf,
    text: String,
}

/// A fenced block of code.
struct Block<'t> {
    info: &'t str,
    /// The line of its first line of code, counted from 1.
    line: usize,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read_page(path: PathBuf) -> Page {
    let text = fs::read_to_string(root().join(&path)).expect("a readable page");
    Page { path, text }
}

/// Every page below `docs`, in order.
fn docs() -> Vec<Page> {
    let mut pages = Vec::new();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a readable folder") {
            let path = folder.join(entry.expect("a readable entry").file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(read_page(path));
            }
        }
    }
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    pages
}

fn all_pages() -> Vec<Page> {
    let outside = PAGES_OUTSIDE_DOCS.iter().map(PathBuf::from);
    let mut pages: Vec<_> = outside.map(read_page).collect();
    pages.extend(docs());
    pages
}

/// Splits a page into its fenced blocks and its other lines, with their numbers.
fn split(text: &str) -> (Vec<Block<'_>>, Vec<(usize, &str)>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    let mut open: Option<(&str, Block<'_>)> = None;
    for (index, line) in text.lines().enumerate() {
        let content = line.trim_start();
        match open.take() {
            Some((fence, block)) if content.trim_end() == fence => blocks.push(block),
            Some((fence, mut block)) => {
                block.code.push_str(line);
                block.code.push('\n');
                open = Some((fence, block));
            }
            None if content.starts_with("```") => {
                let ticks = content.len() - content.trim_start_matches('`').len();
                let (fence, info) = content.split_at(ticks);
                let block = Block {
                    info: info.trim(),
                    line: index + 2,
                    code: String::new(),
                };
                open = Some((fence, block));
            }
            None => prose.push((index + 1, line)),
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    (blocks, prose)
}

/// Removes inline code, which holds neither links nor words.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts
        .map(|(index, part)| if index % 2 == 0 { part } else { "code" })
        .collect()
}

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

/// Reads and compiles a configuration in a folder of its own. The folder has the files that the configuration names.
fn compile(toml: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = with_named_files(toml, folder.path());
    let path = folder.path().join("gateway.toml");
    fs::write(&path, &toml).expect("a file");
    // The pages name variables that an operator would set.
    let secret = |_: &str| {
        Some("a secret that is long enough for every algorithm: 64 bytes, and more".to_owned())
    };
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
            _ if toml.contains(&format!("{{ file = \"{named}\"")) => {
                "a secret that is long enough for every algorithm: 64 bytes, and more".to_owned()
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
        .replace("upstreams.NAME", "upstreams.orders");
    let ends = section.match_indices('.').map(|(end, _)| end);
    for end in ends {
        let outer = &section[..end];
        table_at(&mut file, outer).extend(parse(neighbours(outer, "")));
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
            "listeners" | "certificates" | "clients" => toml::Value::Array(vec![new]),
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
        ("listeners", _) => "address = \"127.0.0.1:8443\"",
        ("listeners.tls", _) => "certificates = [{ certificate = \"a.crt\", key = \"a.key\" }]",
        ("listeners.tls.certificates" | "upstreams.orders.tls_client", _) => {
            "certificate = \"a.crt\"\nkey = \"a.key\""
        }
        ("admin", _) => "listen = \"127.0.0.1:9090\"",
        ("cors" | "routes.cors", _) => "origins = [\"https://app.example.com\"]",
        ("upstreams.orders.health", _) => "path = \"/healthz\"",
        ("issuers.corp", "validation") => INTROSPECTION,
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

#[test]
fn relative_links_and_anchors_resolve() {
    let pages = all_pages();
    let mut anchors = BTreeMap::new();
    let mut faults = Vec::new();
    for page in &pages {
        let (_, prose) = split(&page.text);
        for (line, target) in prose.iter().flat_map(|(line, text)| links(*line, text)) {
            if let Err(fault) = resolve(page, &target, &mut anchors) {
                faults.push(format!("{}:{line}: {fault}", page.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The targets of a line's links and images that lead to this repository.
fn links(line: usize, text: &str) -> Vec<(usize, String)> {
    let text = without_code(text);
    let inline = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    let sources = text
        .split("src=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let defined = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target.trim());
    let all = inline.chain(sources).chain(defined);
    all.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| (line, target.to_owned()))
        .collect()
}

fn resolve(
    page: &Page,
    target: &str,
    anchors: &mut BTreeMap<PathBuf, BTreeSet<String>>,
) -> Result<(), String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => page.path.clone(),
        file => normal(&page.path.parent().unwrap_or(Path::new("")).join(file)),
    };
    if !root().join(&path).exists() {
        return Err(format!("{target}: {} does not exist", path.display()));
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let known = anchors
        .entry(path.clone())
        .or_insert_with(|| anchors_of(&read_page(path.clone()).text));
    if known.contains(anchor) {
        Ok(())
    } else {
        Err(format!(
            "{target}: {} has no heading #{anchor}",
            path.display()
        ))
    }
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                assert!(normal.pop(), "{} leaves the repository", path.display());
            }
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => {
                normal.push(component);
            }
        }
    }
    normal
}

/// Anchors as GitHub makes them of headings: lower case, without punctuation, spaces as hyphens, numbered if repeated.
fn anchors_of(text: &str) -> BTreeSet<String> {
    let (_, prose) = split(text);
    let mut anchors = BTreeSet::new();
    for (_, line) in prose {
        let heading = line.trim_start_matches('#');
        let level = line.len() - heading.len();
        if !(1..=6).contains(&level) || !heading.starts_with(' ') {
            continue;
        }
        let slug: String = link_texts(heading.trim())
            .to_lowercase()
            .chars()
            .filter(|char| char.is_alphanumeric() || [' ', '-', '_'].contains(char))
            .map(|char| if char == ' ' { '-' } else { char })
            .collect();
        let numbered = (1..).map(|number| format!("{slug}-{number}"));
        let mut candidates = std::iter::once(slug.clone()).chain(numbered);
        anchors.extend(candidates.find(|candidate| !anchors.contains(candidate)));
    }
    anchors
}

/// `[text](target)` reads `text`.
fn link_texts(heading: &str) -> String {
    let mut texts = String::new();
    let mut parts = heading.split("](");
    texts.push_str(parts.next().unwrap_or_default());
    for part in parts {
        texts.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    texts
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# What clients receive\n## `[server]`\n### A, b: c-d_e?\n## Same\n## Same\n\
                ```sh\n# no heading\n```\n#### [Linked](page.md) text\n";
    let expected = [
        "a-b-c-d_e",
        "linked-text",
        "same",
        "same-1",
        "server",
        "what-clients-receive",
    ];
    assert_eq!(anchors_of(text), expected.map(str::to_owned).into());
}

#[test]
fn the_summary_lists_every_page() {
    // The table of contents may not be written yet.
    let Ok(summary) = fs::read_to_string(root().join("docs/SUMMARY.md")) else {
        return;
    };
    let (_, prose) = split(&summary);
    let listed: BTreeSet<_> = prose
        .iter()
        .flat_map(|(line, text)| links(*line, text))
        .map(|(_, target)| normal(&Path::new("docs").join(target)))
        .collect();
    let missing: Vec<_> = docs()
        .into_iter()
        .map(|page| page.path)
        .filter(|path| !path.ends_with("SUMMARY.md") && !listed.contains(path))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/SUMMARY.md does not list {missing:?}"
    );
}

#[test]
fn no_sentence_of_the_documentation_is_too_long() {
    let mut faults = Vec::new();
    for page in docs() {
        for (line, sentence) in sentences(&page.text) {
            let words = sentence.split_whitespace().count();
            if words > MAX_WORDS {
                let location = format!("{}:{line}", page.path.display());
                faults.push(format!("{location}: {words} words: {sentence}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The sentences of paragraphs and list items with the line where their paragraph begins. Code and tables have none.
fn sentences(text: &str) -> Vec<(usize, String)> {
    let (_, prose) = split(text);
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    let mut expected_line = 0;
    for (number, line) in prose {
        let content = line.trim();
        let is_text = !content.is_empty() && !content.starts_with(['|', '#', '<']);
        let begins = number != expected_line || begins_list_item(content) || paragraphs.is_empty();
        if is_text && begins {
            paragraphs.push((number, without_code(content)));
        } else if is_text && let Some((_, paragraph)) = paragraphs.last_mut() {
            paragraph.push(' ');
            paragraph.push_str(&without_code(content));
        }
        expected_line = if is_text { number + 1 } else { 0 };
    }
    let split_up = paragraphs.iter().flat_map(|(line, paragraph)| {
        let sentences = paragraph
            .split_inclusive(". ")
            .flat_map(|part| part.split_inclusive("? "));
        sentences.map(|sentence| (*line, sentence.trim().to_owned()))
    });
    split_up.collect()
}

fn begins_list_item(content: &str) -> bool {
    let after_number = content.trim_start_matches(|char: char| char.is_ascii_digit());
    let is_numbered = after_number.len() < content.len() && after_number.starts_with(". ");
    is_numbered
        || ["- ", "* ", "> "]
            .iter()
            .any(|mark| content.starts_with(mark))
}

#[test]
fn sentences_end_with_their_paragraph_and_skip_code_and_tables() {
    let text = "# Heading\n\nOne `a b. c` here. Two is\nlong.\n- Three\n- Four\n\n| a. b |\n```text\nd. e\n```\nFive?\n";
    let found: Vec<_> = sentences(text)
        .into_iter()
        .map(|(_, sentence)| sentence)
        .collect();
    assert_eq!(
        found,
        [
            "One code here.",
            "Two is long.",
            "- Three",
            "- Four",
            "Five?"
        ]
    );
}
