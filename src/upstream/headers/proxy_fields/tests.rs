//! The well-formed parts of a trusted proxy's headers.

use http::HeaderMap;
use http::header::FORWARDED;

use super::*;

fn lines(values: &[&[u8]]) -> HeaderMap {
    let values = values
        .iter()
        .map(|value| HeaderValue::from_bytes(value).expect("a header value"));
    values.map(|value| (FORWARDED, value)).collect()
}

fn text(value: Option<HeaderValue>) -> Option<String> {
    value.map(|value| value.to_str().expect("ASCII").to_owned())
}

#[test]
fn addresses_start_behind_the_last_malformed_element() {
    for (values, expected) in [
        (&[&b"203.0.113.9"[..]][..], Some("203.0.113.9")),
        (
            &[b"203.0.113.9, 198.51.100.2:4711,[2001:db8::1]:80, [::1]"],
            Some("203.0.113.9, 198.51.100.2:4711,[2001:db8::1]:80, [::1]"),
        ),
        (&[b"203.0.113.9", b"::1"], Some("203.0.113.9, ::1")),
        (
            &[b"203.0.113.9, <script>, 198.51.100.2, ::1"],
            Some("198.51.100.2, ::1"),
        ),
        (&[b"\xff,198.51.100.2"], Some("198.51.100.2")),
        (
            &[b"203.0.113.9", b"unknown,198.51.100.2", b"::1"],
            Some("198.51.100.2, ::1"),
        ),
        (&[b"203.0.113.9", b"unknown", b"::1"], Some("::1")),
        (&[b"203.0.113.9, , 198.51.100.2"], Some("198.51.100.2")),
        (&[b"203.0.113.9,"], None),
        (&[b"203.0.113.9, 10.0.0.256"], None),
        (&[b"203.0.113.9, 10.0.0.1; DROP"], None),
        (&[b""], None),
        (&[], None),
    ] {
        assert_eq!(
            text(addresses(lines(values).get_all(FORWARDED))).as_deref(),
            expected,
            "{values:?}"
        );
    }
}

#[test]
fn elements_start_behind_the_last_malformed_one() {
    for whole in [
        "for=192.0.2.60",
        "For=192.0.2.60;proto=http;by=203.0.113.43",
        "for=\"[2001:db8:cafe::17]:4711\";host=\"api.test:8080\"",
        "for=unknown, for=_hidden, for=\"_SEVKISEK:_port\", for=\"192.0.2.1:80\"",
        "for=192.0.2.60; proto=https, for=192.0.2.61",
        "secret=\"a,b;c=\\\"d\\\\\";for=192.0.2.60",
    ] {
        assert_eq!(
            text(elements(lines(&[whole.as_bytes()]).get_all(FORWARDED))).as_deref(),
            Some(whole)
        );
    }
    for bad in [
        "",
        "for",
        "for=",
        "=1.2.3.4",
        "for=1.2.3.4:80",
        "for=1.2.3.4;for=1.2.3.4",
        "for=1.2.3.4;",
        "for=1.2.3.4;;proto=http",
        "for=1.2.3.4,",
        "for=1.2.3.4 proto=http",
        "for=<script>",
        "for=\"[::1\"",
        "for=\"[1.2.3.4]\"",
        "for=\"1.2.3.4:99999\"",
        "for=_",
        "for=somebody",
        "proto=javascript",
        "host=\"a b\"",
        "host=\"user@a\"",
        "f or=1.2.3.4",
        "x=\"\u{e9}\"",
        "x=\"open",
    ] {
        let list = |element: &str| {
            let value = format!("for=192.0.2.1, {element}, for=192.0.2.2,for=unknown");
            text(elements(lines(&[value.as_bytes()]).get_all(FORWARDED)))
        };
        // An open quote takes the rest of the line with it.
        let expected = (!bad.ends_with("open")).then_some("for=192.0.2.2,for=unknown");
        assert_eq!(list(bad).as_deref(), expected, "{bad:?}");
        let alone = text(elements(
            lines(&[b"for=192.0.2.1", bad.as_bytes(), b"for=192.0.2.2"]).get_all(FORWARDED),
        ));
        assert_eq!(
            alone.as_deref(),
            Some("for=192.0.2.2"),
            "{bad:?} on a line of its own"
        );
    }
}

#[test]
fn other_schemes_and_invalid_hosts_are_dropped() {
    for (values, expected) in [
        (&[&b"https"[..]][..], Some("https")),
        (&[b"HTTP"], Some("http")),
        (&[b"wss"], Some("https")),
        (&[b"ws"], Some("http")),
        (&[b"https, http"], Some("http")),
        (&[b"javascript", b"https"], Some("https")),
        (&[b"https", b"javascript"], None),
        (&[b"https, javascript"], None),
        (&[b"\xff"], None),
        (&[b""], None),
        (&[], None),
    ] {
        assert_eq!(
            text(scheme(lines(values).get_all(FORWARDED))).as_deref(),
            expected,
            "{values:?}"
        );
    }
    for (values, expected) in [
        (&[&b"api.test"[..]][..], Some("api.test")),
        (
            &[b"api.test:8080, [::1]:80"],
            Some("api.test:8080, [::1]:80"),
        ),
        (&[b"forged", b"api.test"], Some("api.test")),
        (&[b"a b"], None),
        (&[b"a\"b"], None),
        (&[b"user@a"], None),
        (&[b"api.test,"], None),
        (&[b"\xff"], None),
        (&[b""], None),
        (&[], None),
    ] {
        assert_eq!(
            text(hosts(lines(values).get_all(FORWARDED))).as_deref(),
            expected,
            "{values:?}"
        );
    }
}
