//! Side doors: paths that one route sends upstream where another route guards them.
//!
//! A route that leaves out the first segments of its paths sends `/v1/reports` as `/reports`. Who may ask for it is decided
//! by that route alone, whatever the route for `/reports` asks for.
//!
//! 1. Paths are compared as the upstream sees them, among routes of one upstream and one host; of all hosts where the
//!    upstream is not told which one it is.
//! 2. A door leads to a route whose path is as specific there as that of the route that it leads through, or more so: what
//!    is declared more closely is meant. It has a method that both take, and a requirement that the other does not imply.
//! 3. It is none where another route takes those paths first.
//!
//! A tree for each upstream leads to the routes whose paths meet. Requirements are compared by class, and a branch whose
//! classes are all implied is left out, so that this takes time in proportion to the routes; what would take longer is not
//! looked for to its end, and that is told.

mod classes;
mod tree;

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use classes::Classes;
use tree::{Place, Walk};

use super::{Paths, Route, RouteTable};
use crate::policy::pattern::Segment;

/// How a route's requests go upstream.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Where to; each upstream has a number.
    pub upstream: usize,
    /// How many first segments of the path are left out.
    pub skipped: usize,
    /// Whether the upstream is told which host was asked for.
    pub is_host_passed: bool,
}

/// A way past a route's requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideDoor {
    /// The position of the route that it leads through.
    pub through: usize,
    /// The position of the route whose requirement it passes by.
    pub to: usize,
    /// A path of the former, as a client asks for it; placeholders stand in it as they are written.
    pub asked: String,
    /// The same path, as the upstream sees it.
    pub sent: String,
    /// Whether it leads to other routes as well.
    pub has_more: bool,
}

/// All side doors, one for each route that they lead through.
#[derive(Debug, Default)]
pub struct SideDoors {
    /// In the order of those routes.
    pub doors: Vec<SideDoor>,
    /// Whether some may be missing, because there are too many routes to compare.
    pub is_incomplete: bool,
}

/// What is looked at for each route on the average, at the most, beside what is looked at for all of them.
const STEPS_FOR_EACH: usize = 200;
const STEPS_FOR_ALL: usize = 100_000;

impl RouteTable {
    /// Finds the side doors; `sent` says how the requests of each route go upstream.
    #[must_use]
    pub fn side_doors(&self, sent: &[Sent]) -> SideDoors {
        if sent.iter().all(|sent| sent.skipped == 0) {
            return SideDoors::default();
        }
        let mut groups: BTreeMap<(usize, Option<&str>), Vec<usize>> = BTreeMap::new();
        for (index, (route, sent)) in self.routes.iter().zip(sent).enumerate() {
            let mut add = |host| groups.entry((sent.upstream, host)).or_default().push(index);
            match &route.hosts[..] {
                hosts if sent.is_host_passed && !hosts.is_empty() => {
                    hosts.iter().for_each(|host| add(Some(&*host.name)))
                }
                _ => add(None),
            }
        }
        let mut search = Search {
            paths: SentPaths { table: self, sent },
            classes: Classes::new(&self.routes, sent),
            steps: STEPS_FOR_EACH * sent.len() + STEPS_FOR_ALL,
            doors: BTreeMap::new(),
            pairs: HashSet::new(),
        };
        for ((_, host), group) in groups {
            search.look_among(host, &group);
        }
        SideDoors {
            doors: search.doors.into_values().collect(),
            is_incomplete: search.steps == 0,
        }
    }
}

struct Search<'t> {
    paths: SentPaths<'t>,
    classes: Classes<'t>,
    steps: usize,
    doors: BTreeMap<usize, SideDoor>,
    pairs: HashSet<(usize, usize)>,
}

