//! Server-sent events and long polls: what an upstream says comes through as it says it, whatever both sides speak, and a
//! client that goes away is gone for the upstream, too.

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

/// How long a stream may be silent. This, and longer than this, is waited for in earnest.
const IDLE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(150);
const TOO_LONG: Duration = Duration::from_millis(1500);
const SHORT_IDLE_TIMEOUT: &str = "[server]\nbody_idle_timeout = \"1s\"\n";

/// A request that has come, and what it is answered by. That is closed when the request is cancelled.
struct Asked {
    head: Parts,
    body: Bytes,
    answer: oneshot::Sender<Response<ChannelBody>>,
}

/// A body that is told piece by piece.
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

/// An upstream that hands over what it is asked.
async fn upstream(version: Version) -> (SocketAddr, UnboundedReceiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, (tell, asked)) = (
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
            let tell = tell.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| hand_over(request, tell.clone()));
                // An error is the other side going away, which is its right.
                let _ = builder
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    (address, asked)
}

async fn hand_over(
    request: Request<Incoming>,
    tell: UnboundedSender<Asked>,
) -> Result<Response<ChannelBody>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let (answer, answered) = oneshot::channel();
    let body = body.collect().await?.to_bytes();
    tell.send(Asked { head, body, answer })
        .map_err(|_| "the test is over")?;
    Ok(answered.await?)
}

/// A client and an upstream, and what each of them speaks.
struct Pair {
    name: String,
    client: Client,
    url: String,
    token: String,
    version: Version,
    asked: UnboundedReceiver<Asked>,
}

const VERSIONS: [(&str, Version); 2] = [("http1", Version::HTTP_11), ("http2", Version::HTTP_2)];

