//! The paths of all routes of a host, segment by segment.
//!
//! 1. A literal comes before `{name}`, and that before `{*rest}`, decided at the first segment that differs.
//! 2. A branch that leads to no route is left again: `/a/{x}/c` is found beside `/a/b/d`. A pattern that fits the
//!    whole path ends the search, whatever its methods.
//! 3. Each node stands at one depth, so it is visited once at the most, however long and hostile the path is. The
//!    recursion is as deep as the longest pattern, not as the path.

use super::parameters::Values;
use super::path::octets;
use super::pattern::Segment;

/// One segment's place; what stands in it is the positions of routes.
#[derive(Debug, Default)]
pub(super) struct Node {
    // Decoded, and sorted by their bytes: found without hashing what a client chose.
    pub(super) literals: Vec<(Box<str>, Node)>,
    pub(super) parameter: Option<Box<Node>>,
    pub(super) here: Vec<usize>,
    pub(super) rest: Vec<usize>,
}

impl Node {
    /// Makes the tree of these patterns, each with the position of its route. Routes of one pattern are in
    /// ascending order.
    ///
    /// They are sorted first, so that each literal is appended to its node. In any other order, a node with `n` literals
    /// would move them in the order of `n²` times.
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

    /// The routes with exactly this pattern, names of parameters aside.
    fn routes_at(&mut self, segments: &[Segment]) -> &mut Vec<usize> {
        match segments.split_first() {
            None => &mut self.here,
            Some((Segment::Rest, _)) => &mut self.rest,
            Some((Segment::Parameter, further)) => {
                self.parameter.get_or_insert_default().routes_at(further)
            }
            Some((Segment::Literal(text), further)) => {
                let place = self
                    .literals
                    .binary_search_by(|(literal, _)| literal.cmp(text))
                    .unwrap_or_else(|place| {
                        self.literals.insert(place, (text.clone(), Self::default()));
                        place
                    });
                self.literals[place].1.routes_at(further)
            }
        }
    }

    /// The routes with exactly this pattern, names of parameters aside.
    pub(super) fn exactly(&self, pattern: &[Segment]) -> &[usize] {
        match pattern.split_first() {
            None => &self.here,
            Some((Segment::Rest, _)) => &self.rest,
            Some((Segment::Parameter, further)) => self
                .parameter
                .as_deref()
                .map_or(&[], |node| node.exactly(further)),
            Some((Segment::Literal(text), further)) => {
                self.written(text).map_or(&[], |node| node.exactly(further))
            }
        }
    }

    /// The routes that take the paths of a pattern; without those that have exactly this one, where so asked. A parameter
    /// has a value there that no route has written out.
    pub(super) fn taking(&self, pattern: &[Segment], exactly_too: bool) -> Option<&[usize]> {
        self.taking_as(pattern, true, exactly_too)
    }

    fn taking_as<'n>(
        &'n self,
        pattern: &[Segment],
        is_exact: bool,
        exactly_too: bool,
    ) -> Option<&'n [usize]> {
        let counts = exactly_too || !is_exact;
        let rest = || Some(&self.rest[..]).filter(|rest| !rest.is_empty());
        let here = || Some(&self.here[..]).filter(|here| !here.is_empty());
        let beneath = |node: Option<&'n Self>, further, is_exact| {
            node?.taking_as(further, is_exact, exactly_too)
        };
        match pattern.split_first() {
            None => here().filter(|_| counts).or_else(rest),
            Some((Segment::Rest, _)) => rest().filter(|_| counts),
            Some((Segment::Parameter, further)) => {
                beneath(self.parameter.as_deref(), further, is_exact).or_else(rest)
            }
            Some((Segment::Literal(text), further)) => {
                let literal = beneath(self.written(text), further, is_exact);
                if text.is_empty() {
                    return literal.or_else(here).or_else(rest);
                }
                literal
                    .or_else(|| beneath(self.parameter.as_deref(), further, false))
                    .or_else(rest)
            }
        }
    }

    fn written(&self, text: &str) -> Option<&Self> {
        let place = self
            .literals
            .binary_search_by(|(literal, _)| literal.as_ref().cmp(text));
        place.ok().map(|place| &self.literals[place].1)
    }

    /// Whether it has no routes at all.
    pub(super) fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.parameter.is_none()
            && self.here.is_empty()
            && self.rest.is_empty()
    }

    /// The routes whose pattern fits a path best. `path` is what follows the last slash that was taken; `None` when
    /// nothing does.
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
        // Segments are short: a search that is made for long texts takes longer to begin than this to end.
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
        // A normal path has an empty segment only at its end: the trailing slash, which the path without it owns.
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

    /// How many places there are, this one and those beneath it.
    pub(super) fn size(&self) -> usize {
        let children = self
            .literals
            .iter()
            .map(|(_, node)| node)
            .chain(self.parameter.as_deref());
        1 + usize::from(!self.rest.is_empty()) + children.map(Self::size).sum::<usize>()
    }

    /// The place of a literal in lower case that a segment is but for the case of ASCII.
    pub(super) fn literal_like(&self, segment: &str) -> Option<&Self> {
        let in_lower_case = || octets(segment).map(|octet| octet.to_ascii_lowercase());
        let place = self
            .literals
            .binary_search_by(|(literal, _)| literal.bytes().cmp(in_lower_case()));
        place.ok().map(|place| &self.literals[place].1)
    }

    fn literal(&self, segment: &str) -> Option<&Self> {
        let place = if segment.bytes().any(|byte| byte == b'%') {
            self.literals
                .binary_search_by(|(literal, _)| literal.bytes().cmp(octets(segment)))
        } else {
            return self.written(segment);
        };
        place.ok().map(|place| &self.literals[place].1)
    }
}
