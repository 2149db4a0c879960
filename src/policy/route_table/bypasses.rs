//! Bypasses: one route forwards paths that a stricter route protects.
//!
//! A route that strips the first segments of its paths, or rewrites them, forwards `/v1/reports` as
//! `/reports`. Its own requirement applies, not that of the route for `/reports`.
//!
//! 1. Paths are compared as the upstream sees them, among routes of one upstream and one host. If
//!    the upstream does not get the client's host, routes of all hosts are compared.
//! 2. A bypass leads through one route to another whose path, as the upstream sees it, is at least
//!    as specific. Both routes share a method, and passing the first does not imply passing the
//!    second.
//! 3. A path that belongs to a third route is not a bypass.
//!
//! A tree for each upstream finds the routes whose paths overlap. Requirements are compared by
//! class, and a branch is skipped if all its classes are implied, so the time is proportional to
//! the number of routes. A longer search ends early, and the result says so.

mod classes;
mod tree;

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use classes::RequirementClasses;
use tree::{PathNode, PathSearch};

use super::{Paths, RouteTable};
use crate::policy::pattern::{RoutePattern, Segment};

/// What the upstream sees of a route's requests.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRewrite<'r> {
    /// The number of the upstream.
    pub upstream: usize,
    /// How many first segments of the path are stripped.
    pub stripped: usize,
    /// What replaces the path, with parameters of the same names.
    pub rewritten: Option<&'r RoutePattern>,
    /// Whether the upstream gets the client's host.
    pub is_host_passed: bool,
}

impl UpstreamRewrite<'_> {
    fn changes_paths(&self) -> bool {
        self.stripped > 0 || self.rewritten.is_some()
    }
}

/// Paths that avoid the requirement of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    /// The index of the route that forwards the paths.
    pub through: usize,
    /// The index of the route whose requirement is avoided.
    pub to: usize,
    /// An example as a client requests it, with the placeholders of the pattern.
    pub requested_path: String,
    /// The same path, as the upstream sees it.
    pub upstream_path: String,
    /// Whether the forwarding route avoids other routes too.
    pub has_more: bool,
}

/// All bypasses, at most one for each forwarding route.
#[derive(Debug, Default)]
pub struct Bypasses {
    /// The bypasses in the order of their forwarding routes.
    pub bypasses: Vec<Bypass>,
    /// Whether some may be missing, because there are too many routes to compare.
    pub is_incomplete: bool,
}

/// Maximum number of steps of the search: for each route, and in addition for all together.
const STEPS_PER_ROUTE: usize = 200;
const BASE_STEPS: usize = 100_000;

impl RouteTable {
    /// Finds the bypasses; `rewrites` has one element for each route.
    #[must_use]
    pub fn bypasses(&self, rewrites: &[UpstreamRewrite<'_>]) -> Bypasses {
        if !rewrites.iter().any(UpstreamRewrite::changes_paths) {
            return Bypasses::default();
        }
        let mut groups: BTreeMap<(usize, Option<&str>), Vec<usize>> = BTreeMap::new();
        for (index, (route, rewrite)) in self.routes.iter().zip(rewrites).enumerate() {
            let mut add = |host| {
                groups
                    .entry((rewrite.upstream, host))
                    .or_default()
                    .push(index)
            };
            match &route.hosts[..] {
                hosts if rewrite.is_host_passed && !hosts.is_empty() => {
                    hosts.iter().for_each(|host| add(Some(&*host.name)))
                }
                _ => add(None),
            }
        }
        let mut search = BypassSearch {
            paths: UpstreamPaths {
                table: self,
                rewrites,
            },
            classes: RequirementClasses::new(&self.routes, rewrites),
            steps: STEPS_PER_ROUTE * rewrites.len() + BASE_STEPS,
            bypasses: BTreeMap::new(),
            pairs: HashSet::new(),
        };
        for ((_, host), group) in groups {
            search.search_host(host, &group);
        }
        Bypasses {
            bypasses: search.bypasses.into_values().collect(),
            is_incomplete: search.steps == 0,
        }
    }
}

struct BypassSearch<'t> {
    paths: UpstreamPaths<'t>,
    classes: RequirementClasses<'t>,
    steps: usize,
    bypasses: BTreeMap<usize, Bypass>,
    pairs: HashSet<(usize, usize)>,
}

