//! `server.http_proxy`, and the environment that it reads.

use crate::config::{HttpProxy, parse_with};

fn read(value: &str, environment: &[(&str, &str)]) -> Result<Option<HttpProxy>, String> {
    let variable = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let text = format!("[server]\nhttp_proxy = {value}\n");
    match parse_with("gateway.toml", &text, &variable) {
        Ok((config, _)) => Ok(config.server.http_proxy),
        Err(report) => Err(report.to_string()),
    }
}

/// The proxies for http and https.
fn proxies(value: &str, environment: &[(&str, &str)]) -> [Option<String>; 2] {
    let proxy = read(value, environment).unwrap_or_else(|report| panic!("{report}"));
    let proxy = proxy.expect("a proxy");
    [proxy.http, proxy.https].map(|url| url.map(|url| url.to_string()))
}

#[test]
fn environment_counts_only_if_the_file_says_so() {
    let environment = [("https_proxy", "http://p"), ("all_proxy", "http://p")];
    assert_eq!(read("\"none\"", &environment), Ok(None));
    let one = Some("http://q:3128/".to_owned());
    assert_eq!(
        proxies("\"http://q:3128\"", &environment),
        [one.clone(), one]
    );
}

#[test]
fn variables_count_in_the_order_of_curl() {
    for (environment, http, https) in [
        (&[][..], None, None),
        (&[("http_proxy", "http://a:1")], Some("http://a:1/"), None),
        (&[("https_proxy", "http://a:1")], None, Some("http://a:1/")),
        (&[("HTTPS_PROXY", "http://a:1")], None, Some("http://a:1/")),
        // A client of a CGI script sets this one.
        (&[("HTTP_PROXY", "http://a:1")], None, None),
        (
            &[("ALL_PROXY", "http://a:1")],
            Some("http://a:1/"),
            Some("http://a:1/"),
        ),
        (
            &[
                ("all_proxy", "http://a:1"),
                ("ALL_PROXY", "http://b:1"),
                ("HTTPS_PROXY", "http://c:1"),
                ("https_proxy", "http://d:1"),
            ],
            Some("http://a:1/"),
            Some("http://d:1/"),
        ),
        // A blank variable is none.
        (
            &[("https_proxy", " "), ("ALL_PROXY", "a:1\n")],
            Some("http://a:1/"),
            Some("http://a:1/"),
        ),
        (
            &[("https_proxy", "user:s%40t@a:1")],
            None,
            Some("http://user:s%40t@a:1/"),
        ),
    ] {
        let expected = [http, https].map(|url| url.map(str::to_owned));
        assert_eq!(
            proxies("\"environment\"", environment),
            expected,
            "{environment:?}"
        );
    }
}

#[test]
fn no_proxy_counts_for_the_proxy_of_the_file_too() {
    for value in ["\"http://q:3128\"", "\"environment\""] {
        for (environment, expected) in [
            (&[][..], ""),
            (&[("NO_PROXY", ".test")], ".test"),
            (&[("no_proxy", "a.test"), ("NO_PROXY", "b.test")], "a.test"),
            (&[("no_proxy", ""), ("NO_PROXY", "b.test")], "b.test"),
        ] {
            let proxy = read(value, environment)
                .expect("a good file")
                .expect("a proxy");
            assert_eq!(proxy.no_proxy, expected, "{environment:?}");
        }
    }
}

#[test]
fn unusable_variable_is_a_fault_that_does_not_print_it() {
    for text in [
        "https://user:s3cret@proxy:1",
        "socks5h://user:s3cret@proxy:1",
        "http://user:s3cret@proxy:1/path",
        "http://user:s3cret@proxy:1?query",
        "http://user:s3cret@proxy:99999",
        "http://user:s3cret@proxy:0",
        "user:s3cret@",
        "http://s3cret proxy",
    ] {
        let report = read("\"environment\"", &[("HTTPS_PROXY", text)]).expect_err(text);
        let expected = "gateway.toml:2: server.http_proxy: expected a URL such as \"http://proxy:3128\" in the environment \
                        variable HTTPS_PROXY, but found another text (the gateway speaks to a proxy over http: TLS and SOCKS \
                        proxies are not supported)";
        assert_eq!(report, expected);
    }
}

#[test]
fn credentials_of_a_proxy_are_not_in_debug_output() {
    let environment = [("all_proxy", "http://user:s3cret@proxy.test:1")];
    let debug = format!(
        "{:?}",
        read("\"environment\"", &environment).expect("a good file")
    );
    assert!(
        debug.contains("proxy.test") && !debug.contains("s3cret") && !debug.contains("user"),
        "{debug}"
    );
}
