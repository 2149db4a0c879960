//! Untrusted text in messages: truncated and quoted, so that it cannot forge log lines.

/// Maximum number of names that [`alternatives`] lists: a file may declare hundreds of issuers.
const MAX_ALTERNATIVES: usize = 8;

/// The first 80 characters of a text, with `…` where more follow.
pub(crate) fn truncated(text: &str) -> String {
    const MAX_CHARACTERS: usize = 80;
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text in quotes, or `none`.
pub(crate) fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"))
}

/// `"a", "b" or "c"`; of a long list, the first names and the number of the others.
pub(crate) fn alternatives<'e>(names: impl IntoIterator<Item = &'e str>) -> String {
    let mut names = names.into_iter();
    let mut listed: Vec<_> = names
        .by_ref()
        .take(MAX_ALTERNATIVES)
        .map(|name| format!("{:?}", truncated(name)))
        .collect();
    let more = names.count();
    if more > 0 {
        listed.push(format!("one of {more} more"));
    }
    match listed.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_list_of_alternatives_is_truncated() {
        assert_eq!(alternatives([]), "nothing");
        assert_eq!(alternatives(["a"]), "\"a\"");
        assert_eq!(alternatives(["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
        let many: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(
            alternatives(many.iter().map(String::as_str)),
            "\"0\", \"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\" or one of 12 more"
        );
    }
}
