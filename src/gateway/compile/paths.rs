//! The paths of `[[routes]]`, and what of them goes upstream.

use crate::config::{self, Fault, Spanned};
use crate::policy::pattern::RoutePattern;

pub(super) fn pattern(path: &Spanned<String>) -> Result<RoutePattern, Box<Fault>> {
    let hint = || {
        config::path_hint(&path.value, |proposed| {
            RoutePattern::parse(proposed).is_ok()
        })
    };
    parsed(path, RoutePattern::parse).map_err(|fault| {
        Box::new(Fault {
            help: hint(),
            ..*fault
        })
    })
}

pub(super) fn segments_to_strip(
    prefix: &Spanned<String>,
    path: &RoutePattern,
) -> Result<usize, Box<Fault>> {
    let text = prefix.value.trim_end_matches('/');
    let rest = path
        .as_str()
        .strip_prefix(text)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_literal = text.starts_with('/') && !text.contains(['{', '}']);
    if rest.is_none() || !is_literal {
        let message = format!(
            "expected whole literal segments that the path {:?} begins with, but found {:?}",
            path.as_str(),
            prefix.value
        );
        let meant = format!("/{}", prefix.value.trim_matches('/'));
        let fits = meant != prefix.value
            && segments_to_strip(&prefix.with_value(meant.clone()), path).is_ok();
        let help = fits.then(|| format!("did you mean {meant:?}?"));
        return Err(Box::new(Fault {
            help,
            ..prefix.fault(message)
        }));
    }
    Ok(text.matches('/').count())
}

fn parsed<T, E: ToString>(
    text: &Spanned<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Box<Fault>> {
    parse(&text.value).map_err(|error| Box::new(text.fault(error.to_string())))
}
