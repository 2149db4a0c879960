//! The paths of all routes of a host as a tree of segments.
//!
//! 1. A literal precedes `{name}`, and `{name}` precedes `{*rest}`; the first different segment
//!    decides.
//! 2. A branch without a match is abandoned: `/a/{x}/c` is found beside `/a/b/d`. The first pattern
//!    that matches the whole path ends the search, whatever its methods.
//! 3. A node has one depth, so a search visits it at most once, even for a long hostile path. The
//!    recursion is as deep as the longest pattern, not as the path.

use super::parameters::Values;
use super::path::octets;
use super::pattern::Segment;

/// A node of the tree, with the indices of the routes that end there.
#[derive(Debug, Default)]
pub(super) struct Node {
    // Decoded and sorted by bytes: a binary search needs no hash of a client's text.
    pub(super) literals: Vec<(Box<str>, Node)>,
    pub(super) parameter: Option<Box<Node>>,
    pub(super) here: Vec<usize>,
    pub(super) rest: Vec<usize>,
}

impl Node {
    /// Builds the tree from patterns and the indices of their routes. Routes of one pattern are in
    /// ascending order.
    ///
    /// Sorted first, so that each literal is appended to its node. In another order, inserting `n`
    /// literals would take time in the order of `n²`.
    pub(super) fn build<S: AsRef<[Segment]>>(
        patterns: impl IntoIterator<Item = (S, usize)>,
    ) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_by(|(one, first), (other, second)| {
            (one.as_ref(), first).cmp(&(other.as_ref(), second))
        });
        let mut root = Self::default();
        for (segments, index) in &patterns {
            root.routes_at(segments.as_ref()).push(*index);
        }
        root
    }

    /// The entry for the routes with exactly this pattern; names of parameters do not count.
    fn routes_at(&mut self, segments: &[Segment]) -> &mut Vec<usize> {
        match segments.split_first() {
            None => &mut self.here,
            Some((Segment::Rest, _)) => &mut self.rest,
            Some((Segment::Parameter, further)) => {
                self.parameter.get_or_insert_default().routes_at(further)
            }
            Some((Segment::Literal(text), further)) => {
                let index = self
                    .literals
                    .binary_search_by(|(literal, _)| literal.cmp(text))
                    .unwrap_or_else(|index| {
                        self.literals.insert(index, (text.clone(), Self::default()));
                        index
                    });
                self.literals[index].1.routes_at(further)
            }
        }
    }

    /// The routes with exactly this pattern; names of parameters do not count.
    pub(super) fn exactly(&self, pattern: &[Segment]) -> &[usize] {
        match pattern.split_first() {
            None => &self.here,
            Some((Segment::Rest, _)) => &self.rest,
            Some((Segment::Parameter, further)) => self
                .parameter
                .as_deref()
                .map_or(&[], |node| node.exactly(further)),
            Some((Segment::Literal(text), further)) => self
                .decoded_literal(text)
                .map_or(&[], |node| node.exactly(further)),
        }
    }

    /// The routes that match the paths of a pattern. The values of its parameters equal no literal.
    ///
    /// Without `include_exact`, routes with exactly this pattern are skipped.
    pub(super) fn matching(&self, pattern: &[Segment], include_exact: bool) -> Option<&[usize]> {
        self.matching_from(pattern, true, include_exact)
    }

    fn matching_from<'n>(
        &'n self,
        pattern: &[Segment],
        is_exact: bool,
        include_exact: bool,
    ) -> Option<&'n [usize]> {
        let counts = include_exact || !is_exact;
        let rest = || Some(&self.rest[..]).filter(|rest| !rest.is_empty());
        let here = || Some(&self.here[..]).filter(|here| !here.is_empty());
        let beneath = |node: Option<&'n Self>, further, is_exact| {
            node?.matching_from(further, is_exact, include_exact)
        };
        match pattern.split_first() {
            None => here().filter(|_| counts).or_else(rest),
            Some((Segment::Rest, _)) => rest().filter(|_| counts),
            Some((Segment::Parameter, further)) => {
                beneath(self.parameter.as_deref(), further, is_exact).or_else(rest)
            }
            Some((Segment::Literal(text), further)) => {
                let literal = beneath(self.decoded_literal(text), further, is_exact);
                if text.is_empty() {
                    return literal.or_else(here).or_else(rest);
                }
                literal
                    .or_else(|| beneath(self.parameter.as_deref(), further, false))
                    .or_else(rest)
            }
        }
    }

    fn decoded_literal(&self, text: &str) -> Option<&Self> {
        let index = self
            .literals
            .binary_search_by(|(literal, _)| literal.as_ref().cmp(text));
        index.ok().map(|index| &self.literals[index].1)
    }

    /// Whether the tree has no routes.
    pub(super) fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.parameter.is_none()
            && self.here.is_empty()
            && self.rest.is_empty()
    }

    /// The routes with the most specific matching pattern. `path` is the part after the last
    /// matched slash; `None` at the end.
    pub(super) fn find<'p>(
        &self,
        path: Option<&'p str>,
        values: &mut Values<'p>,
    ) -> Option<&[usize]> {
        let Some(path) = path else {
            return if self.here.is_empty() {
                self.find_rest("", values)
            } else {
                Some(&self.here)
            };
        };
        // Segments are short: a search optimized for long texts costs more to set up than this
        // loop.
        let (segment, further) = match path.bytes().position(|byte| byte == b'/') {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        if let Some(found) = self
            .literal(segment)
            .and_then(|node| node.find(further, values))
        {
            return Some(found);
        }
        // In a normal path, only the last segment can be empty: a trailing slash, which belongs to
        // the path without it.
        if segment.is_empty() {
            return if self.here.is_empty() {
                self.find_rest("", values)
            } else {
                Some(&self.here)
            };
        }
        if let Some(node) = &self.parameter {
            values.push(segment, !self.literals.is_empty());
            if let Some(found) = node.find(further, values) {
                return Some(found);
            }
            values.pop();
        }
        self.find_rest(path, values)
    }

    fn find_rest<'p>(&self, path: &'p str, values: &mut Values<'p>) -> Option<&[usize]> {
        if self.rest.is_empty() {
            return None;
        }
        values.push(path, !self.literals.is_empty() || self.parameter.is_some());
        Some(&self.rest)
    }

    /// The number of nodes, with one more for each `{*rest}`.
    pub(super) fn size(&self) -> usize {
        let children = self
            .literals
            .iter()
            .map(|(_, node)| node)
            .chain(self.parameter.as_deref());
        1 + usize::from(!self.rest.is_empty()) + children.map(Self::size).sum::<usize>()
    }

    /// The node of a lower-case literal that equals the segment without the letter case of ASCII.
    pub(super) fn literal_like(&self, segment: &str) -> Option<&Self> {
        let in_lower_case = || octets(segment).map(|octet| octet.to_ascii_lowercase());
        let index = self
            .literals
            .binary_search_by(|(literal, _)| literal.bytes().cmp(in_lower_case()));
        index.ok().map(|index| &self.literals[index].1)
    }

    fn literal(&self, segment: &str) -> Option<&Self> {
        let index = if segment.bytes().any(|byte| byte == b'%') {
            self.literals
                .binary_search_by(|(literal, _)| literal.bytes().cmp(octets(segment)))
        } else {
            return self.decoded_literal(segment);
        };
        index.ok().map(|index| &self.literals[index].1)
    }
}
