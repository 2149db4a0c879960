//! The headers in which a trusted proxy describes its client.
//!
//! A proxy appends to `X-Forwarded-For` and `Forwarded` (RFC 7239), and often passes on earlier
//! elements that anybody may have written. So a malformed element ends the list: it and everything
//! to its left are dropped, and the elements to its right are forwarded. Of `X-Forwarded-Proto` and
//! `X-Forwarded-Host` only the last line counts, which the proxy itself has written, and of the
//! former its last element. A value that is no HTTP scheme or no host is dropped: upstreams build
//! links and redirects with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderValue;
use http::header::GetAll;

use crate::oauth::bearer::is_token_character;
use crate::policy::host::normal_host;

/// The elements of `X-Forwarded-For` behind the last one that is no address.
pub(super) fn addresses(lines: GetAll<'_, HeaderValue>) -> Option<HeaderValue> {
    well_formed_end(lines, |line| {
        let mut start = line.len();
        for element in line.rsplit(|byte| *byte == b',') {
            if address(element).is_none() {
                return Some(start).filter(|start| *start < line.len());
            }
            // Behind the comma that stands before the element.
            start = start - element.len() - usize::from(start < line.len());
        }
        Some(0)
    })
}

/// The elements of `Forwarded` behind the last one that is malformed (RFC 7239 §4).
pub(super) fn elements(lines: GetAll<'_, HeaderValue>) -> Option<HeaderValue> {
    well_formed_end(lines, |line| {
        let (mut start, mut place) = (Some(0), 0);
        while place <= line.len() {
            let length = element_length(&line[place..]);
            let is_well_formed = is_element(&line[place..place + length]);
            place += length + 1;
            match (is_well_formed, start) {
                (true, None) => start = Some(place - length - 1),
                (true, Some(_)) => {}
                (false, _) => start = None,
            }
        }
        start
    })
}

/// The scheme in `X-Forwarded-Proto`.
///
/// Some proxies send `wss` for a WebSocket over TLS (RFC 6455 §3); it becomes `https`.
pub(super) fn scheme(lines: GetAll<'_, HeaderValue>) -> Option<HeaderValue> {
    let line = lines.iter().next_back()?.as_bytes();
    let last = line.rsplit(|byte| *byte == b',').next()?.trim_ascii();
    let is_one_of = |names: [&str; 2]| {
        names
            .iter()
            .any(|name| last.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is_one_of(["https", "wss"]) {
        Some(HeaderValue::from_static("https"))
    } else if is_one_of(["http", "ws"]) {
        Some(HeaderValue::from_static("http"))
    } else {
        None
    }
}

/// The host in `X-Forwarded-Host`, or the list of hosts.
pub(super) fn hosts(lines: GetAll<'_, HeaderValue>) -> Option<HeaderValue> {
    let line = lines.iter().next_back()?;
    let is_host = |host: &str| normal_host(host.trim_matches([' ', '\t'])).is_ok();
    line.to_str()
        .is_ok_and(|hosts| hosts.split(',').all(is_host))
        .then(|| line.clone())
}

/// An address. Some proxies add the port, or write an IPv6 address in brackets.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
            .map(IpAddr::V6)
    };
    let address = text.parse().ok().or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

// Lines form one list (RFC 9110 §5.3). `start_of` finds the well-formed end of a line.
fn well_formed_end(
    lines: GetAll<'_, HeaderValue>,
    start_of: impl Fn(&[u8]) -> Option<usize>,
) -> Option<HeaderValue> {
    let mut parts = Vec::new();
    for line in lines.iter().rev() {
        let bytes = line.as_bytes();
        let start = start_of(bytes);
        parts.extend(start.map(|start| bytes[start..].trim_ascii()));
        if start != Some(0) {
            break;
        }
        if parts.len() == 1 && lines.iter().nth(1).is_none() {
            return Some(line.clone()).filter(|line| !line.is_empty());
        }
    }
    parts.reverse();
    HeaderValue::from_bytes(&parts.join(&b", "[..]))
        .ok()
        .filter(|value| !value.is_empty())
}

// Up to the next comma that is not quoted.
fn element_length(bytes: &[u8]) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let ends = bytes.iter().position(|byte| {
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = is_quoted && !is_escaped && *byte == b'\\';
        *byte == b',' && !is_quoted
    });
    ends.unwrap_or(bytes.len())
}

// `forwarded-pair *( ";" forwarded-pair )`. Many proxies write a space behind the semicolon.
fn is_element(element: &[u8]) -> bool {
    let Ok(mut rest) = str::from_utf8(element) else {
        return false;
    };
    let mut named = Vec::new();
    loop {
        let Some((name, behind)) = rest.split_once('=') else {
            return false;
        };
        let name = name.trim_matches([' ', '\t']).to_ascii_lowercase();
        let Some((value, behind)) = value(behind) else {
            return false;
        };
        // Each parameter occurs at most once (RFC 7239 §4).
        if name.is_empty()
            || !name.bytes().all(is_token_character)
            || named.contains(&name)
            || !is_valid_value(&name, value)
        {
            return false;
        }
        named.push(name);
        match behind.trim_matches([' ', '\t']).strip_prefix(';') {
            Some(behind) => rest = behind,
            None => return behind.trim_matches([' ', '\t']).is_empty(),
        }
    }
}

// A token or a quoted string without its quotes, and the text behind it.
fn value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut is_escaped = false;
        let end = quoted.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = !is_escaped && byte == b'\\';
            ends
        })?;
        let is_text = quoted[..end]
            .bytes()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        return is_text.then(|| (&quoted[..end], &quoted[end + 1..]));
    }
    let end = text
        .bytes()
        .position(|byte| !is_token_character(byte))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

// RFC 7239 §5.
fn is_valid_value(name: &str, value: &str) -> bool {
    match name {
        "for" | "by" => is_node(value),
        "proto" => ["http", "https", "ws", "wss"]
            .iter()
            .any(|scheme| value.eq_ignore_ascii_case(scheme)),
        "host" => normal_host(value).is_ok(),
        _ => true,
    }
}

// RFC 7239 §6: an address, `unknown` or a name that hides one, and a port.
fn is_node(node: &str) -> bool {
    let is_hidden = |text: &str| {
        text.strip_prefix('_').is_some_and(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        })
    };
    let is_port = |text: &str| {
        is_hidden(text)
            || text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (name, port) = match node.strip_prefix('[').and_then(|node| node.split_once(']')) {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => ("unknown", port),
        Some(_) => return false,
        None => node.split_at(node.find(':').unwrap_or(node.len())),
    };
    let is_name =
        name.eq_ignore_ascii_case("unknown") || name.parse::<Ipv4Addr>().is_ok() || is_hidden(name);
    is_name && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests;
