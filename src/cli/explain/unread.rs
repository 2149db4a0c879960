//! Lines about claims that are not read. Names come from the token: bounded, and quoted where they
//! are more than a plain name.

use crate::oauth::claims::{UnreadClaims, UnreadScopeClaim};
use crate::text::truncated;

/// How many names are listed.
const MAX_NAMES: usize = 20;

/// The lines about the claims of a token. `has_issuer`: whether an issuer's rules read the others.
pub(super) fn lines(unread: &UnreadClaims, has_issuer: bool) -> Vec<String> {
    let scopes = unread.scopes.iter().take(MAX_NAMES);
    let mut lines: Vec<_> = scopes.map(scope_line).collect();
    if !unread.others.is_empty() {
        let names = listed(&unread.others);
        lines.push(if has_issuer {
            format!("--  not checked: {names}")
        } else {
            format!("--  not checked, because the issuer is unknown: {names}")
        });
    }
    lines
}

fn scope_line(unread: &UnreadScopeClaim) -> String {
    match unread {
        UnreadScopeClaim::Later { claim, read } => {
            let (claim, read) = (printable_name(claim), printable_name(read));
            format!(
                "--  {claim}: not read; the token has {read}, which precedes it in scope_claims"
            )
        }
        UnreadScopeClaim::NothingAt { claim, pointer } => {
            let claim = printable_name(claim);
            format!("--  {claim}: not read; the token has nothing at {pointer}")
        }
        UnreadScopeClaim::NotListed { claim } => {
            let claim = printable_name(claim);
            format!("--  {claim}: not read; scope_claims does not list it")
        }
    }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES);
    let shown = shown.map(|name| printable_name(name)).collect::<Vec<_>>();
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn printable_name(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    let shown = truncated(name);
    if !name.is_empty() && shown == name && name.bytes().all(is_plain) {
        shown
    } else {
        format!("{shown:?}")
    }
}

/// The names for the JSON document, bounded as in the text.
pub(super) fn names(unread: &UnreadClaims) -> Vec<String> {
    let names = unread.others.iter().take(MAX_NAMES);
    names.map(|name| truncated(name)).collect()
}

/// The claims that probably hold scopes, each with the one that is read instead.
pub(super) fn scope_names(unread: &UnreadClaims) -> Vec<(String, Option<String>)> {
    let scopes = unread.scopes.iter().take(MAX_NAMES);
    scopes
        .map(|unread| match unread {
            UnreadScopeClaim::Later { claim, read } => (truncated(claim), Some(truncated(read))),
            UnreadScopeClaim::NothingAt { claim, .. } | UnreadScopeClaim::NotListed { claim } => {
                (truncated(claim), None)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_cannot_forge_a_line() {
        let mut others: Vec<_> = (0..25).map(|index| format!("a{index:02}")).collect();
        others[0] = "a\nok  scope".to_owned();
        others[1] = "x".repeat(200);
        let unread = UnreadClaims {
            scopes: Vec::new(),
            others,
        };
        let lines = lines(&unread, true);
        let long = "x".repeat(80);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with(&format!(
                "--  not checked: \"a\\nok  scope\", \"{long}…\", a02, "
            )),
            "{lines:?}"
        );
        assert!(lines[0].ends_with(", a19 and 5 more"), "{lines:?}");
        assert_eq!(names(&unread).len(), MAX_NAMES);
    }
}
