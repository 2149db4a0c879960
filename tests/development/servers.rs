//! Both servers: metadata, methods, hosts, the echo upstream, and their addresses.

use reqwest::StatusCode;
use scopegate::dev::{DevelopmentSettings, start};
use scopegate::values::SigningAlgorithm;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Fixture, read, send, send_raw, settings};

#[tokio::test]
async fn both_metadata_documents_name_every_endpoint() {
    let fixture = Fixture::new().await;
    for document in ["oauth-authorization-server", "openid-configuration"] {
        let (_, metadata) = read(
            fixture
                .http
                .get(format!("{}/.well-known/{document}", fixture.issuer())),
        )
        .await;
        assert_eq!(metadata["issuer"], fixture.issuer());
        assert_eq!(
            metadata["authorization_endpoint"],
            format!("{}/authorize", fixture.issuer())
        );
        assert_eq!(
            metadata["token_endpoint"],
            format!("{}/token", fixture.issuer())
        );
        assert_eq!(
            metadata["introspection_endpoint"],
            format!("{}/introspect", fixture.issuer())
        );
        assert_eq!(
            metadata["registration_endpoint"],
            format!("{}/register", fixture.issuer())
        );
        let with_none = json!(["client_secret_basic", "client_secret_post", "none"]);
        assert_eq!(metadata["token_endpoint_auth_methods_supported"], with_none);
        let methods = json!(["client_secret_basic", "client_secret_post"]);
        assert_eq!(
            metadata["introspection_endpoint_auth_methods_supported"],
            methods
        );
        assert_eq!(
            metadata["revocation_endpoint"],
            format!("{}/revoke", fixture.issuer())
        );
        assert_eq!(
            metadata["revocation_endpoint_auth_methods_supported"],
            with_none
        );
        assert_eq!(metadata["jwks_uri"], format!("{}/jwks", fixture.issuer()));
        assert_eq!(
            metadata["grant_types_supported"],
            json!(["authorization_code", "client_credentials"])
        );
        assert_eq!(metadata["response_types_supported"], json!(["code"]));
        let challenges = &metadata["code_challenge_methods_supported"];
        assert_eq!(challenges, &json!(["S256"]));
        let iss = &metadata["authorization_response_iss_parameter_supported"];
        assert_eq!(iss, &json!(true));
    }
}

#[tokio::test]
async fn wrong_method_is_405_with_allow_and_unknown_path_404() {
    let fixture = Fixture::new().await;
    let response = send(fixture.http.get(format!("{}/token", fixture.issuer()))).await;
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().expect("ok"))
    );
    for (path, allowed) in [
        ("introspect", "POST"),
        ("revoke", "POST"),
        ("Session", "DELETE"),
    ] {
        let response = send(fixture.http.get(format!("{}/{path}", fixture.issuer()))).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], allowed);
    }
    let response = send(fixture.http.post(format!("{}/jwks", fixture.issuer()))).await;
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    let response = send(fixture.http.get(format!("{}/token/", fixture.issuer()))).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rebound_host_names_are_misdirected() {
    let fixture = Fixture::new().await;
    let port = fixture.servers.issuer_address.port();
    for (host, status) in [
        (format!("localhost:{port}"), "200 OK"),
        (format!("[::1]:{port}"), "200 OK"),
        (format!("evil.example:{port}"), "421 Misdirected Request"),
        ("localhost".to_owned(), "421 Misdirected Request"),
    ] {
        let request = format!("GET /jwks HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = send_raw(fixture.servers.issuer_address, &request).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{host}: {response}"
        );
    }
    // Behind a gateway, the Host that the echo upstream receives has the gateway's port.
    for (host, status) in [
        ("localhost:8080", "200 OK"),
        ("evil.example", "421 Misdirected Request"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = send_raw(fixture.servers.echo_address, &request).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{host}: {response}"
        );
    }
}

#[tokio::test]
async fn echo_describes_the_request_and_hides_its_token() {
    let fixture = Fixture::new().await;
    let request = fixture
        .http
        .put(format!("{}/a%20b?q=1&q=2", fixture.echo()));
    let request = request
        .bearer_auth("secret-token")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .body("héllo");
    let (status, echoed) = read(request).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&echoed["method"], &echoed["path"]),
        (&json!("PUT"), &json!("/a%20b?q=1&q=2"))
    );
    assert_eq!(
        (&echoed["body_size"], &echoed["body"]),
        (&json!(6), &json!("héllo"))
    );
    let headers = echoed["headers"].as_array().expect("headers");
    for header in [
        ["x-twice", "1"],
        ["x-twice", "2"],
        ["authorization", "Bearer (redacted, 12 characters)"],
    ] {
        assert!(headers.contains(&json!(header)), "{headers:?}");
    }
    assert!(!echoed.to_string().contains("secret-token"));
}

#[tokio::test]
async fn echo_reports_the_size_of_large_and_binary_bodies() {
    let fixture = Fixture::new().await;
    for body in [vec![b'a'; 8 * 1024 * 1024], vec![0xff, 0xfe]] {
        let size = body.len();
        let (_, echoed) = read(fixture.http.post(fixture.echo()).body(body)).await;
        assert_eq!(
            (&echoed["body_size"], &echoed["body"]),
            (&json!(size), &Value::Null)
        );
    }
}

#[tokio::test]
async fn error_names_an_address_in_use_or_not_loopback() {
    let occupied = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = occupied.local_addr().expect("its address");
    let refused = start(DevelopmentSettings {
        listen: address,
        ..settings(SigningAlgorithm::EdDsa)
    })
    .await;
    let message = refused.expect_err("the port is taken").to_string();
    assert!(
        message.starts_with(&format!("cannot listen on {address}: ")),
        "{message}"
    );

    let everywhere = ([0, 0, 0, 0], 0).into();
    let refused = start(DevelopmentSettings {
        echo: everywhere,
        ..settings(SigningAlgorithm::EdDsa)
    })
    .await;
    let message = refused.expect_err("not loopback").to_string();
    assert_eq!(
        message,
        "cannot listen on 0.0.0.0:0: expected a loopback address"
    );
}

#[tokio::test]
async fn dropped_servers_close_their_connections_and_free_their_ports() {
    let fixture = Fixture::new().await;
    let address = fixture.servers.issuer_address;
    let mut idle = TcpStream::connect(address).await.expect("a connection");
    idle.write_all(b"GET /jwks HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("sent");
    idle.read_u8().await.expect("a response");
    drop(fixture);
    let mut remainder = Vec::new();
    idle.read_to_end(&mut remainder)
        .await
        .expect("the connection closes");
    TcpListener::bind(address).await.expect("the port is free");
}

#[tokio::test]
async fn cross_site_requests_are_refused() {
    let fixture = Fixture::new().await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let address = fixture.servers.issuer_address;
        let body = "grant_type=client_credentials&client_id=test&client_secret=test";
        let head = format!(
            "POST /token HTTP/1.1\r\nHost: {address}\r\n{name}: {value}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = send_raw(address, &head).await;
        assert!(response.starts_with("HTTP/1.1 403"), "{name}: {response}");
    }
}

#[test]
fn settings_do_not_print_secrets() {
    assert!(!format!("{:?}", settings(SigningAlgorithm::Rs256)).contains("100% +s"));
}
