//! The routes in order of precedence: the first that fits a request is its route.

use std::cmp::Reverse;

use super::RouteTable;
use crate::policy::host::HostPattern;
use crate::policy::pattern::{RoutePattern, Segment};

/// How early a segment counts. A path that ends there is before `{*rest}`, which takes that path as well, and after a
/// trailing slash that is declared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentRank {
    Literal(Box<str>),
    End,
    Parameter,
    Rest,
}

impl RouteTable {
    /// The positions of the routes, each with one of its hosts (`None` for any), in such an order: of those whose host and
    /// path fit a request, it belongs to the first, or to one with the same host and path that takes its method.
    #[must_use]
    pub fn by_precedence(&self) -> Vec<(Option<&HostPattern>, usize)> {
        let mut rows = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            rows.extend(route.hosts.is_empty().then_some((None, index)));
            rows.extend(route.hosts.iter().map(|host| (Some(host), index)));
        }
        rows.sort_by_cached_key(|&(host, index)| {
            (rank(host), places(&self.routes[index].path), index)
        });
        rows
    }
}

// The exact name, then the longest suffix, then any.
fn rank(host: Option<&HostPattern>) -> (u8, Reverse<usize>, &str) {
    match host {
        Some(host) if !host.is_beneath() => (0, Reverse(0), &host.name),
        Some(host) => (1, Reverse(host.name.len()), &host.name),
        None => (2, Reverse(0), ""),
    }
}

fn places(path: &RoutePattern) -> Vec<SegmentRank> {
    let place = |segment: &Segment| match segment {
        Segment::Literal(text) => SegmentRank::Literal(text.clone()),
        Segment::Parameter => SegmentRank::Parameter,
        Segment::Rest => SegmentRank::Rest,
    };
    path.segments
        .iter()
        .map(place)
        .chain([SegmentRank::End])
        .collect()
}
