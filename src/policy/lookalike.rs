//! Lookalikes: paths that an upstream may interpret as another route's path.
//!
//! Routes distinguish `/admin` from `/Admin`, `/admin.json` and `/admin%20`; some servers do not.
//! Beside a route for `/admin`, such a path would match a route for `/{*rest}` that requires less.
//! So every interpretation that some server uses is looked up. If one of them belongs to a stricter
//! route than the chosen one, the request is refused.
//!
//! 1. Names are compared without letter case, spaces around them and dots at their end. Names
//!    outside ASCII are compared by their [`skeleton`](super::skeleton).
//! 2. A name ends at a `;` (path parameters). It may end at a `.` (a format suffix:
//!    `/reports.json`) or a `:` (an NTFS stream: `/reports::$DATA`).
//! 3. The path may end at an encoded `?` or `#`: some servers decode first.
//! 4. Empty names are skipped.
//! 5. Literals of the chosen route are exact: a declared `/app.js` has no other interpretation, and
//!    `app.js` in `/app.js/{*rest}` does not end earlier.
//! 6. For each interpretation, the tree of all routes, normalized in the same way, finds the
//!    routes.
//!
//! Deliberately absent: several names that an upstream itself gives to a resource, such as
//! `/index.html` for `/`, short names of FAT (`/REPORT~1`), or a file found without its suffix. Its
//! operator knows these and can declare them.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::parameters::Values;
use super::path::{NormalPath, decoded, first_octet};
use super::pattern::{RoutePattern, Segment};
use super::requirement::SharedParameters;
use super::skeleton::skeleton;
use super::tree::Node;

/// The paths of all routes of a host, normalized as a lenient server compares them.
#[derive(Debug, Default)]
pub(super) struct LenientPaths {
    tree: Node,
    /// Length of the longest literal in octets: a longer name matches none.
    max_literal: usize,
    /// Whether normalization changes some literal.
    folds: bool,
    /// Whether normalization makes some paths equal.
    merges: bool,
}

impl LenientPaths {
    /// Builds the tree from the indices and paths of a host's routes; `strict` is the tree of the
    /// unchanged paths.
    pub(super) fn build<'r>(
        routes: impl IntoIterator<Item = (usize, &'r RoutePattern)>,
        strict: &Node,
    ) -> Self {
        let mut max_literal = 0;
        let mut folds = false;
        let mut has_other_segments = false;
        let folded = routes.into_iter().map(|(index, pattern)| {
            let segments: Vec<_> = pattern.segments.iter().flat_map(folded).collect();
            for segment in &segments {
                if let Segment::Literal(text) = segment {
                    max_literal = max_literal.max(text.len());
                }
            }
            folds |= segments != pattern.segments;
            has_other_segments |= segments.len() != pattern.segments.len();
            (segments, index)
        });
        let tree = Node::build(folded);
        let merges = has_other_segments || tree.size() != strict.size();
        Self {
            tree,
            max_literal,
            folds,
            merges,
        }
    }

    /// Whether a path whose parameters have these values may have several interpretations.
    ///
    /// Most paths have one: servers agree on their characters, and no other route has a literal
    /// where the chosen one has a parameter.
    pub(super) fn has_interpretations(&self, path: &NormalPath<'_>, values: &Values<'_>) -> bool {
        let is_contested =
            || values.are_contested() && (self.folds || has_other_interpretations(path.as_str()));
        !path.is_plain() || self.merges || is_contested()
    }

    /// Calls `visit` with the routes of each interpretation of a path, until it breaks. `chosen` is
    /// the pattern of the chosen route.
    pub(super) fn find_all<V>(
        &self,
        path: &NormalPath<'_>,
        chosen: &RoutePattern,
        visit: V,
    ) -> ControlFlow<usize>
    where
        V: FnMut(&[usize], SharedParameters) -> ControlFlow<usize>,
    {
        let text = comparable(path.as_str());
        // A slash outside ASCII may split a segment.
        let is_aligned = slashes(&text) == slashes(path.as_str());
        let written = if is_aligned {
            &chosen.segments[..]
        } else {
            &[]
        };
        let mut interpretations = PathInterpretations {
            max_literal: self.max_literal,
            is_aligned,
            visit,
        };
        interpretations
            .descend(&self.tree, text.strip_prefix('/'), written)
            .map_continue(drop)
    }
}

/// A search over the interpretations of a path.
struct PathInterpretations<V> {
    max_literal: usize,
    /// Whether segments have the same index in the interpretation as in the path.
    is_aligned: bool,
    visit: V,
}

// Each method returns whether every interpretation matched a route; otherwise the caller tries less
// specific branches.
//
// A node has one depth, and at most two interpretations reach it: one continues there, one ends
// there. So each node is visited at most twice, and the recursion is as deep as the longest
// pattern.
impl<V: FnMut(&[usize], SharedParameters) -> ControlFlow<usize>> PathInterpretations<V> {
    /// `path` is the part after the last matched slash; `written` is the same part of the chosen
    /// route.
    fn descend(
        &mut self,
        node: &Node,
        mut path: Option<&str>,
        mut written: &[Segment],
    ) -> ControlFlow<usize, bool> {
        let mut ends_here = false;
        let (segment, further) = loop {
            let Some(text) = path else {
                return self.end(node);
            };
            let (segment, further) = text
                .split_once('/')
                .map_or((text, None), |(first, rest)| (first, Some(rest)));
            let is_trailing_slash = segment.is_empty() && further.is_none();
            if is_trailing_slash || !bare(segment).is_empty() {
                break (segment, further);
            }
            ends_here |= query_or_fragment(segment).is_some();
            self.is_aligned = false;
            written = written.get(1..).unwrap_or_default();
            path = further.or(Some(""));
        };
        let mut all = !ends_here || self.descend(node, Some(""), &[])?;
        if segment.is_empty() {
            all &= self.end(node.literal_like("").unwrap_or(node))?;
            return ControlFlow::Continue(all);
        }
        let is_written = matches!(written.first(), Some(Segment::Literal(_)));
        let written = written.get(1..).unwrap_or_default();
        if let Some(end) = query_or_fragment(segment).filter(|_| !is_written) {
            let name = bare(&segment[..end]);
            all &= if name.is_empty() {
                self.descend(node, Some(""), &[])?
            } else {
                self.named(node, name, None, is_written, written)?
            };
        }
        all &= self.named(node, bare(segment), further, is_written, written)?;
        ControlFlow::Continue(all)
    }

