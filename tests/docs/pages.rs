//! The pages of the documentation, split into code and prose.

use std::fs;
use std::path::{Path, PathBuf};

/// Pages outside `docs` whose links are checked as well.
const PAGES_OUTSIDE_DOCS: [&str; 3] = ["README.md", "SECURITY.md", "CONTRIBUTING.md"];

pub(crate) struct Page {
    /// Relative to the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block of code.
pub(crate) struct Block<'t> {
    pub(crate) info: &'t str,
    /// The line of its first line of code, counted from 1.
    pub(crate) line: usize,
    pub(crate) code: String,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read_page(path: PathBuf) -> Page {
    let text = fs::read_to_string(root().join(&path)).expect("a readable page");
    Page { path, text }
}

/// Every page below `docs`, in order.
pub(crate) fn docs() -> Vec<Page> {
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

pub(crate) fn all_pages() -> Vec<Page> {
    let outside = PAGES_OUTSIDE_DOCS.iter().map(PathBuf::from);
    let mut pages: Vec<_> = outside.map(read_page).collect();
    pages.extend(docs());
    pages
}

/// Splits a page into its fenced blocks and its other lines, with their numbers.
pub(crate) fn split(text: &str) -> (Vec<Block<'_>>, Vec<(usize, &str)>) {
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
pub(crate) fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts
        .map(|(index, part)| if index % 2 == 0 { part } else { "code" })
        .collect()
}
