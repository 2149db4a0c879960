//! Reserved names and hop-by-hop fields.

use std::net::IpAddr;

use super::forwarded::{X_FORWARDED_FOR, text_of};
use super::*;

fn client(trusted: bool) -> ClientInfo {
    ClientInfo::new(
        IpAddr::from([192, 0, 2, 7]).into(),
        trusted,
        HeaderValue::from_static("http"),
    )
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        })
        .collect()
}

fn forwarded(fields: &[(&str, &str)], reserved: &ReservedHeaders, trusted: bool) -> HeaderMap {
    let mut headers = headers(fields);
    let added = rewrite_request(&mut headers, Version::HTTP_11, reserved, &client(trusted))
        .expect("nothing is nominated");
    added.append_to(&mut headers);
    headers
}

#[test]
fn address_is_written_as_std_writes_it() {
    for address in [
        "0.0.0.0",
        "1.20.255.100",
        "255.255.255.255",
        "::",
        "2001:db8::7",
        "::ffff:192.0.2.1",
    ] {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(text_of(address), address.to_string());
    }
}

#[test]
fn r39_reserved_names_are_removed_in_every_spelling() {
    let reserved = ReservedHeaders::new([HeaderName::from_static("x-client-id")]);
    let spellings = [
        "X-Client-Id",
        "x_client_id",
        "x.client.id",
        "X-Client_Id",
        "x-client.id",
        // lighttpd gives CGI programs `_` for every character but letters and digits.
        "x+client+id",
        "X~Client!Id",
        "x-client'id",
    ];
    let kept = forwarded(&spellings.map(|name| (name, "forged")), &reserved, false);
    assert!(kept.iter().all(|(_, value)| value != "forged"), "{kept:?}");
    let spellings = [
        "X-Forwarded-For",
        "x_forwarded_for",
        "X-Forwarded-Prefix",
        "Forwarded",
        "X-Real-IP",
        "x_real.ip",
        "x^forwarded|for",
        "x`real`ip",
        "transfer+encoding",
        "content*length",
    ];
    let kept = forwarded(&spellings.map(|name| (name, "forged")), &reserved, false);
    assert!(kept.iter().all(|(_, value)| value != "forged"), "{kept:?}");
}

#[test]
fn r39_connection_must_not_name_a_field_that_is_set_or_needed() {
    let reserved = ReservedHeaders::new([HeaderName::from_static("x-client-id")]);
    for name in [
        "Host",
        "authorization",
        "X-Client-Id",
        "x_client_id",
        "x+client#id",
        "X-Forwarded-For",
        "content-length",
    ] {
        let mut headers = headers(&[("connection", &format!("close, {name}"))]);
        let refused = rewrite_request(&mut headers, Version::HTTP_11, &reserved, &client(false));
        assert_eq!(
            refused.err(),
            Some(ForbiddenConnectionOption(name.to_ascii_lowercase()))
        );
    }
}

#[test]
fn r40_hop_by_hop_fields_are_removed_with_those_that_connection_names() {
    let sent = forwarded(
        &[
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip, trailers"),
            ("upgrade", "h2c"),
            ("x-end", "to-end"),
        ],
        &ReservedHeaders::default(),
        false,
    );
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "upgrade",
    ] {
        assert!(!sent.contains_key(name), "{name} went through");
    }
    assert_eq!(sent["te"], "trailers");
    assert_eq!(sent["x-end"], "to-end");
}