impl Pair {
    /// One of each kind, with a gateway between them.
    async fn each(front: &str) -> (TestBed, Vec<Self>) {
        let (mut routes, mut kinds) = (String::new(), Vec::new());
        for (of_client, client_version) in VERSIONS {
            for (protocol, version) in VERSIONS {
                let (name, (address, asked)) =
                    (format!("{of_client}-{protocol}"), upstream(version).await);
                routes.push_str(&format!(
                    "[upstreams.{name}]\ntargets = \"http://{address}\"\nprotocol = \"{protocol}\"\n\
                     response_timeout = \"5s\"\n\
                     [[routes]]\npath = \"/{name}\"\nscope = \"read\"\nupstream = \"{name}\"\n"
                ));
                kinds.push((name, client_version, version, asked));
            }
        }
        let test_bed = TestBed::toml(front, "", "", &routes);
        let pairs = kinds
            .into_iter()
            .map(|(name, client_version, version, asked)| {
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
                    asked,
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
    ) -> (Asked, JoinHandle<reqwest::Result<reqwest::Response>>) {
        let asking = tokio::spawn(request.send());
        (self.asked.recv().await.expect("a request"), asking)
    }

    /// Opens a stream of events: what is told on the one comes out of the other.
    async fn open(&mut self) -> Stream {
        let request = self
            .get()
            .header("accept", "text/event-stream")
            .header("last-event-id", "6");
        let (asked, asking) = self.ask(request).await;
        assert_eq!(asked.head.version, self.version, "{}", self.name);
        assert_eq!(asked.head.headers["last-event-id"], "6", "{}", self.name);
        let (tell, told) = mpsc::channel(64);
        let head = Response::builder()
            .header("content-type", "text/event-stream")
            .header("cache-control", "no-store");
        asked
            .answer
            .send(head.body(ChannelBody(told)).expect("an answer"))
            .expect("it waits");
        // Before the first event.
        let answer = asking.await.expect("no panic").expect("a head");
        assert_eq!(answer.status(), 200, "{}", self.name);
        assert_eq!(
            answer.headers()["content-type"],
            "text/event-stream",
            "{}",
            self.name
        );
        assert_eq!(
            answer.headers()["cache-control"],
            "no-store",
            "{}",
            self.name
        );
        assert!(
            !answer.headers().contains_key("content-length"),
            "{}",
            self.name
        );
        Stream {
            name: self.name.clone(),
            tell,
            answer,
        }
    }
}

/// A stream of events from its teller to its listener.
struct Stream {
    name: String,
    tell: mpsc::Sender<Bytes>,
    answer: reqwest::Response,
}

impl Stream {
    async fn tells(&self, told: &'static str) {
        self.tell
            .send(Bytes::from_static(told.as_bytes()))
            .await
            .expect("it is wanted");
    }

    async fn hears(&mut self, told: &str) {
        let mut heard = Vec::new();
        while heard.len() < told.len() {
            heard.extend(
                self.answer
                    .chunk()
                    .await
                    .expect("no failure")
                    .expect("no end"),
            );
        }
        assert_eq!(String::from_utf8_lossy(&heard), told, "{}", self.name);
    }

    async fn passes_on(&mut self, told: &'static str) {
        self.tells(told).await;
        self.hears(told).await;
    }
}

#[test]
fn event_is_heard_before_the_next_one_is_told() {
    bounded(async {
        let (_stand, pairs) = Pair::each("").await;
        for mut pair in pairs {
            let mut stream = pair.open().await;
            for told in [
                "data: first\n\n",
                ": a comment\n\n",
                "\n",
                "data: in ",
                "two pieces\n",
                "\n",
                "id: 7\ndata: x\n\n",
            ] {
                stream.passes_on(told).await;
            }
            drop(stream.tell);
            assert_eq!(
                stream.answer.bytes().await.expect("an end that is one"),
                "",
                "{}",
                pair.name
            );
        }
    });
}

#[test]
fn stream_lives_on_heartbeats() {
    bounded(async {
        let ((_stand, mut pairs), mut streams) = (Pair::each(SHORT_IDLE_TIMEOUT).await, Vec::new());
        for pair in &mut pairs {
            let stream = pair.open().await;
            let beating = tokio::spawn({
                let tell = stream.tell.clone();
                async move {
                    for _ in 0..10 {
                        // Paces the events within the idle timeout under test.
                        sleep(PAUSE).await;
                        tell.send(":\n\n".into()).await.expect("it is wanted");
                    }
                }
            });
            streams.push((stream, beating));
        }
        for (stream, beating) in streams {
            beating.await.expect("no panic");
            drop(stream.tell);
            assert_eq!(
                stream.answer.text().await.expect("an end that is one"),
                ":\n\n".repeat(10),
                "{}",
                stream.name
            );
        }
    });
}

#[test]
fn silent_stream_breaks_off_and_looks_broken() {
    bounded(async {
        let ((_stand, mut pairs), mut streams) = (Pair::each(SHORT_IDLE_TIMEOUT).await, Vec::new());
        let began = Instant::now();
        for pair in &mut pairs {
            let stream = pair.open().await;
            stream.tells("data: the last\n\n").await;
            streams.push(stream);
        }
        for mut stream in streams {
            stream.hears("data: the last\n\n").await;
            let outcome = stream.answer.chunk().await;
            assert!(outcome.is_err(), "{}: {outcome:?}", stream.name);
            assert!(
                began.elapsed() >= IDLE,
                "{}: after {:?}",
                stream.name,
                began.elapsed()
            );
            stream.tell.closed().await;
        }
    });
}

#[test]
fn long_poll_may_be_silent_for_longer_than_a_body() {
    bounded(async {
        let ((_stand, mut pairs), mut polls) = (Pair::each(SHORT_IDLE_TIMEOUT).await, Vec::new());
        for pair in &mut pairs {
            polls.push((pair.name.clone(), pair.ask(pair.get()).await, ""));
            let asking = pair
                .client
                .post(&pair.url)
                .bearer_auth(&pair.token)
                .body("since=7");
            polls.push((pair.name.clone(), pair.ask(asking).await, "since=7"));
        }
        // The polls have to stay open beyond the timeout that must not end them.
        sleep(TOO_LONG).await;
        for (name, (asked, asking), expected) in polls {
            assert_eq!(
                (&*asked.body, asking.is_finished()),
                (expected.as_bytes(), false),
                "{name}"
            );
            let (tell, told) = mpsc::channel(1);
            asked
                .answer
                .send(Response::new(ChannelBody(told)))
                .expect("it waits");
            tell.send("news".into()).await.expect("it is wanted");
            drop(tell);
            let answer = asking.await.expect("no panic").expect("an answer");
            assert_eq!(answer.status(), 200, "{name}");
            assert_eq!(answer.text().await.expect("a whole body"), "news", "{name}");
        }
    });
}

#[test]
fn client_that_goes_away_is_gone_for_the_upstream() {
    bounded(async {
        let (_stand, pairs) = Pair::each("").await;
        for mut pair in pairs {
            // Nobody says anything that could not be delivered, and silence is allowed for longer than this test is.
            let stream = pair.open().await;
            drop(stream.answer);
            stream.tell.closed().await;

            let mut stream = pair.open().await;
            stream.passes_on("data: first\n\n").await;
            drop(stream.answer);
            stream.tell.closed().await;

            let (mut asked, asking) = pair.ask(pair.get()).await;
            asking.abort();
            asked.answer.closed().await;

            // The way is open to others.
            pair.open().await.passes_on("data: first\n\n").await;
        }
    });
}
