//! Names of members that another parser may take for one that is judged.
//!
//! Go's `encoding/json`, and some parsers of .NET and Java, compare names without case. They take
//! `Name` for `name`, and by Unicode's folding `paramſ` for `params`. Others merge `__proto__` into
//! the object. So a judged object must not have two names that fold to one, nor a name that folds
//! to a judged one without being it.

use super::message_error::MessageError;

/// Maximum number of members of a judged object.
const MAX_MEMBERS: usize = 128;

/// Sets the prototype of an object where a server copies the members of a message.
const PROTOTYPE: &str = "__proto__";

/// The names of one judged object so far.
pub(super) struct MemberNames {
    judged: &'static [&'static str],
    /// One after the other, each folded. A message has few, so no map is faster.
    folded: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl MemberNames {
    /// None yet, of an object in which these names are judged. They are ASCII.
    pub(super) fn of(judged: &'static [&'static str]) -> Self {
        Self {
            judged,
            // Enough for the objects of most messages.
            folded: String::with_capacity(64),
            ends: Vec::with_capacity(8),
        }
    }

    /// Adds a name, after its escapes were decoded.
    pub(super) fn add(&mut self, name: &str) -> Result<(), MessageError> {
        if self.ends.len() >= MAX_MEMBERS {
            return Err(MessageError::TooManyMembers);
        }
        let start = self.folded.len();
        fold(name, &mut self.folded);
        let (before, folded) = self.folded.split_at(start);
        let is_judged = |judged: &&str| folded.eq_ignore_ascii_case(judged) && *judged != name;
        // Parsers in C end a text at its first NUL.
        if self.judged.iter().any(is_judged) || folded == PROTOTYPE || name.contains('\0') {
            return Err(MessageError::LookalikeMember);
        }
        let mut from = 0;
        let is_repeated = self.ends.iter().any(|end| {
            let known = &before[from..*end];
            from = *end;
            known == folded
        });
        if is_repeated {
            return Err(MessageError::RepeatedMember);
        }
        self.ends.push(self.folded.len());
        Ok(())
    }
}

// Coarser than any folding in use: `ſ` is `s`, the Kelvin sign is `k`, and each `i`, dotted or not,
// is `i`. A name too many is refused, never one too few.
fn fold(name: &str, folded: &mut String) {
    if name.is_ascii() {
        let start = folded.len();
        folded.push_str(name);
        folded[start..].make_ascii_lowercase();
        return;
    }
    folded.extend(name.chars().map(|character| {
        let upper = character.to_uppercase().next().unwrap_or(character);
        upper.to_lowercase().next().unwrap_or(upper)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(name: &str) -> String {
        let mut folded = String::new();
        super::fold(name, &mut folded);
        folded
    }

    #[test]
    fn names_that_some_parser_takes_for_one_fold_to_one() {
        for (one, other) in [
            ("params", "PARAMS"),
            ("params", "param\u{17f}"),
            ("jsonrpc", "j\u{17f}onrpc"),
            ("uri", "ur\u{131}"),
            ("uri", "UR\u{130}"),
            ("kind", "\u{212a}ind"),
        ] {
            assert_eq!(fold(one), fold(other), "{other}");
        }
        assert_ne!(fold("name"), fold("names"));
        assert_ne!(fold("name"), fold("n\u{e4}me"));
    }

    #[test]
    fn judged_object_has_each_name_once() {
        let judged = |names: &[&str]| {
            let mut members = MemberNames::of(&["name"]);
            names.iter().try_for_each(|name| members.add(name))
        };
        assert_eq!(judged(&["name", "arguments", "_meta"]), Ok(()));
        assert_eq!(judged(&["name", "name"]), Err(MessageError::RepeatedMember));
        // A name is compared with whole names, not with what two of them form.
        assert_eq!(judged(&["ab", "a", "b", "aba", "bab"]), Ok(()));
        assert_eq!(
            judged(&["ab", "a", "b", "B"]),
            Err(MessageError::RepeatedMember)
        );
        assert_eq!(judged(&["a", "A"]), Err(MessageError::RepeatedMember));
        for lone in ["Name", "NAME", "__proto__", "__Proto__", "name\0"] {
            assert_eq!(judged(&[lone]), Err(MessageError::LookalikeMember));
        }
        let many: Vec<_> = (0..=MAX_MEMBERS).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(judged(&many[1..]), Ok(()));
        assert_eq!(judged(&many), Err(MessageError::TooManyMembers));
    }
}
