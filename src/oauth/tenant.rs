//! Tenants of one authorization server: issuers that differ in one segment of their URL.
//!
//! 1. A template has one parameter, `{name}`. It is a whole segment of the path, so host and port
//!    are fixed: a token cannot choose the server.
//! 2. A tenant's name consists of 1 to 128 unreserved characters (RFC 3986 §2.3), and is neither `.`
//!    nor `..`. So it needs no encoding and cannot change the rest of the URL.
//! 3. Names are compared byte for byte, as issuers are (RFC 7519 §2, StringOrURI).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Maximum length of a tenant's name.
pub const MAX_TENANT_NAME: usize = 128;

/// The name of a tenant, as it stands in the URL of its issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Box<str>);

/// A tenant, and the parameter that stands for it in the issuer's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The name of the parameter.
    pub parameter: Arc<str>,
    /// The tenant's name.
    pub name: TenantName,
}

/// A URL with a parameter for the tenant: `https://login.example.com/{tenant}/v2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTemplate {
    parameter: Arc<str>,
    before: Box<str>,
    after: Box<str>,
}

/// Why a text is not the name of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a tenant of 1 to {MAX_TENANT_NAME} letters, digits and -._~, not \".\" or \"..\""
)]
pub struct NoTenantName;

/// Why a text with braces is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantTemplateError {
    /// A brace that belongs to no parameter.
    #[error("expected {{name}}, but found a single brace")]
    UnpairedBrace,
    /// A second parameter.
    #[error("expected one parameter, but found {{{0}}} and {{{1}}}")]
    SeveralParameters(String, String),
    /// A name that a path of a route could not have.
    #[error("expected a parameter's name of ASCII letters, digits, _ and -, but found {0:?}")]
    InvalidName(String),
    /// The parameter is in the host, in the query, or shares its segment with other text.
    #[error("expected {{{0}}} as a whole segment of the path of a URL, but found it elsewhere")]
    NotASegment(String),
}

