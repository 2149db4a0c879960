//! The names that no client may set, in whatever spelling.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName};

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What some frameworks take for the method or the path of a request, whatever its first line says.
const OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// What CGI programs find as `HTTP_PROXY`, and many libraries then send their requests to (httpoxy, CVE-2016-5385).
const PROXY: HeaderName = HeaderName::from_static("proxy");

/// Names by which messages are framed, read or kept to one connection. In this spelling each is understood and handled; in
/// another one, such as `Transfer_Encoding`, it is a different field to us and the same one to servers that make variables
/// of names.
const READ_BY_SPELLING: [&str; 8] = [
    "content-encoding",
    "content-length",
    "content-type",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
];
const READ_BY_SPELLING_INITIALS: u64 = {
    let (mut initials, mut place) = (0, 0);
    while place < READ_BY_SPELLING.len() {
        initials |= initial(READ_BY_SPELLING[place]);
        place += 1;
    }
    initials
};

/// The names that no client may set.
#[derive(Debug)]
pub struct ReservedHeaders {
    /// In their usual spelling: what is set as `x_user` may not come as `x-user` either.
    names: Vec<String>,
    /// The letters that they begin with, one bit each: most names of a request need no second look.
    initials: u64,
}

impl Default for ReservedHeaders {
    fn default() -> Self {
        Self::new([])
    }
}

impl ReservedHeaders {
    /// The gateway's own names, those that override what was judged, and those that routes set from claims.
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
        let others = initial("x-forwarded-") | READ_BY_SPELLING_INITIALS;
        let initials = names
            .iter()
            .fold(others, |initials, name| initials | initial(name));
        Self { names, initials }
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        name.starts_with("x-forwarded-") || self.names.iter().any(|reserved| reserved == name)
    }

    /// Whether a field is of a reserved name in any spelling, or of a name that is read by its spelling in another one.
    #[inline]
    fn holds_spelt(&self, name: &str) -> bool {
        initial(name) & self.initials != 0 && self.holds_one_spelt(name)
    }

    fn holds_one_spelt(&self, name: &str) -> bool {
        match normal_spelling(name) {
            Cow::Borrowed(usual) => self.holds(usual),
            Cow::Owned(usual) => self.holds(&usual) || READ_BY_SPELLING.contains(&&*usual),
        }
    }

    /// Removes every reserved name in every spelling, and other spellings of the names that are read by theirs.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        // Most requests have none, and a list of none is not made.
        if !headers.keys().any(|name| self.holds_spelt(name.as_str())) {
            return;
        }
        let forged: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.holds_spelt(name.as_str()))
            .cloned()
            .collect();
        for name in forged {
            headers.remove(name);
        }
    }
}

// `_` and `.` count as the `-` that they may stand for; two letters may share a bit.
const fn initial(name: &str) -> u64 {
    match name.as_bytes() {
        [b'_' | b'.', ..] => 1 << (b'-' & 63),
        [byte, ..] => 1 << (*byte & 63),
        [] => 0,
    }
}

// Header names are in lower case already: `HeaderName` sees to that.
pub(super) fn normal_spelling(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| matches!(byte, b'_' | b'.')) {
        Cow::Owned(name.replace(['_', '.'], "-"))
    } else {
        Cow::Borrowed(name)
    }
}
