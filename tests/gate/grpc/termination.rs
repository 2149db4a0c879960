//! Calls that end early: deadlines, cancellation, idle timeouts, expired tokens.

use std::any::Any;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderValue, Request, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::sleep;
use tonic::Code;
use tonic_health::ServingStatus::Serving;
use tonic_health::pb::health_client::HealthClient;

use super::{
    CHECK, EMPTY_MESSAGE, REFLECTION, about, call, channel, endpoint, http2, open_reflection,
    reflection_request, reflection_response, routes, status, test_bed, with_token,
};
use harness::{GrpcUpstream, NOW, TestBed, bounded};

/// The idle timeout under test.
const IDLE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(150);
const MESSAGES: usize = 10;
const SHORT_IDLE_TIMEOUT: &str = "[server]\nbody_idle_timeout = \"1s\"\n";

/// An upstream that hands each call and its responder to the test.
async fn upstream() -> (
    SocketAddr,
    UnboundedReceiver<(Request<RecvStream>, SendResponse<Bytes>)>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    let (sender, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else {
                    return;
                };
                while let Some(Ok(call)) = connection.accept().await {
                    // An error means that the test is over.
                    let _ = sender.send(call);
                }
            });
        }
    });
    (address, calls)
}

#[test]
fn call_is_cancelled_upstream_when_its_deadline_passes() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let token = test_bed.token("health");
        // Long enough for the call to reach the upstream on a busy machine.
        let deadline = Duration::from_millis(700);
        for sends_deadline in [true, false] {
            let (mut request, mut endpoint) =
                (with_token(about(""), &token), endpoint(test_bed.address));
            // Without `grpc-timeout`, only the reset of the stream reaches the upstream.
            if sends_deadline {
                request.set_timeout(deadline);
            } else {
                endpoint = endpoint.timeout(deadline);
            }
            let (mut client, began) = (HealthClient::new(endpoint.connect_lazy()), Instant::now());
            let pending = tokio::spawn(async move { client.check(request).await });
            let mut call = calls.checks.recv().await.expect("a call");
            let timeout = call
                .request
                .metadata()
                .get("grpc-timeout")
                .map(|timeout| timeout.to_str().expect("text"));
            assert_eq!(timeout, sends_deadline.then_some("700000u"));
            let failure = pending.await.expect("no panic").expect_err("no response");
            assert!(
                matches!(failure.code(), Code::Cancelled | Code::DeadlineExceeded),
                "{failure:?}"
            );
            assert!(
                (700..5000).contains(&began.elapsed().as_millis()),
                "after {:?}",
                began.elapsed()
            );
            call.responder.closed().await;
        }
    });
}

#[test]
fn upstream_that_misses_a_deadline_is_a_504_and_its_call_is_cancelled() {
    bounded(async {
        let (upstream, mut calls) = upstream().await;
        let test_bed = test_bed("", upstream);
        let token = test_bed.token("health");
        let (mut sender, _connection) = http2(test_bed.address).await;
        for has_ended in [true, false] {
            let request = call(CHECK, Some(&token))
                .header("grpc-timeout", "300m")
                .body(())
                .expect("a request");
            let began = Instant::now();
            let (response, mut stream) = sender.send_request(request, false).expect("sent");
            stream.send_data(EMPTY_MESSAGE, has_ended).expect("sent");
            let (received, mut respond) = calls.recv().await.expect("a call");
            assert_eq!(received.headers()["grpc-timeout"], "300m");
            let (head, body) = response.await.expect("a response").into_parts();
            assert!(
                (300..5000).contains(&began.elapsed().as_millis()),
                "after {:?}",
                began.elapsed()
            );
            assert_eq!(
                (head.status.as_u16(), &head.headers["grpc-status"]),
                (504, &HeaderValue::from(4))
            );
            assert!(body.is_end_stream());
            let reason = poll_fn(|context| respond.poll_reset(context))
                .await
                .expect("a connection");
            assert_eq!(reason, Reason::CANCEL);
        }
    });
}

#[test]
fn call_cancelled_by_its_client_is_cancelled_upstream() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let token = test_bed.token("health");
        let mut health = HealthClient::new(channel(test_bed.address));

        let (mut client, request) = (health.clone(), with_token(about(""), &token));
        let pending = tokio::spawn(async move { client.check(request).await });
        let mut call = calls.checks.recv().await.expect("a call");
        pending.abort();
        call.responder.closed().await;

        for has_message in [true, false] {
            let mut watched = health
                .watch(with_token(about(""), &token))
                .await
                .expect("a response")
                .into_inner();
            let call = calls.watches.recv().await.expect("a call");
            if has_message {
                call.responder
                    .send(Ok(status(Serving)))
                    .await
                    .expect("an open call");
                assert_eq!(
                    watched.message().await.expect("no failure"),
                    Some(status(Serving))
                );
            }
            drop(watched);
            call.responder.closed().await;
        }
    });
}

#[test]
fn request_stream_truncated_by_its_client_is_reset_upstream() {
    bounded(async {
        let (upstream, mut calls) = upstream().await;
        let test_bed = test_bed("", upstream);
        let token = test_bed.token("reflection");
        for (has_response, closes_connection) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let (mut sender, connection) = http2(test_bed.address).await;
            let request = call(REFLECTION, Some(&token)).body(()).expect("a request");
            let (response, mut stream) = sender.send_request(request, false).expect("sent");
            stream.send_data(EMPTY_MESSAGE, false).expect("sent");
            let (received, mut respond) = calls.recv().await.expect("a call");
            let mut body = received.into_body();
            assert_eq!(
                body.data().await.expect("no end").expect("no failure"),
                EMPTY_MESSAGE
            );
            let (_response_stream, receiver): (_, Box<dyn Any>) = if has_response {
                let response_stream = respond
                    .send_response(Response::new(()), false)
                    .expect("sent");
                (
                    Some(response_stream),
                    Box::new(response.await.expect("a response")),
                )
            } else {
                (None, Box::new(response))
            };
            if closes_connection {
                connection.abort();
            } else {
                drop((receiver, stream));
            }
            let failure = body.data().await.expect("no end").expect_err("no more");
            // Some servers take a reset with NO_ERROR for a complete stream.
            assert_eq!(
                failure.reason(),
                Some(Reason::CANCEL),
                "{has_response} {closes_connection}: {failure:?}"
            );
        }
    });
}