impl BypassSearch<'_> {
    // `host` is `None` for routes of any host, or of all hosts.
    fn search_host(&mut self, host: Option<&str>, group: &[usize]) {
        let is_rewritten = |index: &&usize| self.paths.rewrites[**index].changes_paths();
        let (rewritten, plain): (Vec<usize>, Vec<usize>) = group.iter().partition(is_rewritten);
        if rewritten.is_empty() {
            return;
        }
        let all = self.tree(group);
        let plain = self.tree(&plain);
        for through in rewritten.iter().copied() {
            self.search_from(host, &all, through);
        }
        for to in rewritten {
            self.search_towards(host, &plain, to);
        }
    }

    fn tree(&self, indices: &[usize]) -> PathNode {
        let mut root = PathNode::default();
        for &index in indices {
            root.insert(&self.paths.of(index), self.classes.class(index), index);
        }
        root
    }

    // Finds the routes that a rewritten path leads to.
    fn search_from(&mut self, host: Option<&str>, all: &PathNode, through: usize) {
        let (paths, classes, mut found) = (self.paths, &self.classes, Vec::new());
        let class = classes.class(through);
        let mut walk = PathSearch {
            steps: &mut self.steps,
            wanted: &|other| !classes.implies(class, other),
            visit: &mut |to| {
                if to != through && paths.is_reached(host, through, to) {
                    found.push(to);
                }
                if found.len() < 2 {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            },
        };
        let _ = walk.as_specific(all, &paths.of(through));
        found.into_iter().for_each(|to| self.add(through, to));
    }

    // Finds the routes without rewriting that lead to where a rewritten path leads.
    fn search_towards(&mut self, host: Option<&str>, plain: &PathNode, to: usize) {
        let (paths, classes, mut found) = (self.paths, &self.classes, Vec::new());
        let class = classes.class(to);
        let mut walk = PathSearch {
            steps: &mut self.steps,
            wanted: &|other| !classes.implies(other, class),
            visit: &mut |through| {
                if paths.is_reached(host, through, to) {
                    found.push(through);
                }
                if found.len() < 2 {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            },
        };
        let _ = walk.less_specific(plain, &paths.of(to));
        found.into_iter().for_each(|through| self.add(through, to));
    }

    fn add(&mut self, through: usize, to: usize) {
        if !self.pairs.insert((through, to)) {
            return;
        }
        let paths = self.paths;
        let bypass = self
            .bypasses
            .entry(through)
            .and_modify(|bypass| bypass.has_more = true);
        bypass.or_insert_with(|| {
            let text = |segments: Vec<(Segment, &str)>| {
                segments
                    .iter()
                    .fold(String::new(), |path, (_, text)| path + "/" + text)
            };
            Bypass {
                through,
                to,
                requested_path: text(paths.requested(through, to)),
                upstream_path: text(paths.overlap(through, to)),
                has_more: false,
            }
        });
    }
}

/// The paths of all routes, as their upstreams see them.
#[derive(Clone, Copy)]
struct UpstreamPaths<'t> {
    table: &'t RouteTable,
    rewrites: &'t [UpstreamRewrite<'t>],
}

impl<'t> UpstreamPaths<'t> {
    fn of(self, index: usize) -> Vec<Segment> {
        self.written(index)
            .into_iter()
            .map(|(segment, _)| segment)
            .collect()
    }

    // Each segment with its text.
    fn written(self, index: usize) -> Vec<(Segment, &'t str)> {
        let rewrite = self.rewrites[index];
        let path = rewrite.rewritten.unwrap_or(&self.table.routes[index].path);
        let remaining: Vec<_> = with_text(path).skip(rewrite.stripped).collect();
        if remaining.is_empty() {
            vec![(Segment::Literal(Box::default()), "")]
        } else {
            remaining
        }
    }

    // As a client requests the paths that two routes share at the upstream.
    fn requested(self, through: usize, to: usize) -> Vec<(Segment, &'t str)> {
        let overlap = self.overlap(through, to);
        let path = &self.table.routes[through].path;
        let UpstreamRewrite {
            stripped,
            rewritten,
            ..
        } = self.rewrites[through];
        let Some(rewritten) = rewritten else {
            return with_text(path).take(stripped).chain(overlap).collect();
        };
        let mut names = path.parameters();
        let mut requested = Vec::new();
        for (segment, text) in with_text(path) {
            let sent_at = match segment {
                Segment::Literal(_) => None,
                Segment::Parameter | Segment::Rest => {
                    names.next().and_then(|name| rewritten.segment_of(name))
                }
            };
            match (&segment, sent_at) {
                (Segment::Rest, Some(index)) => {
                    requested.extend_from_slice(overlap.get(index..).unwrap_or_default());
                }
                (_, Some(index)) => requested.extend(overlap.get(index).cloned()),
                (_, None) => requested.push((segment, text)),
            }
        }
        if requested.is_empty() {
            requested.push((Segment::Literal(Box::default()), ""));
        }
        requested
    }

    // The most specific pattern that covers the paths which two routes share.
    fn overlap(self, one: usize, other: usize) -> Vec<(Segment, &'t str)> {
        let one = self.written(one);
        let other = self.written(other);
        let mut both = Vec::new();
        for index in 0..one.len().max(other.len()) {
            match (one.get(index), other.get(index)) {
                (Some((Segment::Rest, _)), _) => {
                    both.extend_from_slice(other.get(index..).unwrap_or_default());
                    break;
                }
                (_, Some((Segment::Rest, _))) => {
                    both.extend_from_slice(one.get(index..).unwrap_or_default());
                    break;
                }
                (Some(literal @ (Segment::Literal(_), _)), _) | (_, Some(literal)) => {
                    both.push(literal.clone())
                }
                (Some(parameter), None) => both.push(parameter.clone()),
                (None, None) => {}
            }
        }
        both
    }

    // Whether a client's request for those paths finds the route `through`.
    fn is_reached(self, host: Option<&str>, through: usize, to: usize) -> bool {
        let RouteTable {
            routes,
            hosts,
            any_host,
        } = self.table;
        let of_route = &routes[through].hosts;
        let requested: Vec<_> = self
            .requested(through, to)
            .into_iter()
            .map(|(segment, _)| segment)
            .collect();
        let finds_through = |paths: &Paths| {
            paths
                .tree
                .matching(&requested, true)
                .is_some_and(|routes| routes.contains(&through))
        };
        match host {
            Some(host) => hosts.get(host).is_some_and(finds_through),
            None if of_route.is_empty() => finds_through(any_host),
            None => of_route
                .iter()
                .filter_map(|host| hosts.get(&host.name))
                .any(finds_through),
        }
    }
}

// The segments of a path, each with its text.
fn with_text(path: &RoutePattern) -> impl Iterator<Item = (Segment, &str)> {
    path.segments
        .iter()
        .cloned()
        .zip(path.as_str().split('/').skip(1))
}

#[cfg(test)]
mod tests;
