//! Paths that an upstream may take for another one than the gateway does.
//!
//! Routes tell `/admin` from `/Admin`, `/admin.` and `/admin;v=1`. Some servers do not: they ignore case, drop dots and
//! spaces at the end of a name, decode once more, or cut off what follows a `;`, `?` or `#` that came encoded. Beside a
//! route for `/admin`, such a path would slip through a route for `/{*rest}` that asks for less. So it is read in the most
//! lenient way as well; where that leads to a route that asks for something else, the request is refused.

use std::borrow::Cow;

use super::parameters::Values;
use super::path::decoded;
use super::pattern::{RoutePattern, Segment};
use super::tree::Node;

/// The paths of all routes of a host, as the most lenient server would read them.
#[derive(Debug, Default)]
pub(super) struct LenientPaths {
    tree: Node,
    /// Whether some literal is not as a lenient server reads it.
    folds: bool,
}

impl LenientPaths {
    /// Makes it of the routes of a host: their positions and their paths.
    pub(super) fn build<'r>(routes: impl IntoIterator<Item = (usize, &'r RoutePattern)>) -> Self {
        let fold = |segment: &Segment| match segment {
            Segment::Literal(text) => folded_name(text).map(|name| Segment::Literal(name.into())),
            Segment::Parameter => Some(Segment::Parameter),
            Segment::Rest => Some(Segment::Rest),
        };
        let mut folds = false;
        let folded = routes.into_iter().map(|(index, pattern)| {
            let segments: Vec<_> = pattern.segments.iter().filter_map(fold).collect();
            folds |= segments != pattern.segments;
            (segments, index)
        });
        let tree = Node::build(folded);
        Self { tree, folds }
    }

    /// The routes that a lenient server would choose for a path for which ours is `index`; none where that is among them,
    /// or where there are none.
    pub(super) fn others_than(&self, index: usize, path: &str) -> &[usize] {
        let path = folded(path);
        if matches!(path, Cow::Borrowed(_)) && !self.folds {
            return &[];
        }
        let same_path = self.tree.find(path.strip_prefix('/'), &mut Values::default()).unwrap_or_default();
        if same_path.contains(&index) { &[] } else { same_path }
    }
}

/// A normal path as the most lenient server reads it; borrowed where there is nothing to be lenient about.
fn folded(path: &str) -> Cow<'_, str> {
    let (mut is_plain, mut last) = (true, 0);
    for byte in path.bytes() {
        is_plain &= !(matches!(byte, b'A'..=b'Z' | b'%' | b';') || last == b'.' && byte == b'/');
        last = byte;
    }
    if is_plain && last != b'.' {
        return Cow::Borrowed(path);
    }
    let mut names = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        let segment = decoded(segment);
        // What would begin a query or a fragment ends the path.
        let end = segment.find(['?', '#']);
        if let Some(name) = folded_name(&segment[..end.unwrap_or(segment.len())]) {
            names.push('/');
            names.push_str(&name);
        }
        if end.is_some() {
            break;
        }
    }
    if names.is_empty() {
        names.push('/');
    }
    Cow::Owned(names)
}

/// One decoded name of a path as the most lenient server reads it; `None` where it reads nothing. The empty name after a
/// trailing slash stays.
fn folded_name(name: &str) -> Option<String> {
    let trimmed = name[..name.find(';').unwrap_or(name.len())].trim_end_matches(['.', ' ']);
    if trimmed.is_empty() && !name.is_empty() {
        return None;
    }
    let name = trimmed;
    // Upper case first: some letters outside ASCII have one in it.
    let name = if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_uppercase().to_lowercase() };
    // The tree decodes what it looks for.
    Some(name.replace('%', "%25"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenient_servers_ignore_case_trailing_dots_and_what_is_cut_off() {
        for (path, expected) in [
            ("/admin", "/admin"),
            ("/Admin/X", "/admin/x"),
            ("/admin./x..", "/admin/x"),
            ("/admin%20/x", "/admin/x"),
            ("/admin;v=1/x", "/admin/x"),
            ("/admin%3Bv=1/x", "/admin/x"),
            ("/admin%3Fx/y", "/admin"),
            ("/admin%23x/y", "/admin"),
            ("/%E2%84%AAeys", "/keys"),
            ("/u%C5%BFers", "/users"),
            ("/a.b/.c", "/a.b/.c"),
            ("/.../x", "/x"),
            ("/x/%20", "/x"),
            ("/x/%20/", "/x/"),
            ("/...", "/"),
            ("/100%25", "/100%25"),
            ("/admin/", "/admin/"),
        ] {
            assert_eq!(folded(path), expected, "{path}");
        }
        assert!(matches!(folded("/orders/7/items.json"), Cow::Borrowed(_)));
    }
}
