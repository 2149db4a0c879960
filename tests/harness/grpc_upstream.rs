//! An upstream of gRPC, of tonic's making, whose calls are handed to the test: it answers them as it likes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::server::{ServerTlsConfig, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_server::{
    ServerReflection, ServerReflectionServer,
};
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

/// A call that has come, and what it is answered by. That is closed when the call is cancelled.
pub struct Call<Q, A> {
    pub request: Request<Q>,
    pub answer: A,
}

/// One question, one answer.
pub type Check =
    Call<HealthCheckRequest, oneshot::Sender<Result<Response<HealthCheckResponse>, Status>>>;
/// One question, many answers.
pub type Watch = Call<HealthCheckRequest, mpsc::Sender<Result<HealthCheckResponse, Status>>>;
/// Many questions, many answers.
pub type Talk = Call<
    Streaming<ServerReflectionRequest>,
    mpsc::Sender<Result<ServerReflectionResponse, Status>>,
>;

/// Answers that may be given without anybody taking them.
const AT_ONCE: usize = 64;

/// A running upstream, and the calls that came to it.
pub struct GrpcUpstream {
    pub address: SocketAddr,
    pub checks: UnboundedReceiver<Check>,
    pub watches: UnboundedReceiver<Watch>,
    pub talks: UnboundedReceiver<Talk>,
}

impl GrpcUpstream {
    pub fn start() -> Self {
        let ((check, checks), (watch, watches), (talk, talks)) = (
            unbounded_channel(),
            unbounded_channel(),
            unbounded_channel(),
        );
        let (health, reflection) = (HealthCalls { check, watch }, ReflectionCalls { talk });
        let services = GrpcServices(
            HealthServer::new(health),
            ServerReflectionServer::new(reflection),
        );
        Self {
            address: services.serve(None),
            checks,
            watches,
            talks,
        }
    }

    /// Whether no call has come that was not taken.
    pub fn is_untouched(&self) -> bool {
        self.checks.is_empty() && self.watches.is_empty() && self.talks.is_empty()
    }
}

/// Both services behind one port.
pub struct GrpcServices<H, R>(pub HealthServer<H>, pub ServerReflectionServer<R>);

impl<H: Health, R: ServerReflection> GrpcServices<H, R> {
    /// Serves them for as long as the runtime is there.
    pub fn serve(self, tls: Option<ServerTlsConfig>) -> SocketAddr {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())
            .expect("a free port")
            .with_nodelay(Some(true));
        let address = incoming.local_addr().expect("a bound socket");
        let server = tonic::transport::Server::builder();
        let server = match tls {
            Some(tls) => server.tls_config(tls).expect("a certificate"),
            None => server,
        };
        tokio::spawn(server.serve_with_incoming(self, incoming));
        address
    }
}

impl<H, R> Clone for GrpcServices<H, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}

impl<H: Health, R: ServerReflection> Service<http::Request<Body>> for GrpcServices<H, R> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.health.") {
            self.0.call(request)
        } else {
            self.1.call(request)
        }
    }
}

struct HealthCalls {
    check: UnboundedSender<Check>,
    watch: UnboundedSender<Watch>,
}

struct ReflectionCalls {
    talk: UnboundedSender<Talk>,
}

fn is_over<T>(_: T) -> Status {
    Status::aborted("the test is over")
}

#[tonic::async_trait]
impl Health for HealthCalls {
    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        self.check.send(Call { request, answer }).map_err(is_over)?;
        answered.await.map_err(is_over)?
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (answer, answers) = mpsc::channel(AT_ONCE);
        self.watch.send(Call { request, answer }).map_err(is_over)?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

#[tonic::async_trait]
impl ServerReflection for ReflectionCalls {
    type ServerReflectionInfoStream = ReceiverStream<Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let (answer, answers) = mpsc::channel(AT_ONCE);
        self.talk.send(Call { request, answer }).map_err(is_over)?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
