//! Interpretations of paths.

use super::*;
use crate::values::PathParameters;

#[test]
fn bare_name_has_no_spaces_dots_or_path_parameters_around_it() {
    for (segment, expected) in [
        ("admin", "admin"),
        ("Admin", "Admin"),
        ("admin.", "admin"),
        ("admin..", "admin"),
        ("admin%20", "admin"),
        ("admin. %20.%20", "admin"),
        ("%20%20admin", "admin"),
        (" admin ", "admin"),
        ("admin;v=1", "admin"),
        ("admin%3Bv=1", "admin"),
        ("admin.;v", "admin"),
        ("admin%20;", "admin"),
        (".admin", ".admin"),
        ("a.b", "a.b"),
        ("100%25", "100%25"),
        ("...", ""),
        ("%20", ""),
        ("", ""),
    ] {
        assert_eq!(bare(segment), expected, "{segment:?}");
    }
}

#[test]
fn name_may_end_at_each_dot_and_colon() {
    for (name, max_length, expected) in [
        ("reports", 9, &[][..]),
        ("reports.json", 9, &["reports"]),
        ("reports.json", 7, &["reports"]),
        ("reports.json", 6, &[]),
        ("reports.json", 0, &[]),
        ("a.b.c", 9, &["a", "a.b"]),
        ("a..b", 9, &["a"]),
        (".a.b", 9, &[".a"]),
        ("reports::$DATA", 9, &["reports", "reports:"]),
        ("reports%3A%3A$DATA", 7, &["reports"]),
        ("r%C3%A9.x", 3, &["r%C3%A9"]),
        ("r%C3%A9.x", 2, &[]),
        ("a%20.b", 9, &["a"]),
        ("a . .b:c", 9, &["a", "a . .b"]),
        ("\u{44f}\u{43d}\u{430}", 9, &[]),
        (
            "\u{44f}.\u{674e}:\u{1f600}",
            9,
            &["\u{44f}", "\u{44f}.\u{674e}"],
        ),
        ("\u{44f}..\u{674e}", 9, &["\u{44f}"]),
        ("...", 9, &[]),
    ] {
        let expected: Vec<&str> = expected.to_vec();
        assert_eq!(
            shorter_names(name, max_length).collect::<Vec<_>>(),
            expected,
            "{name:?}"
        );
    }
}

#[test]
fn ascii_path_is_compared_unchanged() {
    for path in ["/", "/Admin/X.json", "/a%20b/%3Ax", "/100%25", "/a%7C"] {
        assert!(
            matches!(comparable(path), Cow::Borrowed(text) if text == path),
            "{path}"
        );
    }
    for (path, expected) in [
        ("/%E2%84%AAeys/X", "/keys/x"),
        ("/u%C5%BFers", "/users"),
        ("/%EF%BC%B2eports", "/reports"),
        ("/reports%C2%A0", "/reports "),
        ("/rep%E2%80%8Borts", "/reports"),
        ("/a%EF%BC%8Fb", "/a/b"),
        ("/caf%C3%A9/100%25", "/cafe/100%25"),
        ("/a%EF%BC%9Bb%3Fc", "/a;b?c"),
        ("/me%EF%BC%8Ejson", "/me.json"),
    ] {
        assert_eq!(comparable(path), expected, "{path}");
    }
}

/// The indices of the patterns that the interpretations of a path match.
fn interpretations(patterns: &[&str], path: &str, chosen: usize) -> Vec<usize> {
    let patterns: Vec<_> = patterns
        .iter()
        .map(|text| RoutePattern::parse(text).expect("a pattern"))
        .collect();
    let paths = LenientPaths::build(patterns.iter().enumerate(), &Node::default());
    let path = NormalPath::parse(path, PathParameters::Allow).expect("a normal path");
    let mut found = Vec::new();
    let all = paths.find_all(&path, &patterns[chosen], |routes, _| {
        found.extend_from_slice(routes);
        ControlFlow::Continue(())
    });
    assert_eq!(all, ControlFlow::Continue(()));
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn each_interpretation_finds_its_most_specific_route() {
    let patterns = [
        "/{*rest}",
        "/admin",
        "/users/{id}",
        "/users/me",
        "/users/me/keys",
        "/files/{*rest}",
        "/a/b/{x}",
        "/a.b/{x}",
        "/",
    ];
    for (path, chosen, expected) in [
        ("/other", 0, &[0][..]),
        ("/ADMIN", 0, &[1]),
        ("/admin.json", 0, &[0, 1]),
        ("/admin.a.b", 0, &[0, 1]),
        ("/admin/", 1, &[1]),
        ("/admin/x", 0, &[0]),
        ("/admin%3Fx/y", 0, &[0, 1]),
        ("/admin.x%23/y", 0, &[0, 1]),
        ("/...", 0, &[8]),
        ("/%20/admin", 0, &[1]),
        ("/.../admin/%20", 0, &[1]),
        ("/users/7", 2, &[2]),
        ("/users/me.json", 2, &[2, 3]),
        ("/users/Me", 2, &[3]),
        ("/users/7%23/keys", 0, &[0, 2]),
        ("/users/me:x/keys", 0, &[0, 4]),
        ("/users.x/me", 0, &[0, 3]),
        ("/users/me%EF%BC%8Fkeys", 2, &[4]),
        ("/Files/x", 0, &[5]),
        ("/files.d/x", 0, &[0, 5]),
        ("/a.b/x", 7, &[7]),
        ("/A.B/x", 0, &[0, 7]),
        ("/a/b.c/x", 0, &[0, 6]),
        ("/files/a.b/c%23d", 5, &[5]),
    ] {
        assert_eq!(interpretations(&patterns, path, chosen), expected, "{path}");
    }
}

// Enumerating the interpretations would take 2^400 steps; comparing every end of every name, 10^9.
#[test]
fn hostile_path_visits_each_node_at_most_twice() {
    let paths = (0..1_u32 << 10).map(|way| {
        let segment = |place: u32| {
            if way >> place & 1 == 0 {
                "/a".to_owned()
            } else {
                format!("/{{x{place}}}")
            }
        };
        (0..10).map(segment).collect::<String>() + "/end"
    });
    let patterns: Vec<String> = paths
        .filter(|path| path.matches('{').count() <= 8)
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    for path in [
        "/a.b".repeat(400),
        "/a.".repeat(4000),
        "/a%23.b".repeat(400),
        format!("/{}", ".a".repeat(16_000)),
    ] {
        assert_eq!(interpretations(&patterns, &path, 0), [0; 0]);
    }
    let long = format!("{}/a", "/%20".repeat(10_000));
    assert_eq!(interpretations(&["/a", "/{*rest}"], &long, 1), [0]);
}

proptest::proptest! {
    #[test]
    fn names_end_at_character_boundaries(name in "[a-z.: \u{e6}\u{44f}\u{674e}\u{1f600}]{0,12}|(%20|%3A|[.\u{44f}a]){0,12}", max_length in 0..40_usize) {
        for end in shorter_names(&name, max_length) {
            proptest::prop_assert!(name.starts_with(end) && !end.is_empty());
        }
    }
}
