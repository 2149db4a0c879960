//! The routes in order of precedence: a request belongs to the first one that matches.

use std::cmp::Reverse;

use super::RouteTable;
use crate::policy::host::HostPattern;
use crate::policy::pattern::{RoutePattern, Segment};

/// The rank of a segment. The end of a path is before `{*rest}`, which also matches it, and after a
/// declared trailing slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentRank {
    Literal(Box<str>),
    End,
    Parameter,
    Rest,
}

impl RouteTable {
    /// The indices of the routes, each with one of its hosts (`None` for any), in order of
    /// precedence.
    ///
    /// A request belongs to the first one whose host and path match, or to one with the same host
    /// and path that has its method.
    #[must_use]
    pub fn by_precedence(&self) -> Vec<(Option<&HostPattern>, usize)> {
        let mut rows = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            rows.extend(route.hosts.is_empty().then_some((None, index)));
            rows.extend(route.hosts.iter().map(|host| (Some(host), index)));
        }
        rows.sort_by_cached_key(|&(host, index)| {
            (rank(host), segment_ranks(&self.routes[index].path), index)
        });
        rows
    }
}

// The exact name, then the longest suffix, then any.
fn rank(host: Option<&HostPattern>) -> (u8, Reverse<usize>, &str) {
    match host {
        Some(host) if !host.is_wildcard() => (0, Reverse(0), &host.name),
        Some(host) => (1, Reverse(host.name.len()), &host.name),
        None => (2, Reverse(0), ""),
    }
}

fn segment_ranks(path: &RoutePattern) -> Vec<SegmentRank> {
    let rank = |segment: &Segment| match segment {
        Segment::Literal(text) => SegmentRank::Literal(text.clone()),
        Segment::Parameter => SegmentRank::Parameter,
        Segment::Rest => SegmentRank::Rest,
    };
    path.segments
        .iter()
        .map(rank)
        .chain([SegmentRank::End])
        .collect()
}
