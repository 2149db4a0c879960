//! Listeners that could not do what they are for.

use super::assert_faults;

const TLS: &str = "tls = { certificates = [{ certificate = \"a\", key = \"k\" }] }";

#[test]
fn redirect_that_leads_nowhere_is_a_fault() {
    let redirecting = "[[listeners]]\naddress = \"127.0.0.1:80\"\nredirect_to_https = true\n";
    let tls = |port: u16| format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\n{TLS}\n");
    let place = |line: usize| format!("gateway.toml:{line}: listeners[0].redirect_to_https: ");
    let set_url =
        "(set external_url to the https URL that clients use, such as \"https://api.example.com\")";
    let cases = [
        (
            format!("{redirecting}{TLS}"),
            3,
            "expected a listener without tls, but found one with it (set redirect_to_https on the listener for http, beside the one with tls)".to_owned(),
        ),
        (
            redirecting.to_owned(),
            3,
            format!("expected server.external_url or one listener with tls, but found no URL and 0 such listeners {set_url}"),
        ),
        (
            format!("{redirecting}{}{}", tls(443), tls(8443)),
            3,
            format!("expected server.external_url or one listener with tls, but found no URL and 2 such listeners {set_url}"),
        ),
        (
            format!("[server]\nexternal_url = \"http://api.test\"\n{redirecting}{}", tls(443)),
            5,
            "expected an https URL in server.external_url, but found \"http://api.test\" (external_url is where the redirects lead to)".to_owned(),
        ),
        (
            format!("[server]\nexternal_url = \"https://api.test\"\n{redirecting}"),
            5,
            "expected another listener that serves the routes, but found none (add the listener that clients reach at external_url)".to_owned(),
        ),
    ];
    for (text, line, message) in &cases {
        assert_faults(&[(text, &format!("{}{message}", place(*line)))]);
    }
}

#[test]
fn redirect_with_one_tls_listener_or_an_external_url_is_accepted() {
    let redirecting = "[[listeners]]\naddress = \"127.0.0.1:80\"\nredirect_to_https = true\n";
    let off = "[[listeners]]\naddress = \"127.0.0.1:80\"\nredirect_to_https = false\n";
    for text in [
        format!("{redirecting}[[listeners]]\naddress = \"127.0.0.1:443\"\n{TLS}\n"),
        format!(
            "[server]\nlisten = \"127.0.0.1:81\"\nexternal_url = \"https://api.test\"\n{redirecting}"
        ),
        off.to_owned(),
    ] {
        assert!(super::read(&text).is_ok(), "{text}");
    }
}

#[test]
fn path_of_a_unix_socket_is_short_and_names_a_file() {
    let long = format!("/{}", "x".repeat(107));
    let fault = |found: &str| {
        format!(
            "gateway.toml:2: upstreams.up.targets: expected unix: and the path of a socket, but found {found:?}"
        )
    };
    for (target, report) in [
        ("unix:", fault("unix:")),
        ("unix:/", fault("unix:/")),
        (
            "unix:///run/a.sock",
            fault("unix:///run/a.sock") + " (did you mean \"unix:/run/a.sock\"?)",
        ),
        (
            "unix:@a",
            fault("unix:@a") + " (sockets without a file are not supported)",
        ),
        (
            &format!("unix:{long}"),
            format!(
                "gateway.toml:2: upstreams.up.targets: expected a path of at most 107 bytes after unix:, but found 108 bytes in {long:?}"
            ),
        ),
    ] {
        let text = format!("[upstreams.up]\ntargets = {target:?}\n");
        assert_faults(&[(&text, &report)]);
    }
    for target in [
        "unix:/run/a.sock",
        "unix:run/a.sock",
        &format!("unix:/{}", "x".repeat(106)),
    ] {
        let text = format!("[upstreams.up]\ntargets = [{target:?}]\n");
        assert!(super::read(&text).is_ok(), "{target}");
    }
}

#[test]
fn socket_in_the_spelling_of_another_program_is_proposed_with_unix() {
    for (value, proposed) in [
        ("/run/a.sock", true),
        ("http://unix:/run/a.sock", true),
        ("http://unix:/run/a.sock:/orders", true),
        ("http+unix:///run/a.sock", true),
        ("//run/a.sock", false),
        ("/run/${NAME}.sock", false),
        ("/run/name:secret@a.sock", false),
        ("/run/%61.sock", false),
    ] {
        for text in [
            format!("[upstreams.up]\ntargets = {value:?}\n"),
            format!("[server]\nlisten = {value:?}\n"),
        ] {
            let report = super::read(&text).expect_err(value);
            assert_eq!(
                report.contains("(did you mean \"unix:/run/a.sock\"?)"),
                proposed,
                "{report}"
            );
            assert_eq!(
                report.contains("did you mean \"unix:"),
                proposed,
                "{report}"
            );
        }
    }
}

#[test]
fn unix_listeners_have_paths_of_their_own_and_proxies_that_are_trusted() {
    let unix = "[[listeners]]\naddress = \"unix:/run/a.sock\"\n";
    let place = "listeners[0].proxy_protocol: ";
    for (text, report) in [
        (
            "[[listeners]]\naddress = \"unix:@a\"\n".to_owned(),
            "gateway.toml:2: listeners[0].address: expected unix: and the path of a socket, but found \"unix:@a\" (sockets without a file are not supported)".to_owned(),
        ),
        (
            format!("{unix}{unix}"),
            "gateway.toml:4: listeners[1].address: expected an address of its own, but found that of listeners[0].address".to_owned(),
        ),
        (
            "[server]\nlisten = [\"unix:a.sock\", \"unix:./a.sock\"]\n".to_owned(),
            "gateway.toml:2: server.listen[1]: expected an address of its own, but found that of server.listen[0]".to_owned(),
        ),
        (
            format!("[server]\ntrusted_proxies = \"10.0.0.0/8\"\n{unix}proxy_protocol = true\n"),
            format!("gateway.toml:5: {place}expected \"unix\" in server.trusted_proxies, but found no such element (only trusted proxies may send the PROXY header)"),
        ),
        (
            "[server]\ntrusted_proxies = \"unix\"\n[[listeners]]\naddress = \"127.0.0.1:1\"\nproxy_protocol = true\n".to_owned(),
            format!("gateway.toml:5: {place}expected server.trusted_proxies, but found none (list the networks of the proxies that send the PROXY header, such as trusted_proxies = \"10.0.0.0/8\")"),
        ),
        (
            format!("{unix}{TLS}\n[[listeners]]\naddress = \"127.0.0.1:80\"\nredirect_to_https = true\n"),
            "gateway.toml:6: listeners[1].redirect_to_https: expected server.external_url or one listener with tls, but found no URL and 0 such listeners (set external_url to the https URL that clients use, such as \"https://api.example.com\")".to_owned(),
        ),
    ] {
        assert_faults(&[(&text, &report)]);
    }
    for text in [
        format!("[development]\n{unix}"),
        format!("[server]\nlisten = [\"127.0.0.1:80\", \"unix:s\"]\n{unix}"),
        format!("[server]\ntrusted_proxies = \"unix\"\n{unix}proxy_protocol = true\n"),
    ] {
        assert!(super::read(&text).is_ok(), "{text}");
    }
}
