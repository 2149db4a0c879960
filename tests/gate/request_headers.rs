//! `request_headers`: headers of requests that the gateway sets and removes.

use std::fs;
use std::path::Path;

use harness::{Connection, Received, Server, TestBed, get, recording_upstream, send};
use harness::{Gateway, Reply};
use tempfile::TempDir;

const PLAIN: &str = "[[routes]]\npath = \"/plain\"\npublic = true\nupstream = \"up\"\n";

/// A folder with a file that holds a secret.
fn secret(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("key"), format!("{text}\n")).expect("a writable folder");
    folder
}

fn file_of(folder: &TempDir) -> String {
    toml_path(&folder.path().join("key"))
}

fn toml_path(path: &Path) -> String {
    format!("{{ file = {:?} }}", path.display().to_string())
}

/// A route that sets `X-Api-Key` from a file, and one that does not.
fn keyed(folder: &TempDir) -> String {
    let file = file_of(folder);
    format!(
        "[[routes]]\npath = \"/keyed\"\npublic = true\nupstream = \"up\"\n\
         request_headers = {{ set = {{ \"X-Api-Key\" = {file} }} }}\n{PLAIN}"
    )
}

/// The status of a request with these lines, and what the upstream got.
fn ask(test_bed: &TestBed, path: &str, lines: &str) -> (u16, Received) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let status = send(test_bed.address, request).status;
    (status, test_bed.last())
}

#[track_caller]
fn assert_nothing_forged(received: &Received) {
    let forged = |(_, value): &&(String, String)| value.contains("forged");
    assert_eq!(received.headers.iter().find(forged), None, "{received:?}");
}

#[test]
fn text_replaces_the_value_of_the_client_on_that_route_only() {
    let routes = format!(
        "[[routes]]\npath = \"/set\"\npublic = true\nupstream = \"up\"\n\
         request_headers = {{ set = {{ \"X-Tenant\" = \"acme\" }}, remove = [\"Cookie\", \"X-Debug\"] }}\n{PLAIN}"
    );
    let test_bed = TestBed::routes(&routes);
    let lines = "X-Tenant: forged\r\nx_tenant: forged\r\nX.Tenant: forged\r\nX-Tenant: forged2\r\n\
                 Cookie: forged=1\r\nX-Debug: forged\r\nX_Debug: forged\r\n";
    let (status, received) = ask(&test_bed, "/set", lines);
    assert_eq!(status, 200);
    assert_nothing_forged(&received);
    assert_eq!(received.header("x-tenant"), ["acme"]);
    let (_, received) = ask(
        &test_bed,
        "/plain",
        "X-Tenant: mine\r\nX-Debug: 1\r\nCookie: a=b\r\n",
    );
    for (name, value) in [("x-tenant", "mine"), ("x-debug", "1"), ("cookie", "a=b")] {
        assert_eq!(received.header(name), [value], "{name}");
    }
}

#[test]
fn header_with_a_secret_is_taken_from_clients_on_every_route_to_that_upstream() {
    let folder = secret("s3cret");
    let other = Server::start(|_| Reply::text("other"));
    let routes = format!(
        "{}[[routes]]\npath = \"/scoped\"\nscope = \"read\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/shadow\"\nscope = \"read\"\nenforce = false\nupstream = \"up\"\n\
         [[routes]]\npath = \"/other\"\npublic = true\nupstream = \"other\"\n\
         [upstreams.other]\ntargets = \"http://{}\"\n",
        keyed(&folder),
        other.address
    );
    let test_bed = TestBed::routes(&routes);
    let forged = "X-Api-Key: forged\r\nX_API_KEY: forged\r\nx.api.key: forged\r\nX-Api_Key: forged\r\n\
                  x+api+key: forged\r\nX~Api'Key: forged\r\n";
    let authorization = format!("Authorization: Bearer {}\r\n", test_bed.token("read"));
    for (path, value) in [
        ("/keyed", &["s3cret"][..]),
        ("/plain", &[]),
        ("/scoped", &[]),
        ("/shadow", &[]),
    ] {
        let (status, received) = ask(&test_bed, path, &format!("{forged}{authorization}"));
        assert_eq!(status, 200, "{path}");
        assert_nothing_forged(&received);
        assert_eq!(received.header("x-api-key"), value, "{path}");
    }
    let request = format!("GET /other HTTP/1.1\r\nHost: a\r\n{forged}\r\n");
    assert_eq!(send(test_bed.address, request).status, 200);
    let received = other.received().pop().expect("a request");
    assert_eq!(received.header("x-api-key"), ["forged"], "another upstream");
}

