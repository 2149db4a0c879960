//! The command line of `scopegate explain`. Arguments that may hold a token do not print
//! themselves.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use zeroize::Zeroizing;

/// The maximum size of a token file.
const MAX_TOKEN_FILE_SIZE: u64 = 1024 * 1024;

/// The arguments of `scopegate explain`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The method of the request
    pub(super) method: String,
    /// Its URL or path; for a path the host is that of external_url, or else of the first listener
    pub(super) url: String,
    /// An access token; @FILE reads a file, and - standard input, so that no process list shows it
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub(super) token: Option<TokenFrom>,
    /// A header of the request, such as 'X-Tenant: acme'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(super) headers: Vec<HeaderFrom>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
    /// Send nothing: an issuer's keys come from its jwks_file or from --jwks
    #[arg(long)]
    pub(super) offline: bool,
    /// Keys to use instead of those that the token's issuer publishes
    #[arg(long, value_name = "FILE")]
    pub(super) jwks: Option<PathBuf>,
}

/// Where a token comes from. It does not print itself.
#[derive(Clone)]
pub(super) enum TokenFrom {
    Argument(Zeroizing<String>),
    File(PathBuf),
    StandardInput,
}

/// A header as given. It may hold a token, so it does not print itself. clap does not parse it: its
/// error would repeat the text.
#[derive(Clone)]
pub(super) struct HeaderFrom(pub(super) Zeroizing<String>);

impl TokenFrom {
    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let (from, source): (String, io::Result<Box<dyn Read>>) = match self {
            Self::Argument(text) if text.trim().is_empty() => {
                return Err("--token: expected a token, but found an empty one".to_owned());
            }
            Self::Argument(text) => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
            Self::File(path) => (
                path.display().to_string(),
                File::open(path).map(|file| Box::new(file) as _),
            ),
            Self::StandardInput => ("standard input".to_owned(), Ok(Box::new(io::stdin()))),
        };
        let mut text = Zeroizing::new(Vec::new());
        source
            .and_then(|source| source.take(MAX_TOKEN_FILE_SIZE).read_to_end(&mut text))
            .map_err(|error| {
                format!("--token: expected a token in {from}, but found none: {error}")
            })?;
        match text.trim_ascii() {
            [] => Err(format!(
                "--token: expected a token in {from}, but found nothing"
            )),
            token => Ok(Zeroizing::new(token.to_vec())),
        }
    }
}

impl FromStr for TokenFrom {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.into()),
            None if text == "-" => Self::StandardInput,
            None => Self::Argument(Zeroizing::new(text.to_owned())),
        })
    }
}

impl FromStr for HeaderFrom {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for TokenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFrom(redacted)")
    }
}

impl fmt::Debug for HeaderFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderFrom(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_with_tokens_do_not_print_themselves() {
        let printed = format!(
            "{:?} {:?}",
            "secret".parse::<TokenFrom>(),
            "A: secret".parse::<HeaderFrom>()
        );
        assert!(!printed.contains("secret"), "{printed}");
    }
}
