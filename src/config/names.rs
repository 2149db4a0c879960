//! Names in messages: lists of names, and the known name nearest to a misspelt one.

/// Limit of the names that a message lists.
const MAX_LISTED: usize = 40;

/// Words of other programs and RFCs, without `_`, with the key of scopegate.
const SYNONYMS: &[(&str, &str)] = &[
    ("address", "listen"),
    ("addr", "address"),
    ("add", "set"),
    ("allowcredentials", "credentials"),
    ("allowedheaders", "headers"),
    ("allowedorigins", "origins"),
    ("allowheaders", "headers"),
    ("alloworigin", "origins"),
    ("alloworigins", "origins"),
    ("anyof", "one_of"),
    ("aud", "audience"),
    ("audiences", "audience"),
    ("backend", "upstream"),
    ("bind", "listen"),
    ("contains", "has"),
    ("delete", "remove"),
    ("eq", "is"),
    ("equals", "is"),
    ("exposedheaders", "expose"),
    ("exposeheaders", "expose"),
    ("hosts", "host"),
    ("in", "one_of"),
    ("includes", "has"),
    ("interval", "per"),
    ("iss", "issuer"),
    ("limits", "limit"),
    ("listen", "address"),
    ("name", "claim"),
    ("pattern", "matches"),
    ("period", "per"),
    ("prefix", "path"),
    ("rate", "requests"),
    ("ratelimit", "limit"),
    ("regex", "matches"),
    ("servers", "targets"),
    ("service", "upstream"),
    ("unset", "remove"),
    ("url", "targets"),
    ("urls", "targets"),
    ("uri", "path"),
    ("value", "is"),
    ("values", "one_of"),
    ("verb", "methods"),
    ("window", "per"),
];

/// `did you mean "listen"?`, if one of `known` is near enough to `name` to be its misspelling.
#[must_use]
pub fn did_you_mean<K: AsRef<str>>(
    name: &str,
    known: impl IntoIterator<Item = K>,
) -> Option<String> {
    nearest(name, known).map(|known| format!("did you mean {:?}?", known.as_ref()))
}

/// The key of a table that `name` is a misspelling of, or another word for.
pub(super) fn meant<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let synonym = || {
        let name = normalized_for_comparison(name).replace('_', "");
        let mut ours = SYNONYMS.iter().filter(|(word, _)| *word == name);
        ours.find_map(|(_, ours)| known.iter().copied().find(|known| known == ours))
    };
    synonym().or_else(|| nearest(name, known.iter().copied()))
}

/// The one of `known` that is near enough to `name` for `name` to be its misspelling.
pub(super) fn nearest<K: AsRef<str>>(name: &str, known: impl IntoIterator<Item = K>) -> Option<K> {
    let name = normalized_for_comparison(name);
    let length = name.chars().count();
    // A single letter resembles every other one.
    let allowed = if length > 1 { (length / 3).max(1) } else { 0 };
    let mut nearest: Option<(usize, K)> = None;
    for known in known {
        // The difference in length is a lower bound of the distance, and cheaper to compute.
        if known.as_ref().chars().count().abs_diff(length) > allowed {
            continue;
        }
        let distance = strsim::osa_distance(&name, &normalized_for_comparison(known.as_ref()));
        if distance <= allowed
            && nearest
                .as_ref()
                .is_none_or(|(shortest, _)| distance < *shortest)
        {
            nearest = Some((distance, known));
        }
    }
    nearest.map(|(_, known)| known)
}

/// `"a", "b" or "c"`, with `last` before the last; of many, the first and how many more there are.
pub(super) fn quoted_list<N: AsRef<str>>(names: impl IntoIterator<Item = N>, last: &str) -> String {
    let mut names = names.into_iter();
    let mut quoted: Vec<_> = names
        .by_ref()
        .take(MAX_LISTED)
        .map(|name| format!("{:?}", name.as_ref()))
        .collect();
    match names.count() {
        0 => {}
        more => quoted.push(format!("{more} more")),
    }
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// Whether TOML accepts the name without quotes.
pub(super) fn is_bare_key(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Letter case and `-` instead of `_` do not count as differences.
fn normalized_for_comparison(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}
