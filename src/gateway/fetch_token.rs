//! The bearer token that fetches an issuer's metadata and keys: `jwks_token`.

use std::fmt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::{Origin, Url};
use zeroize::Zeroizing;

use crate::files;
use crate::http_client::FetchCredentials;
use crate::oauth::bearer::BearerToken;

/// The maximum size of the file. Tokens of service accounts take about 1 KiB.
const MAX_FILE: u64 = 1024 * 1024;
/// The maximum length of a token. Servers refuse longer headers.
const MAX_TOKEN: usize = 16 * 1024;

/// A token, and the origins that may see it. `Debug` does not show it.
pub(super) struct FetchToken {
    origins: Vec<Origin>,
    source: TokenSource,
}

/// Where the token is.
pub(super) enum TokenSource {
    /// In the configuration or the environment: it changes only with the configuration.
    Fixed(SecretString),
    /// In this file, which is read for each fetch: Kubernetes replaces its tokens.
    File(PathBuf),
}

impl FetchToken {
    /// A token that is sent to the origins of `urls` and to no other.
    pub(super) fn new(source: TokenSource, urls: &[Url]) -> Self {
        let origins = urls.iter().map(Url::origin);
        Self {
            origins: origins.filter(Origin::is_tuple).collect(),
            source,
        }
    }

    /// `Authorization`, with the token as it is now.
    ///
    /// # Errors
    /// Why there is none. The text names the file and never its content.
    pub(super) fn header(&self) -> Result<HeaderValue, String> {
        match &self.source {
            TokenSource::Fixed(token) => header(token.expose_secret())
                .ok_or_else(|| format!("expected {WELL_FORMED}, but found other characters")),
            TokenSource::File(path) => from_file(path)
                .map_err(|found| format!("expected a bearer token in {path:?}, but found {found}")),
        }
    }
}

const WELL_FORMED: &str = "a bearer token: letters, digits, and -._~+/ with = at the end";

fn from_file(path: &Path) -> Result<HeaderValue, String> {
    let bytes = files::read(path, MAX_FILE).map_err(|error| error.to_string())?;
    let bytes = Zeroizing::new(bytes);
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err("a blank file".to_owned());
    }
    if text.len() > MAX_TOKEN {
        return Err(format!("more than {MAX_TOKEN} bytes"));
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(header)
        .ok_or_else(|| format!("something else than {WELL_FORMED}"))
}

fn header(token: &str) -> Option<HeaderValue> {
    let token = token.trim();
    BearerToken::parse(token).filter(|token| token.as_str().len() <= MAX_TOKEN)?;
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl FetchCredentials for FetchToken {
    fn authorization(&self, url: &str) -> Result<Option<HeaderValue>, String> {
        let is_for = |origin: Origin| self.origins.contains(&origin);
        if Url::parse(url).is_ok_and(|url| is_for(url.origin())) {
            self.header().map(Some)
        } else {
            Ok(None)
        }
    }
}

impl fmt::Debug for FetchToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FetchToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn fixed(token: &str, urls: &[&str]) -> FetchToken {
        let urls: Vec<_> = urls
            .iter()
            .map(|url| Url::parse(url).expect("a URL"))
            .collect();
        FetchToken::new(TokenSource::Fixed(token.into()), &urls)
    }

    #[test]
    fn only_the_same_scheme_host_and_port_gets_the_token() {
        let token = fixed("abc", &["https://id.test/realm", "data:text/plain,x"]);
        for url in [
            "https://id.test/keys",
            "https://id.test:443/",
            "https://ID.test",
        ] {
            let value = token.authorization(url).expect("a token").expect(url);
            assert_eq!(value, "Bearer abc");
            assert!(value.is_sensitive());
        }
        for url in [
            "http://id.test/keys",
            "https://id.test:8443/keys",
            "https://id.test.evil.test/keys",
            "https://evil.test/https://id.test/",
            "https://id.test@evil.test/",
            "https://keys.id.test/",
            "https://id.test./keys",
            "data:text/plain,x",
            "",
        ] {
            assert_eq!(token.authorization(url), Ok(None), "{url}");
        }
    }

    #[test]
    fn file_is_read_for_each_fetch_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let token = FetchToken::new(TokenSource::File(path.clone()), &[]);
        assert!(token.header().expect_err("no file").contains("none"));
        for text in ["first", "second\n", " third== \r\n"] {
            fs::write(&path, text).expect("a file");
            let header = token.header().expect(text);
            assert_eq!(header, format!("Bearer {}", text.trim()));
        }
        let long = "a".repeat(MAX_TOKEN + 1);
        let huge = "a".repeat(2 * 1024 * 1024);
        for text in [
            "",
            " \n",
            "se cret",
            "se\r\nX: cret",
            "sécret",
            &long,
            &huge,
        ] {
            fs::write(&path, text).expect("a file");
            let error = token.header().expect_err("no token");
            assert!(error.len() < 300 && !error.contains("cret"), "{error}");
        }
        let fixed = fixed("secret value", &[]);
        assert!(!fixed.header().expect_err("a space").contains("value"));
        assert_eq!(format!("{fixed:?}"), "FetchToken(…)");
    }
}
