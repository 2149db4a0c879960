//! Which file uses which: edges run to the file that defines the item, through re-exports and globs.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Module, ModulePath};

/// The modules that each module uses: those whose files define the items.
pub(crate) type Graph = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

/// Resolves every import and path of every module.
///
/// A child that uses what the file of its direct parent defines is no edge: a module and its own children are one thing.
pub(crate) fn graph(modules: &BTreeMap<ModulePath, Module>) -> Graph {
    let mut graph = Graph::new();
    for (path, module) in modules {
        let mut used = BTreeSet::new();
        let imports = module
            .imports
            .iter()
            .map(|import| (&import.path, import.name.is_none()));
        for (written, is_glob) in imports.chain(module.paths.iter().map(|path| (path, false))) {
            used.extend(resolve(modules, path, written, is_glob, 0));
        }
        used.remove(path);
        let parent = &path[..path.len().saturating_sub(1)];
        used.retain(|target| path.is_empty() || target != parent);
        graph.insert(path.clone(), used);
    }
    graph
}

/// Every group of modules that reach each other.
pub(crate) fn circles(graph: &Graph) -> Vec<Vec<ModulePath>> {
    let reach: BTreeMap<_, _> = graph
        .keys()
        .map(|module| (module, reachable(graph, module)))
        .collect();
    let mut circles: Vec<Vec<ModulePath>> = Vec::new();
    for module in graph
        .keys()
        .filter(|module| reach[module].contains(*module))
    {
        if circles.iter().any(|circle| circle.contains(module)) {
            continue;
        }
        let members = reach[module]
            .iter()
            .filter(|other| reach[other].contains(module))
            .cloned();
        circles.push(members.collect());
    }
    circles
}

fn reachable(graph: &Graph, from: &ModulePath) -> BTreeSet<ModulePath> {
    let mut seen = BTreeSet::new();
    let mut pending: Vec<_> = graph[from].iter().collect();
    while let Some(module) = pending.pop() {
        if seen.insert(module.clone()) {
            pending.extend(graph.get(module).into_iter().flatten());
        }
    }
    seen
}

/// The module whose file defines the item that `written` names in `module`. For a glob, the named
/// module.
///
/// `None` for other crates, locals and generic parameters.
fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    module: &ModulePath,
    written: &[String],
    is_glob: bool,
    depth: usize,
) -> Option<ModulePath> {
    // Globs that name each other end here; no chain of re-exports is as long.
    if depth > 16 {
        return None;
    }
    let (first, mut rest) = written.split_first()?;
    let mut current = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => parent(module),
        _ => {
            rest = written;
            module.clone()
        }
    };
    while rest.first().is_some_and(|segment| segment == "super") {
        (current, rest) = (parent(&current), &rest[1..]);
    }
    while let Some((segment, after)) = rest.split_first() {
        let here = &modules[&current];
        if here.children.contains(segment) {
            current.push(segment.clone());
            rest = after;
            continue;
        }
        if here.items.contains(segment) {
            return Some(current);
        }
        let named = here
            .imports
            .iter()
            .find(|import| import.name.as_ref() == Some(segment));
        if let Some(import) = named {
            // The name of an import in this very place, which is the one to be resolved.
            if import.path == written && &current == module {
                return None;
            }
            let onwards: Vec<_> = import.path.iter().chain(after).cloned().collect();
            return resolve(modules, &current, &onwards, is_glob, depth + 1);
        }
        let globs = here.imports.iter().filter(|import| import.name.is_none());
        return globs.into_iter().find_map(|glob| {
            let onwards: Vec<_> = glob.path.iter().chain(rest).cloned().collect();
            resolve(modules, &current, &onwards, is_glob, depth + 1)
        });
    }
    // The module itself: the items used from it have paths of their own.
    is_glob.then_some(current)
}

fn parent(module: &ModulePath) -> ModulePath {
    module[..module.len().saturating_sub(1)].to_vec()
}
