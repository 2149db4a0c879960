//! Writes one line of the access log into a buffer.
//!
//! The line has the format of tracing's subscriber, at a tenth of its cost. No value can end its line
//! or its field early: such characters are escaped, as in JSON or in Rust's `Debug` strings.

use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::client_limits::ClientAddress;

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Text.
    Plain,
    /// Text for a terminal with colours.
    Coloured,
    /// One JSON object.
    Json,
}

/// The style that new lines get. A reload may change it.
#[derive(Debug)]
pub(super) struct CurrentStyle(AtomicU8);

/// The name of a field in each style, with its separators. One copy writes all of it.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) plain: &'static str,
    pub(super) coloured: &'static str,
    pub(super) json: &'static str,
}

/// The [`Name`] of a field.
macro_rules! name {
    ($name:literal) => {
        $crate::telemetry::line::Name {
            plain: concat!(" ", $name, "="),
            coloured: concat!(" \x1b[3m", $name, "\x1b[0m\x1b[2m=\x1b[0m"),
            json: concat!(",\"", $name, "\":"),
        }
    };
}
pub(super) use name;

/// An incomplete line. [`end`](Line::end) completes it.
pub(super) struct Line<'l> {
    bytes: &'l mut Vec<u8>,
    style: Style,
}

impl CurrentStyle {
    pub(super) fn new(style: Style) -> Self {
        Self(AtomicU8::new(style as u8))
    }

    pub(super) fn set(&self, style: Style) {
        self.0.store(style as u8, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Style {
        let read = self.0.load(Ordering::Relaxed);
        [Style::Plain, Style::Coloured]
            .into_iter()
            .find(|style| *style as u8 == read)
            .unwrap_or(Style::Json)
    }
}

impl<'l> Line<'l> {
    /// Begins a line of level INFO.
    pub(super) fn begin(
        bytes: &'l mut Vec<u8>,
        style: Style,
        time: &str,
        message: &'static str,
    ) -> Self {
        let pieces = match style {
            Style::Plain => [time, "  INFO ", message, ""],
            Style::Coloured => ["\x1b[2m", time, "\x1b[0m \x1b[32m INFO\x1b[0m ", message],
            Style::Json => [
                "{\"timestamp\":\"",
                time,
                "\",\"level\":\"INFO\",\"message\":\"",
                message,
            ],
        };
        pieces
            .iter()
            .for_each(|piece| bytes.extend_from_slice(piece.as_bytes()));
        if style == Style::Json {
            bytes.push(b'"');
        }
        Self { bytes, style }
    }

    /// Writes a field with any text.
    pub(super) fn text(&mut self, name: Name, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    /// Writes a text field if it has a value.
    pub(super) fn optional(&mut self, name: Name, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Writes a field with a word, which the text styles do not quote unless it needs escapes.
    pub(super) fn word(&mut self, name: Name, value: &str) {
        self.name(name);
        if self.style == Style::Json || !is_plain(value) {
            self.quoted(value);
        } else {
            self.bytes.extend_from_slice(value.as_bytes());
        }
    }

    /// Writes a field with a number.
    pub(super) fn number(&mut self, name: Name, value: u64) {
        self.name(name);
        self.decimal(value);
    }

    /// Writes a field with an address.
    pub(super) fn address(&mut self, name: Name, address: ClientAddress) {
        self.name(name);
        let quote: &[u8] = if self.style == Style::Json {
            b"\""
        } else {
            b""
        };
        self.bytes.extend_from_slice(quote);
        match address {
            ClientAddress::Ip(IpAddr::V4(address)) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.bytes.push(b'.');
                    }
                    self.decimal(octet.into());
                }
            }
            ClientAddress::Ip(IpAddr::V6(address)) => self.display(address),
            ClientAddress::Unix => self.bytes.extend_from_slice(b"unix"),
        }
        self.bytes.extend_from_slice(quote);
    }

    /// Completes the line.
    pub(super) fn end(self) {
        self.bytes.extend_from_slice(if self.style == Style::Json {
            b"}\n"
        } else {
            b"\n"
        });
    }

    fn name(&mut self, name: Name) {
        let name = match self.style {
            Style::Plain => name.plain,
            Style::Coloured => name.coloured,
            Style::Json => name.json,
        };
        self.bytes.extend_from_slice(name.as_bytes());
    }

    fn quoted(&mut self, value: &str) {
        if is_plain(value) {
            self.bytes.push(b'"');
            self.bytes.extend_from_slice(value.as_bytes());
            self.bytes.push(b'"');
        } else if self.style == Style::Json {
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *self.bytes, value);
        } else {
            self.display(format_args!("{value:?}"));
        }
    }