#[test]
fn trailers_cannot_bring_the_header_back() {
    let folder = secret("s3cret");
    let routes = format!(
        "{}[[routes]]\npath = \"/text\"\npublic = true\nupstream = \"up\"\n\
         request_headers = {{ set = {{ \"X-Tenant\" = \"acme\" }}, remove = \"X-Debug\" }}\n",
        keyed(&folder)
    );
    let test_bed = TestBed::routes(&routes);
    for path in ["/keyed", "/plain", "/text"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Api-Key, x_api_key, X-Check\r\n\r\n2\r\nhi\r\n0\r\n\
             X-Api-Key: forged\r\nx_api_key: forged\r\nX-Tenant: mine\r\nx_tenant: mine\r\nX-Debug: 1\r\nX-Check: 7\r\n\r\n"
        );
        assert_eq!(send(test_bed.address, request).status, 200, "{path}");
        let received = test_bed.last();
        let is_text = path == "/text";
        for (name, is_kept) in [
            ("x-check", true),
            ("x-api-key", false),
            ("x_api_key", false),
            ("x-tenant", !is_text),
            ("x_tenant", !is_text),
            ("x-debug", !is_text),
        ] {
            let found = received.header(&format!("trailer {name}"));
            assert_eq!(!found.is_empty(), is_kept, "{path} {name}");
        }
    }
}

#[test]
fn connection_cannot_name_the_header() {
    let folder = secret("s3cret");
    let test_bed = TestBed::routes(&keyed(&folder));
    for path in ["/keyed", "/plain"] {
        for name in ["x-api-key", "X_API_KEY", "close, x.api.key"] {
            let before = test_bed.hits();
            let (status, _) = ask(&test_bed, path, &format!("Connection: {name}\r\n"));
            assert_eq!(status, 400, "{path} {name}");
            assert_eq!(test_bed.hits(), before, "{path} {name}");
        }
    }
}

#[test]
fn authorization_of_a_route_replaces_every_unverified_one_at_that_upstream() {
    let folder = secret("Basic c2VjcmV0");
    let routes = format!(
        "[[routes]]\npath = \"/basic\"\nscope = \"read\"\nforward_token = \"strip\"\nupstream = \"up\"\n\
         request_headers = {{ set = {{ Authorization = {} }} }}\n{PLAIN}\
         [[routes]]\npath = \"/scoped\"\nscope = \"read\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/shadow\"\nscope = \"read\"\nenforce = false\nupstream = \"up\"\n",
        file_of(&folder)
    );
    let test_bed = TestBed::routes(&routes);
    let bearer = format!("Bearer {}", test_bed.token("read"));
    for (path, sent, received) in [
        ("/basic", &*bearer, &["Basic c2VjcmV0"][..]),
        ("/scoped", &bearer, &[&*bearer]),
        ("/shadow", &bearer, &[&*bearer]),
        ("/shadow", "Bearer no.such.token", &[]),
        ("/shadow", "Basic Z3Vlc3M", &[]),
        ("/plain", "Basic Z3Vlc3M", &[]),
    ] {
        let (status, found) = ask(&test_bed, path, &format!("Authorization: {sent}\r\n"));
        assert_eq!(status, 200, "{path} {sent}");
        assert_eq!(found.header("authorization"), received, "{path} {sent}");
    }
    let before = test_bed.hits();
    assert_eq!(get(test_bed.address, "/basic", None).status, 401);
    assert_eq!(test_bed.hits(), before, "the value is no token of a client");
}

#[test]
fn request_to_switch_protocols_gets_the_headers_as_well() {
    let folder = secret("s3cret");
    let (address, heads) = recording_upstream(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{address}\"\n{}",
        keyed(&folder)
    ));
    for (path, is_set) in [("/keyed", true), ("/plain", false)] {
        let mut connection = Connection::open(gateway.address);
        connection.write(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\
             X-Api-Key: forged\r\nx_api_key: forged\r\n\r\n"
        ));
        let response = connection.try_read(false).expect("a response");
        assert_eq!(response.status, 101);
        drop(connection);
        let bytes = loop {
            let bytes = heads.recv_timeout(harness::TIMEOUT).expect("a connection");
            if !bytes.is_empty() {
                break bytes;
            }
        };
        let head = String::from_utf8(bytes).expect("ASCII").to_lowercase();
        assert_eq!(head.contains("x-api-key: s3cret\r\n"), is_set, "{head}");
        assert!(!head.contains("forged"), "{head}");
        assert!(head.contains("upgrade: echo\r\n"), "{head}");
    }
}

#[test]
fn changed_file_takes_effect_with_a_reload() {
    let folder = secret("first");
    let upstream = Server::start(|_| Reply::text("hello"));
    let file = format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n{}",
        upstream.address,
        keyed(&folder)
    );
    let gateway = Gateway::start(&file);
    let value = || {
        assert_eq!(get(gateway.address, "/keyed", None).status, 200);
        let received = upstream.received().pop().expect("a request");
        received.header("x-api-key").join(", ")
    };
    assert_eq!(value(), "first");
    fs::write(folder.path().join("key"), "second").expect("a writable folder");
    assert_eq!(value(), "first", "nothing is read between reloads");
    gateway.reload(&file).expect("a good file");
    assert_eq!(value(), "second");
    fs::write(folder.path().join("key"), "two\nlines").expect("a writable folder");
    let refused = gateway.reload(&file).expect_err("two lines");
    assert!(refused.contains("printable ASCII on one line"), "{refused}");
    assert!(!refused.contains("lines\""), "{refused}");
    assert_eq!(value(), "second");
}
