//! Patterns in which `*` stands for one or more characters: in scopes, and in rules over claims.
//!
//! Matching does not backtrack. It takes time linear in both texts, whatever a hostile token
//! contains.

/// Whether a text fits a pattern.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    fits_literals(pattern.split('*'), text)
}

/// Whether a text consists of these literals, with one or more characters between each two.
///
/// Each literal is matched at its first occurrence. A later one would only leave less text for the
/// following literals, so backtracking is never needed.
pub(super) fn fits_literals<'p>(literals: impl IntoIterator<Item = &'p str>, text: &str) -> bool {
    let mut literals = literals.into_iter();
    let head = literals.next().unwrap_or_default();
    let mut literals = literals.peekable();
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    while let Some(literal) = literals.next() {
        // The wildcard before this literal takes at least one character.
        let mut characters = rest.chars();
        if characters.next().is_none() {
            return false;
        }
        rest = characters.as_str();
        if literals.peek().is_none() {
            return rest.ends_with(literal);
        }
        match rest.find(literal) {
            Some(start) => rest = &rest[start + literal.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}
