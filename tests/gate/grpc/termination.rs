//! How calls end before they are answered: deadlines, clients that go away, silence, tokens that end.

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
    CHECK, EMPTY_MESSAGE, TALK, about, call, channel, endpoint, http2, question, reply, routes,
    status, talk, test_bed, with_token,
};
use harness::{GrpcUpstream, NOW, TestBed, bounded};

/// How long a stream may be silent. This, and longer than this in short pauses, is waited for in earnest.
const IDLE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(150);
const BEATS: usize = 10;
const SHORT_IDLE_TIMEOUT: &str = "[server]\nbody_idle_timeout = \"1s\"\n";

/// An upstream whose every frame is the test's: it hands over what came, and what it is answered by.
async fn upstream() -> (
    SocketAddr,
    UnboundedReceiver<(Request<RecvStream>, SendResponse<Bytes>)>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, (tell, calls)) = (
        listener.local_addr().expect("bound"),
        mpsc::unbounded_channel(),
    );
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else {
                    return;
                };
                while let Some(Ok(call)) = connection.accept().await {
                    // An error means that the test is over.
                    let _ = tell.send(call);
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
        // Long enough for the call to come to the upstream, however busy the machine is.
        let deadline = Duration::from_millis(700);
        for is_told in [true, false] {
            let (mut request, mut endpoint) =
                (with_token(about(""), &token), endpoint(test_bed.address));
            // Where the deadline is told to nobody, the stream's reset alone tells the upstream.
            if is_told {
                request.set_timeout(deadline);
            } else {
                endpoint = endpoint.timeout(deadline);
            }
            let (mut client, began) = (HealthClient::new(endpoint.connect_lazy()), Instant::now());
            let asking = tokio::spawn(async move { client.check(request).await });
            let mut call = calls.checks.recv().await.expect("a call");
            let told = call
                .request
                .metadata()
                .get("grpc-timeout")
                .map(|told| told.to_str().expect("text"));
            assert_eq!(told, is_told.then_some("700000u"));
            let failure = asking.await.expect("no panic").expect_err("no answer");
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
        for has_finished in [true, false] {
            let request = call(CHECK, Some(&token))
                .header("grpc-timeout", "300m")
                .body(())
                .expect("a request");
            let began = Instant::now();
            let (answer, mut stream) = sender.send_request(request, false).expect("sent");
            stream.send_data(EMPTY_MESSAGE, has_finished).expect("sent");
            let (came, mut respond) = calls.recv().await.expect("a call");
            assert_eq!(came.headers()["grpc-timeout"], "300m");
            let (head, body) = answer.await.expect("an answer").into_parts();
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
        let asking = tokio::spawn(async move { client.check(request).await });
        let mut call = calls.checks.recv().await.expect("a call");
        asking.abort();
        call.responder.closed().await;

        for is_begun in [true, false] {
            let mut watched = health
                .watch(with_token(about(""), &token))
                .await
                .expect("an answer")
                .into_inner();
            let call = calls.watches.recv().await.expect("a call");
            if is_begun {
                call.responder
                    .send(Ok(status(Serving)))
                    .await
                    .expect("it is wanted");
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
        let token = test_bed.token("talk");
        for (is_answered, loses_connection) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let (mut sender, connection) = http2(test_bed.address).await;
            let request = call(TALK, Some(&token)).body(()).expect("a request");
            let (answer, mut stream) = sender.send_request(request, false).expect("sent");
            stream.send_data(EMPTY_MESSAGE, false).expect("sent");
            let (came, mut respond) = calls.recv().await.expect("a call");
            let mut body = came.into_body();
            assert_eq!(
                body.data().await.expect("no end").expect("no failure"),
                EMPTY_MESSAGE
            );
            let (_answering, receiving): (_, Box<dyn Any>) = if is_answered {
                let answering = respond
                    .send_response(Response::new(()), false)
                    .expect("sent");
                (Some(answering), Box::new(answer.await.expect("an answer")))
            } else {
                (None, Box::new(answer))
            };
            if loses_connection {
                connection.abort();
            } else {
                drop((receiving, stream));
            }
            let failure = body.data().await.expect("no end").expect_err("no more");
            // Some servers take another reason, NO_ERROR, for an end.
            assert_eq!(
                failure.reason(),
                Some(Reason::CANCEL),
                "{is_answered} {loses_connection}: {failure:?}"
            );
        }
    });
}

#[test]
fn stream_stays_open_while_the_upstream_sends() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed(SHORT_IDLE_TIMEOUT, calls.address);
        let (channel, token) = (channel(test_bed.address), test_bed.token("health talk"));
        let request = with_token(about(""), &token);
        let mut watched = HealthClient::new(channel.clone())
            .watch(request)
            .await
            .expect("an answer")
            .into_inner();
        let (ask, mut answers) = talk(&channel, &token).await;
        let watch = calls.watches.recv().await.expect("a call");
        let mut talk = calls.reflections.recv().await.expect("a call");
        for _ in 0..BEATS {
            // Paces the messages within the idle timeout under test.
            sleep(PAUSE).await;
            watch
                .responder
                .send(Ok(status(Serving)))
                .await
                .expect("it is wanted");
            talk.responder
                .send(Ok(reply("beat")))
                .await
                .expect("it is wanted");
        }
        ask.send(question("at last")).await.expect("it is wanted");
        assert_eq!(
            talk.request.get_mut().message().await.expect("no failure"),
            Some(question("at last"))
        );
        for _ in 0..BEATS {
            assert_eq!(
                watched.message().await.expect("no failure"),
                Some(status(Serving))
            );
            assert_eq!(
                answers.message().await.expect("no failure"),
                Some(reply("beat"))
            );
        }
    });
}

