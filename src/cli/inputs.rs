//! Arguments of several commands that may hold a token or a secret. They do not print themselves.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

/// Maximum size of a file.
const MAX_SIZE: u64 = 1024 * 1024;

/// Where a text comes from: the argument, a file (`@FILE`) or the standard input (`-`). It may be a
/// secret, so `Debug` hides it.
#[derive(Clone)]
pub(in crate::cli) enum TextFrom {
    Argument(Zeroizing<String>),
    File(PathBuf),
    StandardInput,
}

/// A header as given. It may hold a token, so `Debug` hides it. clap does not parse it: its error
/// would repeat the text.
#[derive(Clone)]
pub(in crate::cli) struct HeaderFrom(Zeroizing<String>);

impl TextFrom {
    /// Reads the text, without white space around it. `option` and `what` are for messages.
    pub(in crate::cli) fn read(
        &self,
        option: &str,
        what: &str,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let (from, source): (String, io::Result<Box<dyn Read>>) = match self {
            Self::Argument(text) if text.trim().is_empty() => {
                return Err(format!("{option}: expected {what}, but found an empty one"));
            }
            Self::Argument(text) => {
                return match file_name(text) {
                    Some(name) => Err(format!(
                        "{option}: expected {what}, but found the name of a file (did you mean {option} @{name}?)"
                    )),
                    None => Ok(Zeroizing::new(text.as_bytes().to_vec())),
                };
            }
            Self::File(path) => (
                path.display().to_string(),
                File::open(path).map(|file| Box::new(file) as _),
            ),
            Self::StandardInput => ("standard input".to_owned(), Ok(Box::new(io::stdin()))),
        };
        let mut text = Zeroizing::new(Vec::new());
        source
            .and_then(|source| source.take(MAX_SIZE).read_to_end(&mut text))
            .map_err(|error| {
                format!("{option}: expected {what} in {from}, but found none: {error}")
            })?;
        match text.trim_ascii() {
            [] => Err(format!(
                "{option}: expected {what} in {from}, but found nothing"
            )),
            text => Ok(Zeroizing::new(text.to_vec())),
        }
    }
}

// The text, if it names a file: `@` was left out. Nobody guesses a secret by naming a file, but a
// JWT is never repeated, whatever files there are.
fn file_name(text: &str) -> Option<&str> {
    const JWT_START: &str = "eyJ";
    let is_file = |name: &str| fs::metadata(name).is_ok_and(|found| found.is_file());
    (!text.starts_with(JWT_START) && is_file(text)).then_some(text)
}

impl HeaderFrom {
    /// Splits the header into its name and its value.
    pub(in crate::cli) fn parse(&self) -> Result<(HeaderName, HeaderValue), String> {
        let (name, value) = self
            .0
            .split_once(':')
            .ok_or("--header: expected NAME: VALUE, but found no colon")?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(
        |_| "--header: expected the name of a header before the colon, but found something else",
    )?;
        let mut value =
        HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()).map_err(|_| {
            format!(
                "--header: expected a value on one line for {name}, but found control characters"
            )
        })?;
        value.set_sensitive(name == header::AUTHORIZATION);
        Ok((name, value))
    }
}

impl FromStr for TextFrom {
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

impl fmt::Debug for TextFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextFrom(redacted)")
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
    fn debug_output_of_arguments_hides_tokens() {
        let debug = format!(
            "{:?} {:?}",
            "secret".parse::<TextFrom>(),
            "A: secret".parse::<HeaderFrom>()
        );
        assert!(!debug.contains("secret"), "{debug}");
    }
}
