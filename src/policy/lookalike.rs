//! Paths that an upstream may take for another one than the gateway does.
//!
//! Routes tell `/admin` from `/Admin`, `/admin.json` and `/admin%20`. Some servers do not: beside a route for `/admin`, such
//! a path would slip through a route for `/{*rest}` that asks for less. So a path is read in every way in which some server
//! reads it, and where one of them leads to a route that the chosen one is not as strict as, the request is refused.
//!
//! 1. A name is compared without case, and without spaces around it or dots at its end. What is outside ASCII is compared by
//!    its [`skeleton`](super::skeleton).
//! 2. A name ends at a `;` (path parameters). It may end at a `.` (a suffix that names a format: `/reports.json`) or a `:`
//!    (a stream of NTFS: `/reports::$DATA`).
//! 3. The path may end at a `?` or `#` that came encoded: some servers decode first.
//! 4. Names of which nothing is left are passed over.
//! 5. What the chosen route has written out is what it says: a declared `/app.js` is exact, and `app.js` in
//!    `/app.js/{*rest}` ends nowhere else.
//! 6. For each reading the tree of all routes, read in the same way, decides as it does for the path itself.
//!
//! Deliberately absent is what an upstream offers under several names of its own: `/index.html` for `/`, short names of FAT
//! (`/REPORT~1`), a file that is found without its suffix. Its operator knows of these, and can declare them.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::parameters::Values;
use super::path::{NormalPath, decoded, first_octet};
use super::pattern::{RoutePattern, Segment};
use super::requirement::SharedParameters;
use super::skeleton::skeleton;
use super::tree::Node;

/// The paths of all routes of a host, as a lenient server compares them.
#[derive(Debug, Default)]
pub(super) struct LenientPaths {
    tree: Node,
    /// The most octets of a literal: no longer name is one.
    longest: usize,
    /// Whether some literal is not as a lenient server compares it.
    folds: bool,
    /// Whether some of them are one path to it.
    merges: bool,
}

