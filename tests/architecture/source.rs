//! The source of the crate, parsed: every file with the items it defines, its imports and the paths it uses.
//!
//! Tests are left out (`#[cfg(test)]`), and so is documentation, which may point anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::visit::Visit;
use syn::{Attribute, Item, UseTree};

/// The event macros of `tracing`.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The module of a file as its path from the crate's root; the root itself is empty.
pub(crate) type ModulePath = Vec<String>;

/// One file of `src`, which is one module.
pub(crate) struct Module {
    /// Names of the items that the file defines itself.
    pub(crate) items: Vec<String>,
    /// Child modules that the file declares, tests left out.
    pub(crate) children: Vec<String>,
    /// Every `use`, one name each.
    pub(crate) imports: Vec<Import>,
    /// Paths of two or more segments in expressions, types, patterns and macros.
    pub(crate) paths: Vec<Vec<String>>,
    /// Functions that read a clock of std or tokio: `Instant::now`, `SystemTime::now`, `elapsed`.
    pub(crate) clock_reads: Vec<String>,
    /// Arguments of the event macros of `tracing`, with the level.
    pub(crate) events: Vec<(String, proc_macro2::TokenStream)>,
}

/// One name that a `use` brings into a module.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    /// The path as written, without the final `*` of a glob.
    pub(crate) path: Vec<String>,
    /// The name that it has here; `None` for a glob.
    pub(crate) name: Option<String>,
}

/// Parses every file of `src` that is not a test.
///
/// # Panics
/// When a file cannot be read or parsed.
pub(crate) fn parse_crate() -> BTreeMap<ModulePath, Module> {
    let root = source_folder();
    let mut modules = BTreeMap::new();
    let mut pending = vec![(Vec::new(), root.join("lib.rs"))];
    while let Some((path, file)) = pending.pop() {
        let module = parse_file(&file);
        for child in &module.children {
            let mut child_path = path.clone();
            child_path.push(child.clone());
            let folder = child_path
                .iter()
                .fold(root.to_owned(), |folder, name| folder.join(name));
            let alone = folder.with_extension("rs");
            let child_file = if alone.exists() {
                alone
            } else {
                folder.join("mod.rs")
            };
            pending.push((child_path, child_file));
        }
        modules.insert(path, module);
    }
    modules
}

/// `src` of this package.
pub(crate) fn source_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

fn parse_file(file: &Path) -> Module {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed =
        syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut collector = Collector {
        module: Module {
            items: Vec::new(),
            children: Vec::new(),
            imports: Vec::new(),
            paths: Vec::new(),
            clock_reads: Vec::new(),
            events: Vec::new(),
        },
    };
    for item in &parsed.items {
        collector.module.items.extend(defined_name(item));
        collector.visit_item(item);
    }
    collector.module
}

struct Collector {
    module: Module,
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        if let Item::Mod(module) = item
            && module.content.is_none()
        {
            self.module.children.push(module.ident.to_string());
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        flatten(&item.tree, &mut Vec::new(), &mut self.module.imports);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments = segments_of(path);
            if let [.., clock, read] = &segments[..]
                && ["Instant", "SystemTime"].contains(&clock.as_str())
                && read == "now"
            {
                self.module.clock_reads.push(format!("{clock}::now"));
            }
            self.module.paths.push(segments);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        if let [krate, level] = &segments_of(&invocation.path)[..]
            && krate == "tracing"
        {
            self.event(level, invocation.tokens.clone());
        }
        self.events_in(invocation.tokens.clone());
        self.paths_in(invocation.tokens.clone());
        syn::visit::visit_macro(self, invocation);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "elapsed" && call.args.is_empty() {
            self.module.clock_reads.push("elapsed".to_owned());
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    // Links in documentation are no imports.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if !attribute.path().is_ident("doc") {
            syn::visit::visit_attribute(self, attribute);
        }
    }
}

impl Collector {
    fn event(&mut self, level: &str, arguments: proc_macro2::TokenStream) {
        if LEVELS.contains(&level) {
            self.module.events.push((level.to_owned(), arguments));
        }
    }

    // Events inside `tokio::select!` are tokens to syn: `tracing`, two colons, a level, `!` and its arguments.
    fn events_in(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree;
        let tokens: Vec<_> = tokens.into_iter().collect();
        for window in tokens.windows(6) {
            if let [
                TokenTree::Ident(krate),
                TokenTree::Punct(_),
                TokenTree::Punct(_),
                TokenTree::Ident(level),
                TokenTree::Punct(_),
                TokenTree::Group(arguments),
            ] = window
                && krate == "tracing"
            {
                self.event(&level.to_string(), arguments.stream());
            }
        }
        for token in tokens {
            if let TokenTree::Group(group) = token {
                self.events_in(group.stream());
            }
        }
    }

    // The arguments of a macro need not be Rust: paths are found as identifiers joined by `::`.
    fn paths_in(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree;
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident.to_string())
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    self.end_path(&mut path);
                    path.push(ident.to_string());
                }
                TokenTree::Group(group) => {
                    self.end_path(&mut path);
                    self.paths_in(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.end_path(&mut path),
            }
            colons = 0;
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.module.paths.push(std::mem::take(path));
        }
        path.clear();
    }
}

fn segments_of(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

fn flatten(tree: &UseTree, prefix: &mut Vec<String>, imports: &mut Vec<Import>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, imports);
            prefix.pop();
        }
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|tree| flatten(tree, prefix, imports)),
        UseTree::Glob(_) => imports.push(Import {
            path: prefix.clone(),
            name: None,
        }),
        UseTree::Name(name) => import(prefix, &name.ident.to_string(), None, imports),
        UseTree::Rename(rename) => import(
            prefix,
            &rename.ident.to_string(),
            Some(rename.rename.to_string()),
            imports,
        ),
    }
}

// `use a::{self}` binds `a`.
fn import(prefix: &[String], last: &str, renamed: Option<String>, imports: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    if last != "self" {
        path.push(last.to_owned());
    }
    let name = renamed.or_else(|| path.last().cloned());
    imports.push(Import { path, name });
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "syn may know further kinds of items; they define no name"
)]
fn defined_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Mod(item) if item.content.is_some() => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other kinds stand in no file of ours under a cfg"
)]
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg")
            && list
                .tokens
                .to_string()
                .split(|c: char| !c.is_alphanumeric())
                .any(|w| w == "test")
    })
}
