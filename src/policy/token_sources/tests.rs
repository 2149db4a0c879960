use super::*;

const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";

fn sources() -> TokenSources {
    TokenSources {
        header: true,
        websocket_protocol: true,
        cookie: Some(CookieSource {
            name: "at".into(),
            origins: OriginList::parse(["https://app.example.com"].into_iter()).expect("an origin"),
        }),
    }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let one = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().expect("a name");
        (
            name,
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        )
    };
    lines.iter().map(one).collect()
}

fn extracted(lines: &[(&str, &str)], is_handshake: bool) -> Result<String, TokenError> {
    let (headers, decoded) = (headers(lines), DecodedToken::new());
    let token = sources().extract(&headers, is_handshake, &decoded);
    token.map(|token| token.as_str().to_owned())
}

fn of_protocols(protocols: &str) -> Result<String, TokenError> {
    extracted(&[("sec-websocket-protocol", protocols)], true)
}

const ORIGIN: (&str, &str) = ("origin", "https://app.example.com");

fn of_cookies(cookies: &str) -> Result<String, TokenError> {
    extracted(&[("cookie", cookies), ORIGIN], false)
}

#[test]
fn token_is_found_among_the_protocols_in_both_forms() {
    let token = Ok("a.b-c".to_owned());
    for protocols in [
        "bearer, a.b-c",
        "chat, bearer,a.b-c",
        "bearer ,\ta.b-c, chat",
        ",bearer,,a.b-c,",
        &format!("{KUBERNETES}YS5iLWM, chat"),
        &format!("chat,{KUBERNETES}YS5iLWM"),
    ] {
        assert_eq!(of_protocols(protocols), token, "{protocols}");
    }
    let lines = [
        ("sec-websocket-protocol", "chat, bearer"),
        ("sec-websocket-protocol", "a.b-c"),
    ];
    assert_eq!(extracted(&lines, true), token);
    // `a/b=` is a b64token, and no protocol.
    assert_eq!(
        of_protocols(&format!("{KUBERNETES}YS9iPQ, chat")),
        Ok("a/b=".to_owned())
    );
}

#[test]
fn protocols_without_exactly_one_token_are_refused() {
    for protocols in [
        "bearer",
        "chat, bearer",
        "bearer, a, bearer, b",
        "bearer, a/b",
        "bearer, a=",
        "bearer, a b",
        "bearer, \"a\"",
        "bearer, \u{e4}",
        "bearer, a!",
        "\u{e4}, bearer, a",
        &format!("{KUBERNETES}, chat"),
        &format!("{KUBERNETES}YS5iLWM=, chat"),
        &format!("{KUBERNETES}YS5iLWN, chat"),
        &format!("{KUBERNETES}YSBi, chat"),
        &format!("{KUBERNETES}_w, chat"),
        &format!("{KUBERNETES}YS5iLWM, {KUBERNETES}YS5iLWM, chat"),
        &format!("bearer, a, {KUBERNETES}YS5iLWM"),
    ] {
        let found = of_protocols(protocols);
        assert_eq!(found, Err(TokenError::MalformedProtocols), "{protocols}");
    }
    assert_eq!(
        of_protocols(&format!("{KUBERNETES}YS5iLWM")),
        Err(TokenError::NoOtherProtocol)
    );
}

#[test]
fn protocols_count_in_handshakes_only_and_by_their_exact_names() {
    let lines = [("sec-websocket-protocol", "bearer, a")];
    assert_eq!(extracted(&lines, false), Err(TokenError::NotSent));
    for protocols in [
        "chat",
        "Bearer, a",
        "BASE64URL.bearer.authorization.k8s.io.YQ, chat",
        "",
    ] {
        assert_eq!(
            of_protocols(protocols),
            Err(TokenError::NotSent),
            "{protocols}"
        );
    }
}