    fn decimal(&mut self, value: u64) {
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut *self.bytes, &value);
    }

    fn display(&mut self, value: impl Display) {
        // Writing to memory cannot fail.
        let _ = write!(self.bytes, "{value}");
    }
}

// Whether a value needs no escapes in any style: printable ASCII without quotes and backslashes.
fn is_plain(value: &str) -> bool {
    let is_plain = |byte| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    // No early exit: this way the compiler checks many bytes at a time.
    value.bytes().fold(true, |all, byte| all & is_plain(byte))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "2026-11-21T13:46:38.123Z";

    fn written(style: Style, fill: impl FnOnce(&mut Line<'_>)) -> String {
        let mut bytes = Vec::new();
        let mut line = Line::begin(&mut bytes, style, TIME, "request");
        fill(&mut line);
        line.end();
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn example_fields(line: &mut Line<'_>) {
        line.word(name!("method"), "GET");
        line.text(name!("route"), "/a/{b}");
        line.number(name!("status"), 200);
        line.address(name!("client"), IpAddr::from([127, 0, 0, 1]).into());
    }

    #[test]
    fn plain_and_coloured_lines_have_the_format_of_tracing() {
        let plain = "2026-11-21T13:46:38.123Z  INFO request method=GET route=\"/a/{b}\" status=200 client=127.0.0.1\n";
        assert_eq!(written(Style::Plain, example_fields), plain);
        let coloured = written(Style::Coloured, example_fields);
        assert!(
            coloured.starts_with(
                "\x1b[2m2026-11-21T13:46:38.123Z\x1b[0m \x1b[32m INFO\x1b[0m request "
            )
        );
        assert!(coloured.contains(" \x1b[3mmethod\x1b[0m\x1b[2m=\x1b[0mGET "));
    }

    #[test]
    fn json_line_is_one_object() {
        let line: serde_json::Value =
            serde_json::from_str(&written(Style::Json, example_fields)).expect("JSON");
        let expected = serde_json::json!({
            "timestamp": TIME, "level": "INFO", "message": "request",
            "method": "GET", "route": "/a/{b}", "status": 200, "client": "127.0.0.1",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn address_has_its_standard_form() {
        for address in ["0.0.0.0", "255.10.0.9", "::1", "2001:db8::ff00:42:8329"] {
            let parsed: IpAddr = address.parse().expect("an address");
            let line = written(Style::Plain, |line| {
                line.address(name!("client"), parsed.into())
            });
            assert!(
                line.ends_with(&format!("request client={address}\n")),
                "{line}"
            );
        }
        let json = written(Style::Json, |line| {
            line.address(name!("client"), IpAddr::from(Ipv6Addr::LOCALHOST).into())
        });
        assert!(json.ends_with("\"client\":\"::1\"}\n"), "{json}");
    }

    #[test]
    fn current_style_is_the_one_set_last() {
        let current = CurrentStyle::new(Style::Plain);
        for style in [Style::Json, Style::Coloured, Style::Plain] {
            current.set(style);
            assert_eq!(current.read(), style);
        }
    }

    proptest! {
        #[test]
        fn no_value_can_forge_a_line_or_field(value in any::<String>(), style in 0..3_usize) {
            let style = [Style::Plain, Style::Coloured, Style::Json][style];
            let line = written(style, |line| { line.text(name!("a"), &value); line.word(name!("b"), &value); line.number(name!("c"), 7); });
            prop_assert_eq!(line.matches('\n').count(), 1);
            let escapes = if style == Style::Coloured { 2 + 2 + 3 * 4 } else { 0 };
            prop_assert_eq!(line.matches('\x1b').count(), escapes);
            if style == Style::Json {
                let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
                prop_assert_eq!((read["a"].as_str(), read["b"].as_str()), (Some(&*value), Some(&*value)));
            } else {
                prop_assert!(line.chars().all(|c| c == '\n' || c == '\x1b' || !c.is_control()));
            }
        }
    }
}