impl TenantName {
    /// Parses the name of a tenant.
    ///
    /// # Errors
    /// [`NoTenantName`]
    pub fn parse(text: &str) -> Result<Self, NoTenantName> {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_name = (1..=MAX_TENANT_NAME).contains(&text.len())
            && text.bytes().all(is_unreserved)
            && !matches!(text, "." | "..");
        is_name.then(|| Self(text.into())).ok_or(NoTenantName)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TenantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Tenant {
    /// Its name, if this is the parameter that stands for it.
    #[must_use]
    pub fn value_of(&self, parameter: &str) -> Option<&str> {
        (*self.parameter == *parameter).then(|| self.name.as_str())
    }
}

impl TenantTemplate {
    /// Parses a URL with a parameter; `None` if it has no braces.
    ///
    /// # Errors
    /// See [`TenantTemplateError`].
    pub fn parse(text: &str) -> Result<Option<Self>, TenantTemplateError> {
        let Some((before, name, after)) = split(text)? else {
            return Ok(None);
        };
        if let Some((_, second, _)) = split(after)? {
            let (first, second) = (name.to_owned(), second.to_owned());
            return Err(TenantTemplateError::SeveralParameters(first, second));
        }
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_of_name) {
            return Err(TenantTemplateError::InvalidName(name.to_owned()));
        }
        let is_in_path = before.split_once("://").is_some_and(|(_, rest)| {
            !rest.starts_with('/') && rest.contains('/') && !rest.contains(['?', '#'])
        });
        let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        if !is_in_path || !is_segment {
            return Err(TenantTemplateError::NotASegment(name.to_owned()));
        }
        Ok(Some(Self {
            parameter: name.into(),
            before: before.into(),
            after: after.into(),
        }))
    }

    /// The name of the parameter.
    #[must_use]
    pub fn parameter(&self) -> &Arc<str> {
        &self.parameter
    }

    /// The URL of a tenant.
    #[must_use]
    pub fn filled(&self, tenant: &TenantName) -> String {
        [&*self.before, tenant.as_str(), &*self.after].concat()
    }

    /// The name of the tenant whose URL this is, if it is one's.
    #[must_use]
    pub fn tenant_of(&self, url: &str) -> Option<TenantName> {
        let name = url
            .strip_prefix(&*self.before)?
            .strip_suffix(&*self.after)?;
        TenantName::parse(name).ok()
    }

    /// A URL that both templates have, with the tenants that they find in it; `None` if there is
    /// none. Where it depends on the tenant, `any_of` chooses one that both sides accept.
    #[must_use]
    pub fn shared_with(
        &self,
        other: &Self,
        any_of: impl FnOnce() -> Option<TenantName>,
    ) -> Option<String> {
        if (&self.before, &self.after) == (&other.before, &other.after) {
            return any_of().map(|tenant| self.filled(&tenant));
        }
        // Otherwise each parameter stands where the other template has a literal segment.
        let literal_at = |template: &Self, segment: usize| {
            let name = template.to_string().split('/').nth(segment)?.to_owned();
            TenantName::parse(&name).ok()
        };
        let ours = self.filled(&literal_at(other, self.segment())?);
        let theirs = other.filled(&literal_at(self, other.segment())?);
        (ours == theirs).then_some(ours)
    }

    fn segment(&self) -> usize {
        self.before.matches('/').count()
    }
}

// Splits at the first parameter.
fn split(text: &str) -> Result<Option<(&str, &str, &str)>, TenantTemplateError> {
    let Some(open) = text.find(['{', '}']) else {
        return Ok(None);
    };
    let inner = text[open..].strip_prefix('{');
    inner
        .and_then(|inner| inner.split_once('}'))
        .filter(|(name, _)| !name.contains('{'))
        .map(|(name, after)| Some((&text[..open], name, after)))
        .ok_or(TenantTemplateError::UnpairedBrace)
}

impl fmt::Display for TenantTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            parameter,
            before,
            after,
        } = self;
        write!(f, "{before}{{{parameter}}}{after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> TenantTemplate {
        let parsed = TenantTemplate::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        parsed.expect(text)
    }

    #[test]
    fn name_of_a_tenant_cannot_change_its_url() {
        let longest = "a".repeat(MAX_TENANT_NAME);
        for name in ["a", "...", "A-b.c_d~9", "9188040d-6c67-4c5b", &longest] {
            assert_eq!(TenantName::parse(name).expect(name).as_str(), name);
        }
        let long = "a".repeat(MAX_TENANT_NAME + 1);
        for name in [
            "", ".", "..", "a/b", "a%2Fb", "a?b", "a#b", "a b", "é", "a\0", "a\n", "{a}", "a@b",
            "a:b", "*", "a+b", &long,
        ] {
            assert_eq!(TenantName::parse(name), Err(NoTenantName), "{name:?}");
        }
    }

    #[test]
    fn template_finds_the_tenant_in_its_own_urls_only() {
        let login = template("https://login.test/{tenant}/v2.0");
        assert_eq!(&**login.parameter(), "tenant");
        assert_eq!(login.to_string(), "https://login.test/{tenant}/v2.0");
        let tenant = login.tenant_of("https://login.test/a.b/v2.0");
        let tenant = tenant.expect("a tenant");
        assert_eq!(tenant.as_str(), "a.b");
        assert_eq!(login.filled(&tenant), "https://login.test/a.b/v2.0");
        for url in [
            "https://login.test/a/v2.0/",
            "https://login.test/a/v1.0",
            "https://login.test//v2.0",
            "https://login.test/v2.0",
            "https://login.test/../v2.0",
            "https://login.test/a/b/v2.0",
            "https://login.test/a/v2.0?x",
            "https://login.test/a/v2.0/v2.0",
            "https://login.test/{tenant}/v2.0",
            "https://login.test/a%2e/v2.0",
            "https://login.test.evil.test/a/v2.0",
            "http://login.test/a/v2.0",
            "HTTPS://login.test/a/v2.0",
            " https://login.test/a/v2.0",
            "",
        ] {
            assert_eq!(login.tenant_of(url), None, "{url}");
        }
        let realms = template("https://id.test/realms/{realm}");
        let tenant = realms.tenant_of("https://id.test/realms/shop");
        assert_eq!(tenant.expect("a tenant").as_str(), "shop");
        assert_eq!(realms.tenant_of("https://id.test/realms/"), None);
        // Before and after may overlap in a short URL.
        let same = template("https://id.test/{a}/");
        assert_eq!(same.tenant_of("https://id.test/"), None);
    }

    #[test]
    fn parameter_is_one_whole_segment_of_the_path() {
        assert_eq!(TenantTemplate::parse("https://id.test/v2.0"), Ok(None));
        let not_a_segment = |name: &str| TenantTemplateError::NotASegment(name.to_owned());
        for (text, expected) in [
            ("https://{tenant}.test/v2.0", not_a_segment("tenant")),
            ("https://{tenant}/v2.0", not_a_segment("tenant")),
            ("https://id.test:{port}/v2.0", not_a_segment("port")),
            ("https:///{tenant}", not_a_segment("tenant")),
            ("https://id.test/a-{tenant}", not_a_segment("tenant")),
            ("https://id.test/{tenant}-a/b", not_a_segment("tenant")),
            ("https://id.test/a?b=/{tenant}", not_a_segment("tenant")),
            ("https://id.test/a#/{tenant}", not_a_segment("tenant")),
            ("{tenant}", not_a_segment("tenant")),
            ("urn:id:{tenant}", not_a_segment("tenant")),
            ("/{tenant}/v2.0", not_a_segment("tenant")),
            (
                "https://id.test/{a}/{b}",
                TenantTemplateError::SeveralParameters("a".to_owned(), "b".to_owned()),
            ),
            ("https://id.test/{a", TenantTemplateError::UnpairedBrace),
            ("https://id.test/a}", TenantTemplateError::UnpairedBrace),
            ("https://id.test/{{a}}", TenantTemplateError::UnpairedBrace),
            ("https://id.test/{a}/}", TenantTemplateError::UnpairedBrace),
            (
                "https://id.test/{}",
                TenantTemplateError::InvalidName(String::new()),
            ),
            (
                "https://id.test/{*rest}",
                TenantTemplateError::InvalidName("*rest".to_owned()),
            ),
        ] {
            assert_eq!(TenantTemplate::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn templates_share_a_url_only_where_both_find_a_tenant() {
        let any = || TenantName::parse("x").ok();
        let login = template("https://id.test/{tenant}/v2.0");
        for (other, expected) in [
            (
                "https://id.test/{other}/v2.0",
                Some("https://id.test/x/v2.0"),
            ),
            (
                "https://id.test/a/{version}",
                Some("https://id.test/a/v2.0"),
            ),
            ("https://id.test/a/b/{version}", None),
            ("https://id.test/{tenant}/v1.0", None),
            ("https://id2.test/{tenant}/v2.0", None),
            ("https://id.test/{tenant}", None),
        ] {
            let shared = login.shared_with(&template(other), any);
            assert_eq!(shared.as_deref(), expected, "{other}");
            let shared = template(other).shared_with(&login, any);
            assert_eq!(shared.as_deref(), expected, "{other}, turned");
        }
        assert_eq!(login.shared_with(&login, || None), None);
    }
}