#[test]
fn stream_stays_open_while_the_client_sends() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed(SHORT_IDLE_TIMEOUT, calls.address);
        let (ask, mut answers) = talk(&channel(test_bed.address), &test_bed.token("talk")).await;
        let mut talk = calls.reflections.recv().await.expect("a call");
        for _ in 0..BEATS {
            // Paces the messages within the idle timeout under test.
            sleep(PAUSE).await;
            ask.send(question("beat")).await.expect("it is wanted");
        }
        talk.responder
            .send(Ok(reply("at last")))
            .await
            .expect("it is wanted");
        assert_eq!(
            answers.message().await.expect("no failure"),
            Some(reply("at last"))
        );
        for _ in 0..BEATS {
            assert_eq!(
                talk.request.get_mut().message().await.expect("no failure"),
                Some(question("beat"))
            );
        }
    });
}

#[test]
fn silent_stream_is_reset_on_both_sides() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed(SHORT_IDLE_TIMEOUT, calls.address);
        let (channel, token) = (channel(test_bed.address), test_bed.token("health talk"));
        let (request, began) = (with_token(about(""), &token), Instant::now());
        let mut watched = HealthClient::new(channel.clone())
            .watch(request)
            .await
            .expect("an answer")
            .into_inner();
        let (ask, mut answers) = talk(&channel, &token).await;
        let watch = calls.watches.recv().await.expect("a call");
        let mut talk = calls.reflections.recv().await.expect("a call");
        assert_eq!(
            watched.message().await.expect_err("no end").code(),
            Code::Internal
        );
        assert!(began.elapsed() >= IDLE, "after {:?}", began.elapsed());
        assert_eq!(
            answers.message().await.expect_err("no end").code(),
            Code::Internal
        );
        watch.responder.closed().await;
        talk.responder.closed().await;
        assert!(talk.request.get_mut().message().await.is_err(), "no end");
        ask.closed().await;
    });
}

#[test]
fn stream_with_close_at_expiry_ends_when_its_token_expires() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        // That of the second route, which is the last.
        let routes =
            routes(&format!("targets = \"http://{}\"", calls.address)) + "close_at_expiry = true\n";
        let test_bed = TestBed::toml("", "leeway = \"0s\"", "", &routes);
        let channel = channel(test_bed.address);
        let mut claims = test_bed.issuer.claims("health talk");
        claims["exp"] = json!(NOW + 1);
        let brief = test_bed.key.token(&claims);
        let (request, began) = (with_token(about(""), &brief), Instant::now());
        let mut patient = HealthClient::new(channel.clone())
            .watch(request)
            .await
            .expect("an answer")
            .into_inner();
        let (ask, mut answers) = talk(&channel, &brief).await;
        let watch = calls.watches.recv().await.expect("a call");
        let talk = calls.reflections.recv().await.expect("a call");
        assert_eq!(
            answers.message().await.expect_err("no end").code(),
            Code::Internal
        );
        assert!(
            (800..5000).contains(&began.elapsed().as_millis()),
            "after {:?}",
            began.elapsed()
        );
        talk.responder.closed().await;
        ask.closed().await;
        watch
            .responder
            .send(Ok(status(Serving)))
            .await
            .expect("it is wanted");
        assert_eq!(
            patient.message().await.expect("no failure"),
            Some(status(Serving))
        );
    });
}