#[test]
fn upstream_learns_the_client_from_its_connection() {
    let fields = [
        ("host", "api.example.com:8080"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
    ];
    let sent = forwarded(&fields, &ReservedHeaders::new([]), false);
    assert_eq!(sent["x-forwarded-for"], "192.0.2.7");
    assert_eq!(sent["x-forwarded-proto"], "http");
    assert_eq!(sent["x-forwarded-host"], "api.example.com:8080");
    assert_eq!(
        sent["forwarded"],
        r#"for=192.0.2.7;host="api.example.com:8080";proto=http"#
    );
    assert_eq!(sent["via"], "1.1 scopegate");
}

#[test]
fn headers_of_a_trusted_proxy_are_kept_and_appended_to() {
    let fields = [
        ("host", "inner"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "198.51.100.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.example.com"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 edge"),
    ];
    let sent = forwarded(&fields, &ReservedHeaders::new([]), true);
    assert_eq!(
        sent["x-forwarded-for"],
        "203.0.113.9, 198.51.100.2, 192.0.2.7"
    );
    assert_eq!(sent["x-forwarded-proto"], "https");
    assert_eq!(sent["x-forwarded-host"], "api.example.com");
    assert_eq!(
        sent["forwarded"],
        r#"for=203.0.113.9, for=192.0.2.7;host="api.example.com";proto=https"#
    );
    let via: Vec<_> = sent.get_all("via").iter().collect();
    assert_eq!(via, ["1.1 edge", "1.1 scopegate"]);
}

#[test]
fn client_address_is_the_nearest_one_that_is_not_a_trusted_proxy() {
    let proxies = |address: IpAddr| {
        address == IpAddr::from([192, 0, 2, 7]) || address == IpAddr::from([192, 0, 2, 8])
    };
    let client_address = |lines: &[&[u8]], trusted| {
        let values = lines.iter().map(|line| {
            (
                X_FORWARDED_FOR,
                HeaderValue::from_bytes(line).expect("a header value"),
            )
        });
        let headers: HeaderMap = values.collect();
        client(trusted)
            .client_address(&headers, proxies)
            .to_string()
    };
    for (lines, expected) in [
        (&[][..], "192.0.2.7"),
        (&[&b"10.0.0.1"[..]], "10.0.0.1"),
        (&[b"10.9.9.9, 10.0.0.1"], "10.0.0.1"),
        (&[b"10.0.0.1, 192.0.2.8"], "10.0.0.1"),
        (&[b"10.9.9.9", b"10.0.0.1,192.0.2.8"], "10.0.0.1"),
        (&[b"10.0.0.1:4711"], "10.0.0.1"),
        (&[b"[2001:db8::1]:80"], "2001:db8::1"),
        (&[b"::ffff:10.0.0.1"], "10.0.0.1"),
        (&[b"\xff, 10.0.0.1"], "10.0.0.1"),
        (&[b"10.9.9.9, \xff"], "192.0.2.7"),
        (&[b"10.9.9.9, unknown, 192.0.2.8"], "192.0.2.8"),
    ] {
        assert_eq!(client_address(lines, true), expected, "{lines:?}");
        assert_eq!(client_address(lines, false), "192.0.2.7", "{lines:?}");
    }
}

#[test]
fn client_that_its_proxy_does_not_name_is_unknown() {
    let proxies = |address: IpAddr| address == IpAddr::from([192, 0, 2, 7]);
    for (line, is_known) in [
        (&b"10.0.0.1"[..], true),
        (b"unknown, 10.0.0.1", true),
        (b"192.0.2.7", true),
        (b"unknown", false),
        (b"unix:", false),
        (b"", false),
        (b"10.0.0.1,", false),
        (b"10.0.0.1, -", false),
        (b"10.0.0.1, _hidden, 192.0.2.7", false),
        (b"10.0.0.1, \xff", false),
    ] {
        let value = HeaderValue::from_bytes(line).expect("a header value");
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, value)]);
        let reported = client(true).reported_address(&headers, proxies);
        assert_eq!(reported.is_ok(), is_known, "{line:?}");
        assert!(client(false).reported_address(&headers, proxies).is_ok());
    }
    let none = client(true).reported_address(&HeaderMap::new(), proxies);
    assert!(none.is_ok(), "the request is the proxy's own");
}

#[test]
fn every_hop_by_hop_field_is_removed() {
    for name in HOP_BY_HOP {
        let mut headers = headers(&[(name.as_str(), "x"), ("x-stays", "1")]);
        let special = Special::of(&headers);
        assert_eq!(special.has_connection(), name == header::CONNECTION);
        special.strip_hop_by_hop(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["x-stays"],
            "{name}"
        );
    }
}
