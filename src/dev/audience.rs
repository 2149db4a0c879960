//! Whom a token is for: the parameter `resource` (RFC 8707) and the claim `aud`.

use serde::{Deserialize, Serialize};
use url::Url;

/// The maximum number of `resource` parameters of a request.
pub(super) const MAX_RESOURCES: usize = 8;

const MAX_LENGTH: usize = 2048;

/// The claim `aud`: one string, or a list of them (RFC 7519 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// The audience of these names, each once. `None` if there are none.
    pub(super) fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let mut distinct: Vec<&str> = Vec::new();
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        match distinct.as_slice() {
            [] => None,
            [only] => Some(Self::One((*only).to_owned())),
            several => Some(Self::Several(
                several.iter().map(|name| (*name).to_owned()).collect(),
            )),
        }
    }
}

/// Whether a value of `resource` is an absolute URI without a fragment (RFC 8707 §2).
///
/// The claim keeps the spelling of the request, since resource servers compare strings.
pub(super) fn is_resource(text: &str) -> bool {
    // The parser skips white space and takes characters outside ASCII. URIs have neither.
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.len() <= MAX_LENGTH
        && !text.contains('#')
        && Url::parse(text).is_ok()
}
