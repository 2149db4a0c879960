//! The responses to gRPC calls that are not forwarded.

use std::net::SocketAddr;

use http::header;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient as OlderReflectionClient;

use super::{CHECK, EMPTY_MESSAGE, about, call, channel, http2, routes, test_bed, with_token};
use harness::{GrpcUpstream, Key, Reply, TestBed, bounded};

const INVALID: &str = "Bearer error=\"invalid_token\"";
const NEEDS_HEALTH: &str = "Bearer error=\"insufficient_scope\", scope=\"health\"";
const NEEDS_REFLECTION: &str = "Bearer error=\"insufficient_scope\", scope=\"reflection\"";

/// A token with an unknown key, of an issuer whose JWKS endpoint fails from now on.
fn token_of_unknown_key(test_bed: &TestBed) -> String {
    test_bed.issuer.fail(Reply::status(500));
    Key::es256("unknown").token(&test_bed.issuer.claims("health reflection"))
}

/// A port that refuses connections, reserved while the socket is open.
fn refusing_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = socket.local_addr().expect("a bound socket");
    (socket, address)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refusals_have_the_matching_grpc_status() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let channel = channel(test_bed.address);
        let mut health = HealthClient::new(channel.clone());
        for (token, code, health_challenge, reflection_challenge) in [
            (None, Code::Unauthenticated, Some("Bearer"), Some("Bearer")),
            (
                Some("not.a.token".to_owned()),
                Code::Unauthenticated,
                Some(INVALID),
                Some(INVALID),
            ),
            (
                Some(test_bed.token("other")),
                Code::PermissionDenied,
                Some(NEEDS_HEALTH),
                Some(NEEDS_REFLECTION),
            ),
            (
                Some(token_of_unknown_key(&test_bed)),
                Code::Unavailable,
                None,
                None,
            ),
        ] {
            let request = || {
                token.as_ref().map_or_else(
                    || Request::new(about("")),
                    |token| with_token(about(""), token),
                )
            };
            let check = health.check(request()).await.expect_err("a refusal");
            let watch = health.watch(request()).await.expect_err("a refusal");
            // This one is refused while its request stream is still open.
            let (_sender, messages) = mpsc::channel(1);
            let mut reflection_request = Request::new(ReceiverStream::new(messages));
            *reflection_request.metadata_mut() = request().metadata().clone();
            let reflection = ServerReflectionClient::new(channel.clone())
                .server_reflection_info(reflection_request)
                .await;
            let reflection = reflection.expect_err("a refusal");
            for (refusal, challenge) in [
                (check, health_challenge),
                (watch, health_challenge),
                (reflection, reflection_challenge),
            ] {
                assert_eq!(refusal.code(), code, "{refusal:?}");
                let found = refusal.metadata().get("www-authenticate");
                assert_eq!(
                    found.map(|found| found.to_str().expect("text")),
                    challenge,
                    "{refusal:?}"
                );
            }
        }

        let (_sender, messages) = mpsc::channel(1);
        let reflection_request = with_token(
            ReceiverStream::new(messages),
            &test_bed.token("health reflection"),
        );
        let refusal = OlderReflectionClient::new(channel)
            .server_reflection_info(reflection_request)
            .await;
        assert_eq!(refusal.expect_err("no route").code(), Code::Unimplemented);

        assert!(calls.has_no_calls());
        let permitted = with_token(about("permitted"), &test_bed.token("health"));
        tokio::spawn(async move { health.check(permitted).await });
        let first = calls.checks.recv().await.expect("a call");
        assert_eq!(first.request.get_ref(), &about("permitted"));
    });
}

