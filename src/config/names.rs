//! Names in messages: how they are listed, and which known one somebody probably meant.

/// `did you mean "listen"?`, if one of `known` is near enough to `name` to be its misspelling.
pub(super) fn did_you_mean(name: &str, known: &[impl AsRef<str>]) -> Option<String> {
    let name = folded(name);
    let allowed = (name.chars().count() / 3).max(1);
    let distances = known.iter().map(|known| (strsim::osa_distance(&name, &folded(known.as_ref())), known.as_ref()));
    let (distance, nearest) = distances.min_by_key(|&(distance, _)| distance)?;
    (distance <= allowed).then(|| format!("did you mean {nearest:?}?"))
}

/// `"a", "b" or "c"`, with `last` before the last.
pub(super) fn quoted_list(names: &[impl AsRef<str>], last: &str) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{:?}", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// Whether TOML lets the name stand without quotes.
pub(super) fn is_bare_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// People confuse case, `-` and `_`; that is no distance.
fn folded(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}