impl Search<'_> {
    // `host` is none where routes for any are meant, or of all hosts.
    fn look_among(&mut self, host: Option<&str>, group: &[usize]) {
        let is_rewritten = |index: &&usize| self.paths.sent[**index].skipped > 0;
        let (rewritten, plain): (Vec<usize>, Vec<usize>) = group.iter().partition(is_rewritten);
        if rewritten.is_empty() {
            return;
        }
        let (all, plain) = (self.tree(group), self.tree(&plain));
        for through in rewritten.iter().copied() {
            self.look_inside(host, &all, through);
        }
        for to in rewritten {
            self.look_outside(host, &plain, to);
        }
    }

    fn tree(&self, indices: &[usize]) -> Place {
        let mut root = Place::default();
        for &index in indices {
            root.insert(&self.paths.of(index), self.classes.class(index), index);
        }
        root
    }

    // Where a rewritten path leads to.
    fn look_inside(&mut self, host: Option<&str>, all: &Place, through: usize) {
        let (paths, classes, mut found) = (self.paths, &self.classes, Vec::new());
        let class = classes.class(through);
        let mut walk = Walk {
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

    // Which routes that leave nothing out lead to where a rewritten path leads.
    fn look_outside(&mut self, host: Option<&str>, plain: &Place, to: usize) {
        let (paths, classes, mut found) = (self.paths, &self.classes, Vec::new());
        let class = classes.class(to);
        let mut walk = Walk {
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
        let door = self
            .doors
            .entry(through)
            .and_modify(|door| door.has_more = true);
        door.or_insert_with(|| {
            let sent = paths
                .meeting(through, to)
                .iter()
                .fold(String::new(), |path, (_, text)| path + "/" + text);
            SideDoor {
                through,
                to,
                asked: paths.left_out(through).to_owned() + &sent,
                sent,
                has_more: false,
            }
        });
    }
}

/// The paths of all routes, as their upstreams see them.
#[derive(Clone, Copy)]
struct SentPaths<'t> {
    table: &'t RouteTable,
    sent: &'t [Sent],
}

impl<'t> SentPaths<'t> {
    fn of(self, index: usize) -> Vec<Segment> {
        self.written(index)
            .into_iter()
            .map(|(segment, _)| segment)
            .collect()
    }

    // Each segment, and how it is written.
    fn written(self, index: usize) -> Vec<(Segment, &'t str)> {
        let path = &self.table.routes[index].path;
        let segments = path
            .segments
            .iter()
            .cloned()
            .zip(path.as_str().split('/').skip(1));
        let left: Vec<_> = segments.skip(self.sent[index].skipped).collect();
        if left.is_empty() {
            vec![(Segment::Literal(Box::default()), "")]
        } else {
            left
        }
    }

    fn left_out(self, index: usize) -> &'t str {
        let path = self.table.routes[index].path.as_str();
        let end = path
            .match_indices('/')
            .nth(self.sent[index].skipped)
            .map_or(path.len(), |(slash, _)| slash);
        &path[..end]
    }

    // What the paths of two routes that meet have in common.
    fn meeting(self, one: usize, other: usize) -> Vec<(Segment, &'t str)> {
        let (one, other) = (self.written(one), self.written(other));
        let mut both = Vec::new();
        for place in 0..one.len().max(other.len()) {
            match (one.get(place), other.get(place)) {
                (Some((Segment::Rest, _)), _) => {
                    both.extend_from_slice(other.get(place..).unwrap_or_default());
                    break;
                }
                (_, Some((Segment::Rest, _))) => {
                    both.extend_from_slice(one.get(place..).unwrap_or_default());
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

    // Whether the route that they meet through is the one that takes those paths when a client asks for them.
    fn is_reached(self, host: Option<&str>, through: usize, to: usize) -> bool {
        let RouteTable {
            routes,
            hosts,
            any_host,
        } = self.table;
        let Route {
            hosts: of_route,
            path,
            ..
        } = &routes[through];
        let left_out = path
            .segments
            .iter()
            .take(self.sent[through].skipped)
            .cloned();
        let asked: Vec<_> = left_out
            .chain(
                self.meeting(through, to)
                    .into_iter()
                    .map(|(segment, _)| segment),
            )
            .collect();
        let takes = |paths: &Paths| {
            paths
                .tree
                .taking(&asked, true)
                .is_some_and(|routes| routes.contains(&through))
        };
        match host {
            Some(host) => hosts.get(host).is_some_and(takes),
            None if of_route.is_empty() => takes(any_host),
            None => of_route
                .iter()
                .filter_map(|host| hosts.get(&host.name))
                .any(takes),
        }
    }
}

#[cfg(test)]
mod tests;
