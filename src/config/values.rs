//! How single values are read: texts, addresses, URLs, one of several words.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use super::hints;
use super::names::{did_you_mean, quoted_list};
use crate::values::Keyword;

/// Signature algorithms with a private and a public key (RFC 7518 §3.1, RFC 8037 §3.1).
pub(super) const PUBLIC_KEY_ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

/// A value that is not what it should be.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) expected: String,
    /// What stands there instead, unless [`describe`] may print it.
    pub(super) found: Option<String>,
    pub(super) help: Option<String>,
}

pub(super) fn expected(what: impl Into<String>) -> Mismatch {
    Mismatch {
        expected: what.into(),
        found: None,
        help: None,
    }
}

impl Mismatch {
    pub(super) fn but_found(self, what: impl Into<String>) -> Self {
        Self {
            found: Some(what.into()),
            ..self
        }
    }

    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// With this remedy, unless it has one.
    pub(super) fn or_help(self, help: Option<String>) -> Self {
        Self {
            help: self.help.or(help),
            ..self
        }
    }
}

/// A value as a message shows it: what is short is quoted, the rest is named by its kind.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    const LONGEST: usize = 80;
    match value {
        DeValue::String(text) if text.chars().count() <= LONGEST => format!("{text:?}"),
        DeValue::String(text) => format!("{:?}…", text.chars().take(LONGEST).collect::<String>()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => kind(value).to_owned(),
    }
}

/// The kind of a value whose content no message may show.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Mismatch> {
    value
        .as_bool()
        .ok_or_else(|| expected("true or false").or_help(hints::boolean(value)))
}

/// Any text, the empty one included.
pub(super) fn any_text(value: &DeValue<'_>) -> Result<String, Mismatch> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| expected("a string"))
}

pub(super) fn text(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| {
        let number = value
            .as_integer()
            .map(|number| format!("write \"{number}\", in quotes"));
        expected("a string that is not empty").or_help(number)
    })
}

/// The spelling of one of a closed set of values.
pub(super) fn keyword<T: Keyword>(value: &DeValue<'_>) -> Result<T, Mismatch> {
    let text = value.as_str().unwrap_or_default();
    T::from_keyword(text).ok_or_else(|| {
        let known: Vec<_> = T::KEYWORDS.iter().map(|(keyword, _)| *keyword).collect();
        let begins_alike = || {
            known
                .iter()
                .find(|keyword| text.len() > 3 && text.starts_with(**keyword))
        };
        let near = did_you_mean(text, &known)
            .or_else(|| begins_alike().map(|keyword| format!("did you mean {keyword:?}?")));
        Mismatch {
            help: near,
            ..expected(quoted_list(&known, "or"))
        }
    })
}

/// One of several words that mean themselves.
pub(super) fn name(
    names: &'static [&'static str],
) -> impl Fn(&DeValue<'_>) -> Result<&'static str, Mismatch> {
    move |value| {
        let text = value.as_str().unwrap_or_default();
        names
            .iter()
            .find(|name| **name == text)
            .copied()
            .ok_or_else(|| Mismatch {
                help: did_you_mean(text, names),
                ..expected(quoted_list(names, "or"))
            })
    }
}

pub(super) fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Mismatch> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            let usual = || {
                "such as \"127.0.0.1:8080\" or \"[::1]:8080\"; names are not resolved".to_owned()
            };
            expected("an IP address and a port")
                .with_help(hints::socket_address(value).unwrap_or_else(usual))
        })
}

/// A network, or one address as a network of its own.
pub(super) fn network(value: &DeValue<'_>) -> Result<IpNet, Mismatch> {
    let parse = |text: &str| {
        text.parse()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let hint = || value.as_str().and_then(hints::network);
    value
        .as_str()
        .and_then(parse)
        .ok_or_else(|| expected("a network such as \"10.0.0.0/8\"").or_help(hint()))
}

/// A path, taken from `folder` where it is relative.
pub(super) fn path(folder: &Path) -> impl Fn(&DeValue<'_>) -> Result<PathBuf, Mismatch> {
    move |value| {
        let mismatch = || expected("the path of a file");
        let path = text(value).map_err(|_| mismatch())?;
        if path.contains("://") {
            Err(mismatch().with_help("a URL is none"))
        } else {
            Ok(folder.join(path))
        }
    }
}

/// An `http` or `https` URL with a host, without credentials or fragment.
pub(super) fn url(value: &DeValue<'_>) -> Result<Url, Mismatch> {
    url_that(value, "an http or https URL", |_| true)
}

/// A URL of scheme, host and port alone.
pub(super) fn origin(value: &DeValue<'_>) -> Result<Url, Mismatch> {
    let bare = |url: &Url| url.path() == "/" && url.query().is_none() && url.port() != Some(0);
    url_that(
        value,
        "an http or https URL of only scheme, host and port",
        bare,
    )
}

fn url_that(
    value: &DeValue<'_>,
    what: &str,
    is_good: impl Fn(&Url) -> bool,
) -> Result<Url, Mismatch> {
    let mismatch = || expected(what);
    let text = value.as_str().ok_or_else(mismatch)?;
    let read = |text: &str| parse_url(text).filter(&is_good);
    read(text).ok_or_else(|| {
        // Credentials are secrets, so what may hold some is not shown.
        let mismatch = if text.contains('@') {
            mismatch().but_found("one with credentials")
        } else {
            mismatch()
        };
        mismatch.or_help(hints::url(text, |proposed| read(proposed).is_some()))
    })
}

/// The parser forgives what browsers forgive: missing or extra slashes, tabs, backslashes, and characters that stand in no
/// URL (RFC 3986 §2). A gateway should not guess where it sends its tokens.
fn parse_url(text: &str) -> Option<Url> {
    let written_plainly = text
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.starts_with('/'))
        && !text.contains(|character: char| {
            character.is_whitespace() || character.is_control() || "\\<>{}|^`\"".contains(character)
        });
    let url = Url::parse(text).ok().filter(|_| written_plainly)?;
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let has_host = url
        .host_str()
        .is_some_and(|host| host.starts_with('[') || host.bytes().all(is_of_name));
    let is_good = has_host
        && matches!(url.scheme(), "http" | "https")
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_good.then_some(url)
}

/// The name of a host: of letters, digits and what stands between them.
pub(super) fn host_name(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let is_good = |text: &str| !text.is_empty() && text.bytes().all(is_of_name);
    let hint = || value.as_str().and_then(|text| hints::host(text, is_good));
    let name = value
        .as_str()
        .filter(|text| is_good(text))
        .map(str::to_owned);
    name.ok_or_else(|| expected("the name of a host").or_help(hint()))
}
