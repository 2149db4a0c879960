//! Server-sent events and long polls over every pair of protocols.
//!
//! Events are forwarded at once. A client that disconnects cancels the request to the upstream.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use reqwest::{Client, RequestBuilder};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use harness::{TestBed, bounded};

/// The idle timeout under test. The tests wait for it in real time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between heartbeats.
const PAUSE: Duration = Duration::from_millis(150);
/// Longer than the idle timeout.
const TOO_LONG: Duration = Duration::from_millis(1500);
const SHORT_IDLE_TIMEOUT: &str = "[server]\nbody_idle_timeout = \"1s\"\n";

/// A received request, and the channel for its response.
///
/// The channel closes when the request is cancelled.
struct ReceivedRequest {
    head: Parts,
    body: Bytes,
    responder: oneshot::Sender<Response<ChannelBody>>,
}

/// A body whose pieces come from a channel.
#[derive(Debug)]
struct ChannelBody(mpsc::Receiver<Bytes>);

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// An upstream that hands its requests to the test.
async fn upstream(version: Version) -> (SocketAddr, UnboundedReceiver<ReceivedRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, (sender, received)) = (
        listener.local_addr().expect("bound"),
        mpsc::unbounded_channel(),
    );
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            socket.set_nodelay(true).expect("a socket");
            let builder = Builder::new(TokioExecutor::new());
            let builder = if version == Version::HTTP_2 {
                builder.http2_only()
            } else {
                builder.http1_only()
            };
            let sender = sender.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| hand_over(request, sender.clone()));
                // An error means that the gateway closed the connection, which it may.
                let _ = builder
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    (address, received)
}

async fn hand_over(
    request: Request<Incoming>,
    sender: UnboundedSender<ReceivedRequest>,
) -> Result<Response<ChannelBody>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let (responder, response) = oneshot::channel();
    let body = body.collect().await?.to_bytes();
    sender
        .send(ReceivedRequest {
            head,
            body,
            responder,
        })
        .map_err(|_| "the test has ended")?;
    Ok(response.await?)
}

/// A client and an upstream, each with its protocol.
struct Pair {
    name: String,
    client: Client,
    url: String,
    token: String,
    version: Version,
    received: UnboundedReceiver<ReceivedRequest>,
}

const VERSIONS: [(&str, Version); 2] = [("http1", Version::HTTP_11), ("http2", Version::HTTP_2)];

impl Pair {
    /// Every pair of protocols, with a gateway between client and upstream.
    async fn each(top: &str) -> (TestBed, Vec<Self>) {
        let (mut routes, mut kinds) = (String::new(), Vec::new());
        for (of_client, client_version) in VERSIONS {
            for (protocol, version) in VERSIONS {
                let (name, (address, received)) =
                    (format!("{of_client}-{protocol}"), upstream(version).await);
                routes.push_str(&format!(
                    "[upstreams.{name}]\ntargets = \"http://{address}\"\nprotocol = \"{protocol}\"\n\
                     response_timeout = \"5s\"\n\
                     [[routes]]\npath = \"/{name}\"\nscope = \"read\"\nupstream = \"{name}\"\n"
                ));
                kinds.push((name, client_version, version, received));
            }
        }
        let test_bed = TestBed::toml(top, "", "", &routes);
        let pairs = kinds
            .into_iter()
            .map(|(name, client_version, version, received)| {
                let tls = scopegate::transport::tls::client(rustls::RootCertStore::empty(), None)
                    .expect("a configuration");
                let client = Client::builder().tls_backend_preconfigured(tls).no_proxy();
                let client = if client_version == Version::HTTP_2 {
                    client.http2_prior_knowledge()
                } else {
                    client
                };
                let (client, url) = (
                    client.build().expect("a client"),
                    format!("http://{}/{name}", test_bed.address),
                );
                Self {
                    name,
                    client,
                    url,
                    token: test_bed.token("read"),
                    version,
                    received,
                }
            });
        let pairs = pairs.collect();
        (test_bed, pairs)
    }

    fn get(&self) -> RequestBuilder {
        self.client.get(&self.url).bearer_auth(&self.token)
    }

    async fn ask(
        &mut self,
        request: RequestBuilder,
    ) -> (
        ReceivedRequest,
        JoinHandle<reqwest::Result<reqwest::Response>>,
    ) {
        let response = tokio::spawn(request.send());
        (self.received.recv().await.expect("a request"), response)
    }

    /// Opens a stream of events.
    async fn open(&mut self) -> Stream {
        let request = self
            .get()
            .header("accept", "text/event-stream")
            .header("last-event-id", "6");
        let (received, response) = self.ask(request).await;
        assert_eq!(received.head.version, self.version, "{}", self.name);
        assert_eq!(received.head.headers["last-event-id"], "6", "{}", self.name);
        let (sender, body) = mpsc::channel(64);
        let head = Response::builder()
            .header("content-type", "text/event-stream")
            .header("cache-control", "no-store");
        received
            .responder
            .send(head.body(ChannelBody(body)).expect("a response"))
            .expect("a waiting request");
        // The head is forwarded before the first event.
        let response = response.await.expect("no panic").expect("a head");
        assert_eq!(response.status(), 200, "{}", self.name);
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream",
            "{}",
            self.name
        );
        assert_eq!(
            response.headers()["cache-control"],
            "no-store",
            "{}",
            self.name
        );
        assert!(
            !response.headers().contains_key("content-length"),
            "{}",
            self.name
        );
        Stream {
            name: self.name.clone(),
            sender,
            response,
        }
    }
}

