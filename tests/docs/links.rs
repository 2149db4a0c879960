//! Relative links and their anchors resolve, and the summary lists every page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::pages::{Page, all_pages, docs, read_page, root, split, without_code};

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