#[test]
fn cookie_is_found_by_its_exact_name() {
    for cookies in [
        "at=a.b",
        "x=1; at=a.b; y=2",
        "x;at=a.b",
        "at = a.b ;at2=c",
        "At=c; at=a.b",
    ] {
        assert_eq!(of_cookies(cookies), Ok("a.b".to_owned()), "{cookies}");
    }
    for cookies in ["x=1", "At=a", "xat=a", "at2=a", "x=at=a", "x=1, at=a", ""] {
        assert_eq!(of_cookies(cookies), Err(TokenError::NotSent), "{cookies}");
    }
}

#[test]
fn cookie_that_occurs_twice_or_is_no_token_is_refused() {
    for cookies in [
        "at=a; at=a",
        "at=a; x=1; at",
        "at=a;at =b",
        "at;at",
        "\tat=a; at=b",
    ] {
        assert_eq!(
            of_cookies(cookies),
            Err(TokenError::RepeatedCookie),
            "{cookies}"
        );
    }
    let lines = [("cookie", "at=a"), ("cookie", "at=b"), ORIGIN];
    assert_eq!(extracted(&lines, false), Err(TokenError::RepeatedCookie));
    for cookies in [
        "at=",
        "at",
        "at=\"a\"",
        "at=a b",
        "at=Bearer a",
        "at=a,b",
        "at=\u{e4}",
        "at=a=b",
    ] {
        assert_eq!(
            of_cookies(cookies),
            Err(TokenError::MalformedCookie),
            "{cookies}"
        );
    }
}

#[test]
fn cookie_counts_only_for_listed_pages_and_those_of_the_same_origin() {
    let at = ("cookie", "at=a");
    for lines in [
        &[ORIGIN][..],
        &[ORIGIN, ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-origin")],
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://api.example.com"),
        ],
    ] {
        let lines = [&[at], lines].concat();
        assert_eq!(extracted(&lines, false), Ok("a".to_owned()), "{lines:?}");
    }
    for lines in [
        &[][..],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[("origin", "https://app.example.com.evil.test")],
        &[("origin", "https://app.example.com/")],
        &[("origin", "http://app.example.com")],
        &[ORIGIN, ("origin", "https://evil.test")],
        &[ORIGIN, ORIGIN],
        &[("referer", "https://app.example.com/")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "Same-Origin")],
        &[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "cross-site"),
        ],
        &[("sec-fetch-site", "same-origin, cross-site")],
    ] {
        let lines = [&[at], lines].concat();
        assert_eq!(
            extracted(&lines, false),
            Err(TokenError::ForeignPage),
            "{lines:?}"
        );
    }
}

#[test]
fn two_sources_at_once_are_refused() {
    let bearer = ("authorization", "Bearer a");
    let (at, protocols) = (("cookie", "at=a"), ("sec-websocket-protocol", "bearer, a"));
    let basic = ("authorization", "Basic dGVzdDp0ZXN0");
    for lines in [
        &[bearer, at][..],
        &[bearer, protocols],
        &[at, protocols],
        &[bearer, at, protocols],
        &[basic, at],
        &[("authorization", "Bearer"), protocols],
    ] {
        let lines = [lines, &[ORIGIN]].concat();
        assert_eq!(
            extracted(&lines, true),
            Err(TokenError::SeveralSources),
            "{lines:?}"
        );
    }
    assert_eq!(
        extracted(&[basic], true),
        Err(TokenError::Header(BearerError::OtherScheme))
    );
    assert_eq!(
        extracted(&[bearer, bearer], true),
        Err(TokenError::Header(BearerError::Repeated))
    );
}

#[test]
fn source_that_the_route_does_not_have_is_no_source() {
    let (map, decoded) = (
        headers(&[("authorization", "Bearer a"), ("cookie", "at=b"), ORIGIN]),
        DecodedToken::new(),
    );
    let cookie_only = TokenSources {
        header: false,
        ..sources()
    };
    let token = cookie_only.extract(&map, false, &decoded).expect("a token");
    assert_eq!(token.as_str(), "b");
    let header_only = TokenSources {
        cookie: None,
        ..sources()
    };
    let token = header_only.extract(&map, false, &decoded).expect("a token");
    assert_eq!(token.as_str(), "a");
}