    fn named(
        &mut self,
        node: &Node,
        name: &str,
        further: Option<&str>,
        is_written: bool,
        written: &[Segment],
    ) -> ControlFlow<usize, bool> {
        let mut all = true;
        let max_length = if is_written || node.literals.is_empty() {
            0
        } else {
            self.max_literal
        };
        for name in std::iter::once(name).chain(shorter_names(name, max_length)) {
            all &= match node.literal_like(name) {
                Some(literal) => self.descend(literal, further, written)?,
                None => false,
            };
        }
        if let Some(parameter) = node.parameter.as_deref().filter(|_| !all) {
            all = self.descend(parameter, further, written)?;
        }
        if !all && !node.rest.is_empty() {
            return self.visit(&node.rest);
        }
        ControlFlow::Continue(all)
    }

    fn end(&mut self, node: &Node) -> ControlFlow<usize, bool> {
        match (&node.here[..], &node.rest[..]) {
            ([], []) => ControlFlow::Continue(false),
            ([], rest) => self.visit(rest),
            (here, _) => self.visit(here),
        }
    }

    fn visit(&mut self, routes: &[usize]) -> ControlFlow<usize, bool> {
        let shared = if self.is_aligned {
            SharedParameters::SAME_PATH
        } else {
            SharedParameters::None
        };
        (self.visit)(routes, shared).map_continue(|()| true)
    }
}

// For a plain path: see `NormalPath::is_plain`.
fn has_other_interpretations(path: &str) -> bool {
    path.bytes()
        .any(|byte| matches!(byte, b'A'..=b'Z' | b'.' | b':'))
}

/// A normal path whose octets, encoded or not, can be compared without the letter case of ASCII.
fn comparable(path: &str) -> Cow<'_, str> {
    let mut encoded = path.split('%').skip(1);
    if encoded.all(|digits| matches!(digits.as_bytes().first(), Some(b'0'..=b'7'))) {
        return Cow::Borrowed(path);
    }
    let mut text = String::with_capacity(path.len());
    for character in skeleton(decoded(path).chars()) {
        match character {
            // An encoded percent sign stays encoded.
            '%' => text.push_str("%25"),
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

fn slashes(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count()
}

fn query_or_fragment(segment: &str) -> Option<usize> {
    let ends = ["?", "#", "%3F", "%23"].map(|end| segment.find(end));
    ends.into_iter().flatten().min()
}

/// The name of a segment: without path parameters, spaces around it and dots at its end.
fn bare(segment: &str) -> &str {
    let end = [";", "%3B"]
        .map(|end| segment.find(end))
        .into_iter()
        .flatten()
        .min();
    let mut name = &segment[..end.unwrap_or(segment.len())];
    loop {
        let shorter = name.trim_end_matches(['.', ' ']).trim_end_matches("%20");
        if shorter.len() == name.len() {
            return name.trim_start_matches("%20").trim_start_matches(' ');
        }
        name = shorter;
    }
}

/// The name up to each `.` or `:` where it may end: shortest first, at most `max_length` octets
/// long.
fn shorter_names(name: &str, max_length: usize) -> impl Iterator<Item = &str> {
    let mut offset = 0;
    let mut octets = 0;
    // The end of the name so far, without dots and spaces at its end.
    let mut end = 0;
    let mut octets_to_end = 0;
    // The end of the last name that was returned.
    let mut last = 0;
    std::iter::from_fn(move || {
        while octets_to_end <= max_length {
            let (octet, length) = first_octet(&name.as_bytes()[offset..])?;
            let is_end = matches!(octet, b'.' | b':') && end > last;
            let end_before = end;
            offset += length;
            octets += 1;
            if !matches!(octet, b'.' | b' ') {
                end = offset;
                octets_to_end = octets;
            }
            // Sliced only here, before an ASCII character: elsewhere `end` may be inside a
            // character.
            if is_end {
                last = end_before;
                return Some(&name[..end_before]);
            }
        }
        None
    })
}

/// A segment of a route as a lenient server compares it.
///
/// A literal vanishes if its name is empty, and splits at slashes outside ASCII.
fn folded(segment: &Segment) -> Vec<Segment> {
    let text = match segment {
        Segment::Literal(text) => text,
        Segment::Parameter => return vec![Segment::Parameter],
        Segment::Rest => return vec![Segment::Rest],
    };
    if text.is_empty() {
        return vec![Segment::Literal(Box::default())];
    }
    let text: String = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        skeleton(text.chars()).collect()
    };
    let names = text.split('/').map(bare).filter(|name| !name.is_empty());
    names.map(|name| Segment::Literal(name.into())).collect()
}

#[cfg(test)]
mod tests;