/// An open stream of events, from the upstream to the client.
struct Stream {
    name: String,
    sender: mpsc::Sender<Bytes>,
    response: reqwest::Response,
}

impl Stream {
    async fn send(&self, event: &'static str) {
        self.sender
            .send(Bytes::from_static(event.as_bytes()))
            .await
            .expect("an open stream");
    }

    async fn receive(&mut self, event: &str) {
        let mut received = Vec::new();
        while received.len() < event.len() {
            received.extend(
                self.response
                    .chunk()
                    .await
                    .expect("no failure")
                    .expect("another piece"),
            );
        }
        assert_eq!(String::from_utf8_lossy(&received), event, "{}", self.name);
    }

    async fn forward(&mut self, event: &'static str) {
        self.send(event).await;
        self.receive(event).await;
    }
}

#[test]
fn each_event_is_forwarded_before_the_next_one_is_sent() {
    bounded(async {
        let (_test_bed, pairs) = Pair::each("").await;
        for mut pair in pairs {
            let mut stream = pair.open().await;
            for event in [
                "data: first\n\n",
                ": a comment\n\n",
                "\n",
                "data: in ",
                "two pieces\n",
                "\n",
                "id: 7\ndata: x\n\n",
            ] {
                stream.forward(event).await;
            }
            drop(stream.sender);
            assert_eq!(
                stream.response.bytes().await.expect("a complete body"),
                "",
                "{}",
                pair.name
            );
        }
    });
}

#[test]
fn heartbeats_keep_a_stream_open() {
    bounded(async {
        let ((_test_bed, mut pairs), mut streams) =
            (Pair::each(SHORT_IDLE_TIMEOUT).await, Vec::new());
        for pair in &mut pairs {
            let stream = pair.open().await;
            let heartbeats = tokio::spawn({
                let sender = stream.sender.clone();
                async move {
                    for _ in 0..10 {
                        // Paces the events within the idle timeout under test.
                        sleep(PAUSE).await;
                        sender.send(":\n\n".into()).await.expect("an open stream");
                    }
                }
            });
            streams.push((stream, heartbeats));
        }
        for (stream, heartbeats) in streams {
            heartbeats.await.expect("no panic");
            drop(stream.sender);
            assert_eq!(
                stream.response.text().await.expect("a complete body"),
                ":\n\n".repeat(10),
                "{}",
                stream.name
            );
        }
    });
}

#[test]
fn silent_stream_times_out_and_looks_truncated() {
    bounded(async {
        let ((_test_bed, mut pairs), mut streams) =
            (Pair::each(SHORT_IDLE_TIMEOUT).await, Vec::new());
        let began = Instant::now();
        for pair in &mut pairs {
            let stream = pair.open().await;
            stream.send("data: the last\n\n").await;
            streams.push(stream);
        }
        for mut stream in streams {
            stream.receive("data: the last\n\n").await;
            let outcome = stream.response.chunk().await;
            assert!(outcome.is_err(), "{}: {outcome:?}", stream.name);
            assert!(
                began.elapsed() >= IDLE_TIMEOUT,
                "{}: after {:?}",
                stream.name,
                began.elapsed()
            );
            stream.sender.closed().await;
        }
    });
}

#[test]
fn long_poll_may_be_silent_for_longer_than_the_idle_timeout() {
    bounded(async {
        let ((_test_bed, mut pairs), mut polls) =
            (Pair::each(SHORT_IDLE_TIMEOUT).await, Vec::new());
        for pair in &mut pairs {
            polls.push((pair.name.clone(), pair.ask(pair.get()).await, ""));
            let request = pair
                .client
                .post(&pair.url)
                .bearer_auth(&pair.token)
                .body("since=7");
            polls.push((pair.name.clone(), pair.ask(request).await, "since=7"));
        }
        // Shows an absence: the idle timeout does not end the polls.
        sleep(TOO_LONG).await;
        for (name, (received, response), expected) in polls {
            assert_eq!(
                (&*received.body, response.is_finished()),
                (expected.as_bytes(), false),
                "{name}"
            );
            let (sender, body) = mpsc::channel(1);
            received
                .responder
                .send(Response::new(ChannelBody(body)))
                .expect("a waiting request");
            sender.send("news".into()).await.expect("an open stream");
            drop(sender);
            let response = response.await.expect("no panic").expect("a response");
            assert_eq!(response.status(), 200, "{name}");
            assert_eq!(
                response.text().await.expect("a complete body"),
                "news",
                "{name}"
            );
        }
    });
}

#[test]
fn disconnecting_client_cancels_its_request_to_the_upstream() {
    bounded(async {
        let (_test_bed, pairs) = Pair::each("").await;
        for mut pair in pairs {
            // No event fails to be sent and no idle timeout expires: the disconnect itself is noticed.
            let stream = pair.open().await;
            drop(stream.response);
            stream.sender.closed().await;

            let mut stream = pair.open().await;
            stream.forward("data: first\n\n").await;
            drop(stream.response);
            stream.sender.closed().await;

            let (mut received, response) = pair.ask(pair.get()).await;
            response.abort();
            received.responder.closed().await;

            // Other requests still succeed.
            pair.open().await.forward("data: first\n\n").await;
        }
    });
}