#[test]
fn stream_stays_open_while_the_upstream_sends() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed(SHORT_IDLE_TIMEOUT, calls.address);
        let (channel, token) = (
            channel(test_bed.address),
            test_bed.token("health reflection"),
        );
        let request = with_token(about(""), &token);
        let mut watched = HealthClient::new(channel.clone())
            .watch(request)
            .await
            .expect("a response")
            .into_inner();
        let (sender, mut responses) = open_reflection(&channel, &token).await;
        let watch = calls.watches.recv().await.expect("a call");
        let mut reflection = calls.reflections.recv().await.expect("a call");
        for _ in 0..MESSAGES {
            // Paces the messages within the idle timeout under test.
            sleep(PAUSE).await;
            watch
                .responder
                .send(Ok(status(Serving)))
                .await
                .expect("an open call");
            reflection
                .responder
                .send(Ok(reflection_response("message")))
                .await
                .expect("an open call");
        }
        sender
            .send(reflection_request("last"))
            .await
            .expect("an open call");
        assert_eq!(
            reflection
                .request
                .get_mut()
                .message()
                .await
                .expect("no failure"),
            Some(reflection_request("last"))
        );
        for _ in 0..MESSAGES {
            assert_eq!(
                watched.message().await.expect("no failure"),
                Some(status(Serving))
            );
            assert_eq!(
                responses.message().await.expect("no failure"),
                Some(reflection_response("message"))
            );
        }
    });
}

#[test]
fn stream_stays_open_while_the_client_sends() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed(SHORT_IDLE_TIMEOUT, calls.address);
        let (sender, mut responses) =
            open_reflection(&channel(test_bed.address), &test_bed.token("reflection")).await;
        let mut reflection = calls.reflections.recv().await.expect("a call");
        for _ in 0..MESSAGES {
            // Paces the messages within the idle timeout under test.
            sleep(PAUSE).await;
            sender
                .send(reflection_request("message"))
                .await
                .expect("an open call");
        }
        reflection
            .responder
            .send(Ok(reflection_response("last")))
            .await
            .expect("an open call");
        assert_eq!(
            responses.message().await.expect("no failure"),
            Some(reflection_response("last"))
        );
        for _ in 0..MESSAGES {
            assert_eq!(
                reflection
                    .request
                    .get_mut()
                    .message()
                    .await
                    .expect("no failure"),
                Some(reflection_request("message"))
            );
        }
    });
}

#[test]
fn silent_stream_is_reset_on_both_sides() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed(SHORT_IDLE_TIMEOUT, calls.address);
        let (channel, token) = (
            channel(test_bed.address),
            test_bed.token("health reflection"),
        );
        let (request, began) = (with_token(about(""), &token), Instant::now());
        let mut watched = HealthClient::new(channel.clone())
            .watch(request)
            .await
            .expect("a response")
            .into_inner();
        let (sender, mut responses) = open_reflection(&channel, &token).await;
        let watch = calls.watches.recv().await.expect("a call");
        let mut reflection = calls.reflections.recv().await.expect("a call");
        assert_eq!(
            watched.message().await.expect_err("no end").code(),
            Code::Internal
        );
        assert!(began.elapsed() >= IDLE, "after {:?}", began.elapsed());
        assert_eq!(
            responses.message().await.expect_err("no end").code(),
            Code::Internal
        );
        watch.responder.closed().await;
        reflection.responder.closed().await;
        assert!(
            reflection.request.get_mut().message().await.is_err(),
            "no end"
        );
        sender.closed().await;
    });
}

#[test]
fn stream_with_close_at_expiry_ends_when_its_token_expires() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        // The option belongs to the second route, which is the last table.
        let routes =
            routes(&format!("targets = \"http://{}\"", calls.address)) + "close_at_expiry = true\n";
        let test_bed = TestBed::toml("", "leeway = \"0s\"", "", &routes);
        let channel = channel(test_bed.address);
        let mut claims = test_bed.issuer.claims("health reflection");
        claims["exp"] = json!(NOW + 1);
        let short_lived = test_bed.key.token(&claims);
        let (request, began) = (with_token(about(""), &short_lived), Instant::now());
        let mut unlimited = HealthClient::new(channel.clone())
            .watch(request)
            .await
            .expect("a response")
            .into_inner();
        let (sender, mut responses) = open_reflection(&channel, &short_lived).await;
        let watch = calls.watches.recv().await.expect("a call");
        let reflection = calls.reflections.recv().await.expect("a call");
        assert_eq!(
            responses.message().await.expect_err("no end").code(),
            Code::Internal
        );
        assert!(
            (800..5000).contains(&began.elapsed().as_millis()),
            "after {:?}",
            began.elapsed()
        );
        reflection.responder.closed().await;
        sender.closed().await;
        watch
            .responder
            .send(Ok(status(Serving)))
            .await
            .expect("an open call");
        assert_eq!(
            unlimited.message().await.expect("no failure"),
            Some(status(Serving))
        );
    });
}
