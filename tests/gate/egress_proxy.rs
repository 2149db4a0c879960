//! `http_proxy`: requests to authorization servers through a proxy.
//!
//! `as.test` has no address. Only a proxy reaches it, which here carries every tunnel to one server.

use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use harness::{
    Authority, Gateway, Key, NOW, Received, Reply, Server, TunnelProxy, claims, eventually, get,
    logged,
};

const SERVER: &str = "https://as.test";
const SECRET: &str = "s3cret-of-the-proxy";

#[test]
fn every_request_to_an_authorization_server_goes_through_the_tunnel() {
    let site = Site::start();
    let proxy = TunnelProxy::start(site.server.address);
    let http_proxy = file_proxy(proxy.address);
    let introspection = "validation = \"jwks-or-introspection\"\n\
                         [issuers.corp.introspection]\nauthentication = \"bearer\"\nclient_id = \"gateway\"\n\
                         client_secret = \"of the gateway\"\n";
    let gateway = Gateway::start_in(&[], &site.toml(&http_proxy, SERVER, introspection));
    site.serves_a_token(&gateway);
    assert_eq!(get(gateway.address, "/", Some("opaque")).status, 200);
    // Metadata, keys, the gateway's own token and introspection; TLS ends at the server.
    let targets: Vec<_> = site
        .server
        .received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    for target in [
        "/.well-known/oauth-authorization-server",
        "/jwks",
        "/token",
        "/introspect",
    ] {
        assert!(
            targets.iter().any(|found| found == target),
            "{target} in {targets:?}"
        );
    }
    for head in proxy.heads() {
        assert!(
            head.starts_with("CONNECT as.test:443 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            !head.to_ascii_lowercase().contains("authorization"),
            "{head}"
        );
    }
}

#[test]
fn server_behind_a_tunnel_must_prove_its_name() {
    let site = Site::start();
    let impostor = Server::start_tls(
        Authority::generate().server_config("as.test", false),
        |_| Reply::status(404),
    );
    let named_otherwise =
        Server::start_tls(site.authority.server_config("proxy.test", false), |_| {
            Reply::status(404)
        });
    for server in [&impostor, &named_otherwise] {
        let proxy = TunnelProxy::start(server.address);
        let gateway = Gateway::start_in(&[], &site.toml(&file_proxy(proxy.address), SERVER, ""));
        let name = format!(
            "through the proxy http://{}: invalid peer certificate",
            proxy.address
        );
        site.fails_with(&gateway, &name);
        assert_eq!(server.hits(), 0);
    }
}

#[test]
fn http_server_is_asked_for_in_absolute_form() {
    let site = Site::start();
    let jwks = site.jwks();
    let proxy = Server::start(move |request| match &*request.target {
        "http://as.test/jwks" => Reply::json(&jwks),
        _ => Reply::status(404),
    });
    let url = "http://as.test";
    let keys = format!("jwks_uri = \"{url}/jwks\"\n");
    let http_proxy = file_proxy(proxy.address);
    let gateway = Gateway::start_in(&[], &site.toml(&http_proxy, url, &keys));
    site.serves_a_token_of(&gateway, url);
    assert!(proxy.hits() > 0);
}

#[test]
fn credentials_of_the_environment_go_to_the_proxy_only() {
    let site = Site::start();
    let proxy = TunnelProxy::start(site.server.address);
    let https = format!("http://gateway:{SECRET}@{}", proxy.address);
    let environment = [
        ("HTTPS_PROXY", &*https),
        ("http_proxy", "http://127.0.0.1:1"),
    ];
    let toml = site.toml("http_proxy = \"environment\"", SERVER, "");
    let gateway = Gateway::start_in(&environment, &toml);
    site.serves_a_token(&gateway);
    // gateway:s3cret-of-the-proxy
    let basic = "\r\nproxy-authorization: Basic Z2F0ZXdheTpzM2NyZXQtb2YtdGhlLXByb3h5\r\n";
    let heads = proxy.heads();
    assert!(
        !heads.is_empty() && heads.iter().all(|head| head.contains(basic)),
        "{heads:?}"
    );
    let is_clean = |request: &Received| request.header("proxy-authorization").is_empty();
    assert!(site.server.received().iter().all(is_clean));
    assert!(site.upstream.received().iter().all(is_clean));
}

#[test]
fn credentials_for_http_are_in_the_request_to_the_proxy_and_in_no_direct_one() {
    let site = Site::start();
    let start = || {
        let jwks = site.jwks();
        Server::start(move |_| Reply::json(&jwks))
    };
    let (proxy, local) = (start(), start());
    let http = format!("http://gateway:{SECRET}@{}", proxy.address);
    for url in [
        "http://as.test".to_owned(),
        format!("http://{}", local.address),
    ] {
        let keys = format!("jwks_uri = \"{url}/jwks\"\n");
        let toml = site.toml("http_proxy = \"environment\"", &url, &keys);
        let gateway = Gateway::start_in(&[("http_proxy", &http)], &toml);
        site.serves_a_token_of(&gateway, &url);
    }
    let credentials = |server: &Server| -> Vec<usize> {
        let received = server.received();
        let count = |request: &Received| request.header("proxy-authorization").len();
        received.iter().map(count).collect()
    };
    assert!(!credentials(&proxy).is_empty() && !credentials(&proxy).contains(&0));
    assert!(!credentials(&local).is_empty() && !credentials(&local).contains(&1));
}

#[test]
fn loopback_and_no_proxy_are_reached_directly() {
    let site = Site::start();
    let proxy = Server::start(|_| Reply::status(502));
    let http_proxy = file_proxy(proxy.address);
    let jwks = site.jwks();
    let local = Server::start(move |_| Reply::json(&jwks));
    let port = local.address.port();
    for url in [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
    ] {
        let keys = format!("jwks_uri = \"{url}/jwks\"\n");
        let gateway = Gateway::start_in(&[], &site.toml(&http_proxy, &url, &keys));
        site.serves_a_token_of(&gateway, &url);
    }
    for (name, no_proxy) in [
        ("NO_PROXY", ".test"),
        ("no_proxy", "10.0.0.0/8, as.test:443"),
    ] {
        let toml = site.toml(&http_proxy, SERVER, "");
        let gateway = Gateway::start_in(&[(name, no_proxy)], &toml);
        // The name has no address.
        site.fails_with(&gateway, "no response: ");
    }
    assert_eq!(proxy.connections(), 0);
    // The same server behind the same proxy, without an exception.
    let gateway = Gateway::start_in(&[], &site.toml(&http_proxy, SERVER, ""));
    site.fails_with(&gateway, "through the proxy");
    assert!(proxy.connections() > 0);
}

#[test]
fn upstreams_and_the_span_collector_are_never_proxied() {
    let proxy = Server::start(|_| Reply::text("from the proxy"));
    let http_proxy = file_proxy(proxy.address);
    let toml = format!(
        "[server]\n{http_proxy}\n[telemetry]\notlp_endpoint = \"http://collector.test/v1/traces\"\n[upstreams.up]\ntargets = \"http://up.test\"\n\
         [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
    );
    let environment = [("http_proxy", &*format!("http://{}", proxy.address))];
    for toml in [
        toml.clone(),
        toml.replace(&http_proxy, "http_proxy = \"environment\""),
    ] {
        let gateway = Gateway::start_in(&environment, &toml);
        let status = get(gateway.address, "/", None).status;
        assert!([502, 503].contains(&status), "{status}");
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn failing_proxy_is_a_503_that_names_it_without_credentials() {
    let site = Site::start();
    let refusing = Server::start(|_| Reply::status(407));
    let forbidding = Server::start(|_| Reply::status(403));
    let silent = Server::start(|_| Reply::RawThenHang(Vec::new()));
    let endless = Server::start(|_| Reply::Raw(vec![b'a'; 64 * 1024]));
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("a bound socket")
    };
    for (address, cause) in [
        (
            refusing.address,
            "tunnel error: proxy authorization required",
        ),
        (
            forbidding.address,
            "(the proxy does not connect to this server: see http_proxy)",
        ),
        (silent.address, "timed out"),
        (endless.address, "tunnel error: "),
        (closed, "Connection refused"),
    ] {
        let https = format!("http://gateway:{SECRET}@{address}");
        let toml = site.toml(
            "http_proxy = \"environment\"",
            SERVER,
            "connect_timeout = \"300ms\"\n",
        );
        let gateway = Gateway::start_in(&[("https_proxy", &https)], &toml);
        site.fails_with(&gateway, &format!("through the proxy http://{address}: "));
        site.fails_with(&gateway, cause);
    }
    let url = "http://as.test";
    let keys = format!("jwks_uri = \"{url}/jwks\"\n");
    let http = format!("http://gateway:{SECRET}@{}", refusing.address);
    let toml = site.toml("http_proxy = \"environment\"", url, &keys);
    let gateway = Gateway::start_in(&[("all_proxy", &http)], &toml);
    let name = format!(
        "through the proxy http://{}: proxy authorization required",
        refusing.address
    );
    site.fails_for(&gateway, url, &name);
    assert!(logged("through the proxy http://"));
    assert!(!logged(SECRET) && !logged("Z2F0ZXdheTp"));
}

#[test]
fn https_url_with_an_ipv6_address_is_a_503_that_names_the_remedy() {
    let site = Site::start();
    let server = Server::start_tls(site.authority.server_config("2001:db8::7", false), |_| {
        Reply::status(404)
    });
    let proxy = TunnelProxy::start(server.address);
    let url = "https://[2001:db8::7]";
    let gateway = Gateway::start_in(&[], &site.toml(&file_proxy(proxy.address), url, ""));
    site.fails_for(&gateway, url, "use a name, or exempt it in no_proxy");
}

#[test]
fn proxy_of_a_new_file_is_used_at_once() {
    let site = Site::start();
    let proxy = TunnelProxy::start(site.server.address);
    let gateway = Gateway::start_in(&[], &site.toml("http_proxy = \"none\"", SERVER, ""));
    site.fails_with(&gateway, "no response: ");
    gateway
        .reload(&site.toml(&file_proxy(proxy.address), SERVER, ""))
        .expect("a valid file");
    site.serves_a_token(&gateway);
}

/// An authorization server that calls itself `as.test`, and an upstream.
struct Site {
    authority: Authority,
    key: Key,
    server: Server,
    upstream: Server,
}

impl Site {
    fn start() -> Self {
        let (authority, key) = (Authority::generate(), Key::es256("k"));
        let jwks = json!({ "keys": [key.jwk()] });
        let metadata = json!({
            "issuer": SERVER, "jwks_uri": format!("{SERVER}/jwks"),
            "introspection_endpoint": format!("{SERVER}/introspect"), "token_endpoint": format!("{SERVER}/token"),
        });
        let own = json!({ "access_token": "own", "token_type": "bearer", "expires_in": 600 });
        let active =
            json!({ "active": true, "iss": SERVER, "aud": "https://api.test", "exp": NOW + 600 });
        let tls = authority.server_config("as.test", false);
        let server = Server::start_tls(tls, move |request| match &*request.target {
            "/.well-known/oauth-authorization-server" => Reply::json(&metadata),
            "/jwks" => Reply::json(&jwks),
            "/token" => Reply::json(&own),
            "/introspect" => Reply::json(&active),
            _ => Reply::status(404),
        });
        let upstream = Server::start(|_| Reply::text("hello"));
        Self {
            authority,
            key,
            server,
            upstream,
        }
    }

    fn jwks(&self) -> serde_json::Value {
        json!({ "keys": [self.key.jwk()] })
    }

    /// A file with a key of `[server]`, and an issuer with more keys.
    fn toml(&self, server_key: &str, url: &str, issuer_keys: &str) -> String {
        format!(
            "[server]\n{server_key}\n[issuers.corp]\nissuer = \"{url}\"\naudience = \"https://api.test\"\n\
             tls_ca = \"{}\"\n{issuer_keys}\n[upstreams.up]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/\"\nupstream = \"up\"\n",
            self.authority.ca_file().display(),
            self.upstream.address
        )
    }

    fn serves_a_token(&self, gateway: &Gateway) {
        self.serves_a_token_of(gateway, SERVER);
    }

    fn serves_a_token_of(&self, gateway: &Gateway, url: &str) {
        let token = self.key.token(&claims(url, ""));
        eventually("the token is verified", || {
            get(gateway.address, "/", Some(&token)).status == 200
        });
    }

    /// Tokens get 503, because the keys cannot be fetched for this cause.
    fn fails_with(&self, gateway: &Gateway, cause: &str) {
        self.fails_for(gateway, SERVER, cause);
    }

    fn fails_for(&self, gateway: &Gateway, url: &str, cause: &str) {
        let report = || gateway.get_admin("/readyz").text();
        eventually("the failed fetch", || report().contains("(failed "));
        assert!(report().contains(cause), "{cause} in {}", report());
        assert!(!report().contains(SECRET));
        let hits = self.upstream.hits();
        let token = self.key.token(&claims(url, ""));
        let response = get(gateway.address, "/", Some(&token));
        assert_eq!(response.status, 503);
        assert_eq!(response.header("www-authenticate"), None);
        assert_eq!(self.upstream.hits(), hits);
    }
}

fn file_proxy(address: SocketAddr) -> String {
    format!("http_proxy = \"http://{address}\"")
}