#[test]
fn other_cookies_stay_byte_for_byte() {
    for (cookies, left) in [
        ("at=a", None),
        ("at=a; x=1", Some("x=1")),
        ("x=1; at=a", Some("x=1")),
        ("x=1; at=a; y=\"2\";z= 3 ", Some("x=1; y=\"2\";z= 3 ")),
        ("x=1;  y=2", Some("x=1;  y=2")),
        ("at=a; at; at =b; x", Some("x")),
        ("At=c; at=a; at2=d", Some("At=c; at2=d")),
        ("x=\u{e4}; at=a", Some("x=\u{e4}")),
    ] {
        let mut map = headers(&[("cookie", cookies), ORIGIN]);
        sources().detach(&mut map, false);
        let found = map.get("cookie").map(HeaderValue::as_bytes);
        assert_eq!(found, left.map(str::as_bytes), "{cookies}");
    }
    let lines = [
        ("cookie", "a=1"),
        ("cookie", "at=x"),
        ("cookie", "b=2; c=3"),
    ];
    let mut map = headers(&lines);
    sources().detach(&mut map, false);
    let left: Vec<_> = map.get_all("cookie").iter().collect();
    assert_eq!(left, ["a=1", "b=2; c=3"]);
}

#[test]
fn detached_token_becomes_an_authorization_header() {
    let kubernetes = format!("{KUBERNETES}YS5iLWM, chat");
    for (name, value, left) in [
        ("cookie", "at=a.b-c", None),
        ("sec-websocket-protocol", "bearer, a.b-c", None),
        (
            "sec-websocket-protocol",
            "chat, bearer, a.b-c,x",
            Some("chat, x"),
        ),
        ("sec-websocket-protocol", &*kubernetes, Some("chat")),
    ] {
        let mut map = headers(&[(name, value), ORIGIN]);
        let authorization = sources().detach(&mut map, true).authorization;
        let authorization = authorization.expect("a token");
        assert!(authorization.is_sensitive());
        assert_eq!(authorization, "Bearer a.b-c", "{value}");
        assert_eq!(
            map.get(name).map(HeaderValue::as_bytes),
            left.map(str::as_bytes)
        );
    }
    let mut map = headers(&[("authorization", "Bearer a")]);
    assert_eq!(sources().detach(&mut map, true).authorization, None);
    assert_eq!(map["authorization"], "Bearer a");
}

#[test]
fn token_that_was_not_accepted_is_removed_too() {
    for (name, value) in [
        ("cookie", "at=a; at=b"),
        ("cookie", "at="),
        ("sec-websocket-protocol", "bearer, a, bearer, b"),
        ("sec-websocket-protocol", "bearer, a/b"),
        ("sec-websocket-protocol", "bearer, a"),
    ] {
        let mut map = headers(&[(name, value)]);
        let detached = sources().detach(&mut map, false);
        assert!(
            detached.authorization.is_none() && !map.contains_key(name),
            "{value}"
        );
    }
}

#[test]
fn response_selects_what_the_upstream_selects_or_bearer() {
    let kubernetes = format!("{KUBERNETES}YQ, chat");
    for (offered, selected, expected) in [
        ("bearer, a", None, Some("bearer")),
        ("bearer, a", Some("a"), Some("bearer")),
        ("bearer, a, chat", Some("chat"), Some("chat")),
        ("bearer, a, chat", None, Some("bearer")),
        ("bearer, a, chat", Some("Chat"), Some("bearer")),
        ("bearer, a, chat", Some("chat, chat"), Some("bearer")),
        (&*kubernetes, Some("chat"), Some("chat")),
        (&*kubernetes, Some("other"), None),
        (&*kubernetes, None, None),
    ] {
        let name = "sec-websocket-protocol";
        let mut map = headers(&[(name, offered)]);
        let protocols = sources().detach(&mut map, true).protocols.expect("a token");
        let mut response: HeaderMap = match selected {
            Some(selected) => headers(&[(name, selected)]),
            None => HeaderMap::new(),
        };
        protocols.select(&mut response);
        let found: Vec<_> = response.get_all(name).iter().collect();
        assert_eq!(
            found,
            expected.into_iter().collect::<Vec<_>>(),
            "{offered} {selected:?}"
        );
    }
}