impl LenientPaths {
    /// Makes it of the routes of a host: their positions and their paths. `strict` is the tree of the same paths as they are.
    pub(super) fn build<'r>(
        routes: impl IntoIterator<Item = (usize, &'r RoutePattern)>,
        strict: &Node,
    ) -> Self {
        let (mut longest, mut folds, mut has_other_segments) = (0, false, false);
        let folded = routes.into_iter().map(|(index, pattern)| {
            let segments: Vec<_> = pattern.segments.iter().flat_map(folded).collect();
            for segment in &segments {
                if let Segment::Literal(text) = segment {
                    longest = longest.max(text.len());
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
            longest,
            folds,
            merges,
        }
    }

    /// Whether there may be more than one reading of a path whose parameters have these values.
    ///
    /// Most paths have one: no character in them is read in two ways, and where their route has a parameter, no other route
    /// has a literal.
    pub(super) fn may_be_misread(&self, path: &NormalPath<'_>, values: &Values<'_>) -> bool {
        let is_contested =
            || values.are_contested() && (self.folds || has_other_readings(path.as_str()));
        !path.is_plain() || self.merges || is_contested()
    }

    /// Shows `judge` the routes of every reading of a path, until it stops. `chosen` is the pattern that the gateway goes by.
    pub(super) fn find_all<J>(
        &self,
        path: &NormalPath<'_>,
        chosen: &RoutePattern,
        judge: J,
    ) -> ControlFlow<usize>
    where
        J: FnMut(&[usize], SharedParameters) -> ControlFlow<usize>,
    {
        let text = comparable(path.as_str());
        // A slash outside ASCII makes more segments of them.
        let is_aligned = slashes(&text) == slashes(path.as_str());
        let written = if is_aligned {
            &chosen.segments[..]
        } else {
            &[]
        };
        let mut readings = PathInterpretations {
            longest: self.longest,
            is_aligned,
            judge,
        };
        readings
            .of(&self.tree, text.strip_prefix('/'), written)
            .map_continue(drop)
    }
}

/// One after the other, each reading of a path.
struct PathInterpretations<J> {
    longest: usize,
    /// Whether a parameter has the same place in the reading as in the path.
    is_aligned: bool,
    judge: J,
}

// Each says whether every reading led to some route; where one did not, it leads to what is less specific.
//
// A node stands at one depth, and a path has two readings at the most that reach it: one goes on there, one ends there. So
// each node is visited twice at the most, and the recursion is as deep as the longest pattern.
impl<J: FnMut(&[usize], SharedParameters) -> ControlFlow<usize>> PathInterpretations<J> {
    /// `path` is what follows the last slash that was taken, `written` what the chosen route has there.
    fn of(
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
        let mut all = !ends_here || self.of(node, Some(""), &[])?;
        if segment.is_empty() {
            all &= self.end(node.literal_like("").unwrap_or(node))?;
            return ControlFlow::Continue(all);
        }
        let is_written = matches!(written.first(), Some(Segment::Literal(_)));
        let written = written.get(1..).unwrap_or_default();
        if let Some(end) = query_or_fragment(segment).filter(|_| !is_written) {
            let name = bare(&segment[..end]);
            all &= if name.is_empty() {
                self.of(node, Some(""), &[])?
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
        let ends = ends(
            name,
            if is_written || node.literals.is_empty() {
                0
            } else {
                self.longest
            },
        );
        for name in std::iter::once(name).chain(ends) {
            all &= match node.literal_like(name) {
                Some(literal) => self.of(literal, further, written)?,
                None => false,
            };
        }
        if let Some(parameter) = node.parameter.as_deref().filter(|_| !all) {
            all = self.of(parameter, further, written)?;
        }
        if !all && !node.rest.is_empty() {
            return self.judge(&node.rest);
        }
        ControlFlow::Continue(all)
    }

    fn end(&mut self, node: &Node) -> ControlFlow<usize, bool> {
        match (&node.here[..], &node.rest[..]) {
            ([], []) => ControlFlow::Continue(false),
            ([], rest) => self.judge(rest),
            (here, _) => self.judge(here),
        }
    }

    fn judge(&mut self, routes: &[usize]) -> ControlFlow<usize, bool> {
        let shared = if self.is_aligned {
            SharedParameters::SAME_PATH
        } else {
            SharedParameters::None
        };
        (self.judge)(routes, shared).map_continue(|()| true)
    }
}

// Of a path that needs no second look: see `NormalPath::is_plain`.
fn has_other_readings(path: &str) -> bool {
    path.bytes()
        .any(|byte| matches!(byte, b'A'..=b'Z' | b'.' | b':'))
}

/// A normal path whose octets may be compared but for the case of ASCII, encoded or not.
fn comparable(path: &str) -> Cow<'_, str> {
    let mut encoded = path.split('%').skip(1);
    if encoded.all(|digits| matches!(digits.as_bytes().first(), Some(b'0'..=b'7'))) {
        return Cow::Borrowed(path);
    }
    let mut text = String::with_capacity(path.len());
    for character in skeleton(decoded(path).chars()) {
        match character {
            // A percent sign that was encoded stays one.
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

/// What a segment is called: without path parameters, and without what surrounds a name.
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

/// The name up to each place where it may end, shortest first and at most so many octets long.
fn ends(name: &str, longest: usize) -> impl Iterator<Item = &str> {
    let (mut place, mut octets) = (0, 0);
    // Without the dots and spaces at its end, and how much of it was the last one.
    let (mut end, mut octets_to_end, mut last) = (0, 0, 0);
    std::iter::from_fn(move || {
        while octets_to_end <= longest {
            let (octet, length) = first_octet(&name.as_bytes()[place..])?;
            let is_end = matches!(octet, b'.' | b':') && end > last;
            let end_before = end;
            (place, octets) = (place + length, octets + 1);
            if !matches!(octet, b'.' | b' ') {
                (end, octets_to_end) = (place, octets);
            }
            // Only here, before an ASCII character: anywhere else `end` may be within a character of several octets.
            if is_end {
                last = end_before;
                return Some(&name[..end_before]);
            }
        }
        None
    })
}

/// A segment of a route as a lenient server compares it. A literal is none to it where nothing is left, and several where a
/// slash outside ASCII is in it.
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
