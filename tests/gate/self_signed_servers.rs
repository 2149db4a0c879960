//! Self-signed certificates of authorization servers and upstreams, named in `tls_ca`.

use std::path::Path;
use std::sync::Arc;

use rcgen::date_time_ymd;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use harness::{Authority, Gateway, Key, Reply, SelfSigned, Server, claims, eventually, get};

#[test]
fn self_signed_certificate_in_tls_ca_is_trusted_for_its_name_and_dates() {
    let named = SelfSigned::generate("127.0.0.1");
    let ordinary = SelfSigned::generate_with("127.0.0.1", |_| {});
    let elsewhere = SelfSigned::generate("127.0.0.2");
    let expired = SelfSigned::generate_with("127.0.0.1", |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = SelfSigned::generate_with("127.0.0.1", |params| {
        params.not_before = date_time_ymd(2999, 1, 1);
    });
    // The same subject and name, and another key.
    let twin = SelfSigned::generate("127.0.0.1");
    for (case, server, in_tls_ca, is_trusted) in [
        ("may sign others", &named, &named, true),
        ("may not sign others", &ordinary, &ordinary, true),
        ("another name", &elsewhere, &elsewhere, false),
        ("expired", &expired, &expired, false),
        ("not yet valid", &early, &early, false),
        ("another with the same subject", &twin, &named, false),
    ] {
        let (issuer, upstream) = statuses(server.server_config(), &in_tls_ca.pem());
        let expected = if is_trusted { (200, 200) } else { (503, 502) };
        assert_eq!((issuer, upstream), expected, "{case}");
    }
}

#[test]
fn named_certificate_without_its_key_is_refused() {
    let (named, thief) = (
        SelfSigned::generate("127.0.0.1"),
        SelfSigned::generate("127.0.0.1"),
    );
    for version in [&TLS12, &TLS13] {
        let stolen = named.server_config_of_thief(&thief, version);
        let (issuer, upstream) = statuses(stolen, &named.pem());
        assert_eq!((issuer, upstream), (503, 502), "{version:?}");
        let own = named.server_config_of_thief(&named, version);
        assert_eq!(statuses(own, &named.pem()), (200, 200), "{version:?}");
    }
}

#[test]
fn authorities_are_trusted_beside_a_named_certificate() {
    let (authority, other) = (Authority::generate(), Authority::generate());
    let authority_pem = std::fs::read_to_string(authority.ca_file()).expect("a file");
    let named = SelfSigned::generate("127.0.0.1");
    let tls_ca = format!("{}{authority_pem}", named.pem());
    for (server, expected) in [
        (authority.server_config("127.0.0.1", false), (200, 200)),
        (named.server_config(), (200, 200)),
        (authority.server_config("127.0.0.2", false), (503, 502)),
        (other.server_config("127.0.0.1", false), (503, 502)),
    ] {
        assert_eq!(statuses(server, &tls_ca), expected);
    }
}

#[test]
fn renewed_self_signed_certificate_is_trusted_after_its_file_changes() {
    let (earlier, renewed) = (
        SelfSigned::generate("127.0.0.1"),
        SelfSigned::generate("127.0.0.1"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let tls_ca = folder.path().join("server.pem");
    std::fs::write(&tls_ca, earlier.pem()).expect("a file");
    let site = Site::start(renewed.server_config());
    let toml = site.toml(&tls_ca);
    let gateway = Gateway::start(&toml);
    assert_eq!(site.status_with_token(&gateway), 503);
    assert_eq!(status_of_upstream(&gateway), 502);
    std::fs::write(&tls_ca, renewed.pem()).expect("a file");
    // Upstreams read the file by themselves, issuers at a reload.
    eventually("the upstream is trusted", || {
        status_of_upstream(&gateway) == 200
    });
    gateway.reload(&toml).expect("a valid file");
    eventually("the issuer is trusted", || {
        site.status_with_token(&gateway) == 200
    });
}

/// A server that publishes keys and is an upstream.
struct Site {
    server: Server,
    token: String,
}

impl Site {
    fn start(tls: Arc<ServerConfig>) -> Self {
        let key = Key::es256("k");
        let jwks = json!({ "keys": [key.jwk()] });
        let server = Server::start_tls(tls, move |request| match &*request.target {
            "/jwks" => Reply::json(&jwks),
            _ => Reply::text("hello"),
        });
        let token = key.token(&claims(&format!("https://{}", server.address), ""));
        Self { server, token }
    }

    fn toml(&self, tls_ca: &Path) -> String {
        let (url, tls_ca) = (format!("https://{}", self.server.address), tls_ca.display());
        format!(
            "[issuers.corp]\nissuer = \"{url}\"\naudience = \"https://api.test\"\njwks_uri = \"{url}/jwks\"\n\
             tls_ca = \"{tls_ca}\"\n\
             [upstreams.tls]\ntargets = \"{url}\"\ntls_ca = \"{tls_ca}\"\npool_idle = 0\n\
             [[routes]]\npath = \"/public\"\npublic = true\nupstream = \"tls\"\n\
             [[routes]]\npath = \"/issuer\"\nrespond = {{ status = 200 }}\n"
        )
    }

    /// The status of a request that needs keys, after they were fetched, or not for the certificate.
    fn status_with_token(&self, gateway: &Gateway) -> u16 {
        eventually("the keys, or a failed fetch", || {
            let report = gateway.get_admin("/readyz");
            report.status == 200 || report.text().contains("invalid peer certificate")
        });
        get(gateway.address, "/issuer", Some(&self.token)).status
    }
}

/// The status of a request that is forwarded.
fn status_of_upstream(gateway: &Gateway) -> u16 {
    get(gateway.address, "/public", None).status
}

/// The statuses of a request that needs keys of this server, and of one that is forwarded to it.
fn statuses(tls: Arc<ServerConfig>, tls_ca: &str) -> (u16, u16) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("server.pem");
    std::fs::write(&file, tls_ca).expect("a file");
    let site = Site::start(tls);
    let gateway = Gateway::start(&site.toml(&file));
    let found = (
        site.status_with_token(&gateway),
        status_of_upstream(&gateway),
    );
    assert_eq!(site.server.hits() > 0, found == (200, 200), "{found:?}");
    found
}