#[test]
fn upstream_that_is_down_is_unavailable() {
    bounded(async {
        let (_socket, unreachable) = refusing_port();
        let test_bed = test_bed("", unreachable);
        let token = test_bed.token("health");
        let mut health = HealthClient::new(channel(test_bed.address));
        // Before the target is ejected, and after.
        for _ in 0..5 {
            let refusal = health
                .check(with_token(about(""), &token))
                .await
                .expect_err("a refusal");
            assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
            assert!(
                refusal.metadata().get("www-authenticate").is_none(),
                "{refusal:?}"
            );
        }
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refusal_is_a_trailers_only_response_with_its_http_status() {
    bounded(async {
        let calls = GrpcUpstream::start();
        let (_socket, unreachable) = refusing_port();
        let upstreams = format!(
            "targets = \"http://{}\"\n\
             [upstreams.unreachable]\nprotocol = \"http2\"\ntargets = \"http://{unreachable}\"\nretries = 0\n\
             [[routes]]\npath = \"/unreachable.Service/{{method}}\"\nupstream = \"unreachable\"\n",
            calls.address
        );
        let test_bed = TestBed::toml("", "", "", &routes(&upstreams));
        let (insufficient, sufficient, unknown) = (
            test_bed.token("other"),
            test_bed.token("health"),
            token_of_unknown_key(&test_bed),
        );
        let (mut sender, _connection) = http2(test_bed.address).await;
        let no_token = "An access token is needed: Authorization: Bearer TOKEN.";
        let no_scope =
            "The access token lacks scope; the WWW-Authenticate header names what is needed.";
        let too_large = "The access token is larger than this gateway accepts.";
        let large = "x".repeat(17 * 1024);
        let no_keys = "The access token cannot be checked at the moment.";
        let no_response = "The service behind this gateway did not respond.";
        for (path, token, status, code, message, challenge) in [
            (CHECK, None, 401, "16", no_token, Some("Bearer")),
            (
                CHECK,
                Some(&insufficient),
                403,
                "7",
                no_scope,
                Some(NEEDS_HEALTH),
            ),
            (CHECK, Some(&large), 431, "13", too_large, None),
            (CHECK, Some(&unknown), 503, "14", no_keys, None),
            (
                "/other.Other/Call",
                Some(&sufficient),
                404,
                "12",
                "Nothing is published here.",
                None,
            ),
            (
                "/unreachable.Service/Call",
                Some(&sufficient),
                502,
                "14",
                no_response,
                None,
            ),
        ] {
            for has_ended in [true, false] {
                let request = call(path, token.map(String::as_str))
                    .body(())
                    .expect("a request");
                let (response, mut stream) = sender.send_request(request, false).expect("sent");
                stream.send_data(EMPTY_MESSAGE, has_ended).expect("sent");
                let (head, body) = response.await.expect("a response").into_parts();
                let headers = head
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
                let mut headers: Vec<_> = headers
                    .filter(|(name, _)| !matches!(*name, "date" | "retry-after" | "x-request-id"))
                    .collect();
                headers.sort_unstable();
                let mut expected = vec![
                    ("content-type", "application/grpc"),
                    ("grpc-message", message),
                    ("grpc-status", code),
                ];
                expected.extend(challenge.map(|challenge| ("www-authenticate", challenge)));
                assert_eq!(
                    (head.status.as_u16(), headers),
                    (status, expected),
                    "{path}"
                );
                assert_eq!(
                    head.headers.contains_key(header::RETRY_AFTER),
                    status == 503,
                    "{path}"
                );
                assert!(body.is_end_stream(), "{path}: END_STREAM is on the head");
            }
        }
        assert!(calls.has_no_calls());
    });
}

#[test]
fn fixed_response_reaches_the_client_as_a_status() {
    bounded(async {
        let test_bed = TestBed::routes(
            "[[routes]]\npath = \"/grpc.health.v1.Health/{method}\"\npublic = true\n\
             respond = { status = 503, body = \"Closed:\\n100 % caf\u{e9}.\\n\" }\n",
        );
        let mut health = HealthClient::new(channel(test_bed.address));
        let check = health.check(about("")).await.expect_err("a status");
        let watch = health.watch(about("")).await.expect_err("a status");
        for status in [check, watch] {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert_eq!(status.message(), "Closed:\n100 % caf\u{e9}.");
        }
    });
}
