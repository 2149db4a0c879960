//! A gRPC upstream built with tonic; the test receives each call and responds to it.

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

/// A received call, and the channel for its response, which closes when the call is cancelled.
pub struct Call<Q, R> {
    pub request: Request<Q>,
    pub responder: R,
}

/// A unary call.
pub type Check =
    Call<HealthCheckRequest, oneshot::Sender<Result<Response<HealthCheckResponse>, Status>>>;
/// A server-streaming call.
pub type Watch = Call<HealthCheckRequest, mpsc::Sender<Result<HealthCheckResponse, Status>>>;
/// A bidirectional streaming call.
pub type Reflection = Call<
    Streaming<ServerReflectionRequest>,
    mpsc::Sender<Result<ServerReflectionResponse, Status>>,
>;

/// How many messages of a response stream may wait to be sent.
const BUFFERED_MESSAGES: usize = 64;

/// A running upstream, and the calls it received.
pub struct GrpcUpstream {
    pub address: SocketAddr,
    pub checks: UnboundedReceiver<Check>,
    pub watches: UnboundedReceiver<Watch>,
    pub reflections: UnboundedReceiver<Reflection>,
}

impl GrpcUpstream {
    pub fn start() -> Self {
        let (check, checks) = unbounded_channel();
        let (watch, watches) = unbounded_channel();
        let (reflection, reflections) = unbounded_channel();
        let services = GrpcServices(
            HealthServer::new(HealthCalls { check, watch }),
            ServerReflectionServer::new(ReflectionCalls { reflection }),
        );
        Self {
            address: services.serve(None),
            checks,
            watches,
            reflections,
        }
    }

    /// Whether no received call is waiting for the test.
    pub fn has_no_calls(&self) -> bool {
        self.checks.is_empty() && self.watches.is_empty() && self.reflections.is_empty()
    }
}

/// Both services on one port.
pub struct GrpcServices<H, R>(pub HealthServer<H>, pub ServerReflectionServer<R>);

impl<H: Health, R: ServerReflection> GrpcServices<H, R> {
    /// Serves them until the runtime ends.
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
    reflection: UnboundedSender<Reflection>,
}

fn test_ended<T>(_: T) -> Status {
    Status::aborted("the test has ended")
}

#[tonic::async_trait]
impl Health for HealthCalls {
    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let (responder, response) = oneshot::channel();
        self.check
            .send(Call { request, responder })
            .map_err(test_ended)?;
        response.await.map_err(test_ended)?
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (responder, messages) = mpsc::channel(BUFFERED_MESSAGES);
        self.watch
            .send(Call { request, responder })
            .map_err(test_ended)?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

#[tonic::async_trait]
impl ServerReflection for ReflectionCalls {
    type ServerReflectionInfoStream = ReceiverStream<Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let (responder, messages) = mpsc::channel(BUFFERED_MESSAGES);
        self.reflection
            .send(Call { request, responder })
            .map_err(test_ended)?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
