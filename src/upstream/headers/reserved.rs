//! The header names that no client may set, in any spelling.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName};

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Headers that some frameworks prefer to the method or path of the request line.
const OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// CGI programs get it as `HTTP_PROXY`, which many HTTP libraries take for the proxy of their own
/// requests (httpoxy, CVE-2016-5385).
const PROXY: HeaderName = HeaderName::from_static("proxy");

/// Names of framing, content and hop-by-hop fields, and of those that mirror an MCP message. In this
/// spelling each is handled. In another one, such as `Transfer_Encoding`, it is a different field for
/// us, and the same one for servers that turn names into variables.
const EXACT_NAMES: [&str; 11] = [
    "content-encoding",
    "content-length",
    "content-type",
    "keep-alive",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
];
const EXACT_INITIALS: u64 = {
    let mut initials = 0;
    let mut index = 0;
    while index < EXACT_NAMES.len() {
        initials |= initial(EXACT_NAMES[index]);
        index += 1;
    }
    initials
};

/// The header names that no client may set.
#[derive(Debug)]
pub struct ReservedHeaders {
    /// In the normal spelling: a name that is set as `x_user` must not arrive as `x-user` either.
    names: Vec<String>,
    /// A bit for each first letter. Most names of a request are ruled out by it.
    initials: u64,
}

impl Default for ReservedHeaders {
    fn default() -> Self {
        Self::new([])
    }
}

impl ReservedHeaders {
    /// The gateway's own names, those of override headers, and those that routes set from claims.
    #[must_use]
    pub fn new(set_by_routes: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut names = vec![header::FORWARDED, X_REAL_IP, PROXY];
        names.extend(OVERRIDES);
        names.extend(set_by_routes);
        let mut names: Vec<_> = names
            .iter()
            .map(|name| normal_spelling(name.as_str()).into_owned())
            .collect();
        names.sort();
        names.dedup();
        let others = initial("x-forwarded-") | EXACT_INITIALS;
        let initials = names
            .iter()
            .fold(others, |initials, name| initials | initial(name));
        Self { names, initials }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        name.starts_with("x-forwarded-") || self.names.iter().any(|reserved| reserved == name)
    }

    /// Whether a name is reserved in any spelling, or another spelling of an exact name.
    #[inline]
    fn is_forbidden(&self, name: &str) -> bool {
        initial(name) & self.initials != 0 && self.is_forbidden_spelling(name)
    }

    fn is_forbidden_spelling(&self, name: &str) -> bool {
        match normal_spelling(name) {
            Cow::Borrowed(usual) => self.contains(usual),
            Cow::Owned(usual) => self.contains(&usual) || EXACT_NAMES.contains(&&*usual),
        }
    }

    /// Removes every reserved name in every spelling, and other spellings of the exact names.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        // Most requests have none: no list is allocated for them.
        if !headers.keys().any(|name| self.is_forbidden(name.as_str())) {
            return;
        }
        let forged: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.is_forbidden(name.as_str()))
            .cloned()
            .collect();
        for name in forged {
            headers.remove(name);
        }
    }
}

// Other characters than letters and digits count as the `-` that they may stand for. Two letters may
// share a bit.
const fn initial(name: &str) -> u64 {
    match name.as_bytes() {
        [byte, ..] if byte.is_ascii_alphanumeric() => 1 << (*byte & 63),
        [_, ..] => 1 << (b'-' & 63),
        [] => 0,
    }
}

/// The spelling in which names are compared. Servers that turn names into variables write `_` for
/// `-`: most of them for `_` itself as well, some for `.`, and lighttpd for every character but
/// letters and digits.
///
/// Names are in lower case already, as `HeaderName` guarantees.
pub(super) fn normal_spelling(name: &str) -> Cow<'_, str> {
    let is_usual = |character: char| character.is_ascii_alphanumeric() || character == '-';
    if name.chars().all(is_usual) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.replace(|character| !is_usual(character), "-"))
    }
}
