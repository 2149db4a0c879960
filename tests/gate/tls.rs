//! TLS towards authorization servers and upstreams.

use serde_json::json;

use harness::{Authority, Gateway, Key, Reply, Server, claims, eventually, get, send};

#[test]
fn issuer_is_trusted_only_by_its_configured_roots() {
    let (authority, other) = (Authority::generate(), Authority::generate());
    let key = Key::es256("k");
    let jwks = json!({ "keys": [key.jwk()] });
    let issuer = Server::start_tls(
        authority.server_config("127.0.0.1", false),
        move |request| match &*request.target {
            "/jwks" => Reply::json(&jwks),
            _ => Reply::status(404),
        },
    );
    let upstream = Server::start(|_| Reply::text("hello"));
    let url = format!("https://{}", issuer.address);
    let token = key.token(&claims(&url, ""));
    for (ca, status) in [(&authority, 200), (&other, 503)] {
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"{url}\"\naudience = \"https://api.test\"\njwks_uri = \"{url}/jwks\"\n\
             tls_ca = \"{}\"\n[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n",
            ca.ca_file().display(),
            upstream.address
        ));
        eventually("the expected status", || {
            get(gateway.address, "/", Some(&token)).status == status
        });
    }
    assert!(issuer.hits() >= 1);
}

#[test]
fn upstream_is_reached_over_tls_only_with_valid_certificates_on_both_sides() {
    let (authority, other) = (Authority::generate(), Authority::generate());
    let upstream = Server::start_tls(authority.server_config("inner.test", true), |_| {
        Reply::text("hello")
    });
    let (certificate, key) = authority.client_files();
    let client_certificate = format!(
        "tls_client = {{ certificate = \"{}\", key = \"{}\" }}\n",
        certificate.display(),
        key.display()
    );
    for (ca, name, client, status) in [
        (&authority, "inner.test", &*client_certificate, 200),
        (&other, "inner.test", &*client_certificate, 502),
        (&authority, "outer.test", &*client_certificate, 502),
        (&authority, "inner.test", "", 502),
    ] {
        let hits = upstream.hits();
        let gateway = Gateway::start(&format!(
            "[upstreams.up]\ntargets = \"https://{}\"\ntls_ca = \"{}\"\ntls_server_name = \"{name}\"\n{client}\
             [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n",
            upstream.address,
            ca.ca_file().display(),
        ));
        let response = send(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(response.status, status, "{name} {client}");
        assert_eq!(upstream.hits() - hits, usize::from(status == 200));
    }
}

#[test]
fn renewed_certificates_towards_an_upstream_are_used_and_invalid_ones_are_not() {
    let (authority, other) = (Authority::generate(), Authority::generate());
    let upstream = Server::start_tls(authority.server_config("inner.test", true), |_| {
        Reply::text("hello")
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let install = |authority: &Authority| {
        let (certificate, key) = authority.client_files();
        for (file, name) in [
            (authority.ca_file(), "ca.pem"),
            (certificate, "client.crt"),
            (key, "client.key"),
        ] {
            std::fs::copy(file, path(name)).expect("a file");
        }
    };
    install(&other);
    let gateway = Gateway::start(&format!(
        "[upstreams.renewing]\ntargets = \"https://{}\"\ntls_server_name = \"inner.test\"\ntls_ca = \"{}\"\npool_idle = 0\n\
         tls_client = {{ certificate = \"{}\", key = \"{}\" }}\n\
         [[routes]]\npath = \"/\"\npublic = true\nupstream = \"renewing\"\n",
        upstream.address,
        path("ca.pem").display(),
        path("client.crt").display(),
        path("client.key").display(),
    ));
    let status = || send(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status;
    assert_eq!(status(), 502);
    install(&authority);
    eventually("the new certificates are used", || status() == 200);
    // The key of another certificate, and a file without roots.
    std::fs::copy(other.client_files().1, path("client.key")).expect("a file");
    std::fs::write(path("ca.pem"), "none").expect("a file");
    let rejected =
        "certificates rejected; the previous ones stay active name=\"upstream renewing\"";
    eventually("the rejection is logged", || harness::logged(rejected));
    assert_eq!(status(), 200);
}
