//! gRPC through the gateway, with tonic on either side.

mod refusals;
mod termination;

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::header;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig,
};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::HealthReporter;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use harness::{Authority, GrpcServices, GrpcUpstream, TestBed, bounded};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// An empty message with its frame header.
const EMPTY_MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

fn routes(upstream: &str) -> String {
    format!(
        "[upstreams.far]\nprotocol = \"http2\"\n{upstream}\n\
         [[routes]]\npath = \"/grpc.health.v1.Health/{{method}}\"\nscope = \"health\"\nupstream = \"far\"\n\
         [[routes]]\npath = \"/grpc.reflection.v1.ServerReflection/{{method}}\"\nscope = \"reflection\"\nupstream = \"far\"\n"
    )
}

/// A gateway in front of a cleartext upstream.
fn test_bed(front: &str, upstream: SocketAddr) -> TestBed {
    TestBed::toml(
        front,
        "",
        "",
        &routes(&format!("targets = \"http://{upstream}\"")),
    )
}

fn endpoint(gateway: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{gateway}")).expect("a URL")
}

fn channel(gateway: SocketAddr) -> Channel {
    endpoint(gateway).connect_lazy()
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(
        "authorization",
        format!("Bearer {token}").parse().expect("a header value"),
    );
    request
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn status(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: tonic_health::pb::health_check_response::ServingStatus::from(status).into(),
    }
}

fn reflection_request(host: &str) -> ServerReflectionRequest {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    ServerReflectionRequest {
        host: host.to_owned(),
        message_request,
    }
}

fn reflection_response(host: &str) -> ServerReflectionResponse {
    ServerReflectionResponse {
        valid_host: host.to_owned(),
        original_request: None,
        message_response: None,
    }
}

/// Opens a bidirectional stream.
async fn open_reflection(
    channel: &Channel,
    token: &str,
) -> (
    mpsc::Sender<ServerReflectionRequest>,
    Streaming<ServerReflectionResponse>,
) {
    let (sender, messages) = mpsc::channel(64);
    let mut client = ServerReflectionClient::new(channel.clone());
    let responses = client
        .server_reflection_info(with_token(ReceiverStream::new(messages), token))
        .await;
    (sender, responses.expect("a response").into_inner())
}

/// An h2 client, and the task that drives its connection.
async fn http2(gateway: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(gateway).await.expect("it listens");
    let (sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    (sender.ready().await.expect("a connection"), driver)
}

/// The request head of a call.
fn call(path: &str, token: Option<&str>) -> http::request::Builder {
    let request = http::Request::post(format!("http://api.test{path}"));
    let request = request
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers");
    match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

async fn every_kind_of_call(channel: &Channel, token: &str, reporter: &HealthReporter) {
    let mut health = HealthClient::new(channel.clone());
    let response = health
        .check(with_token(about(""), token))
        .await
        .expect("a response");
    assert_eq!(response.into_inner(), status(ServingStatus::Serving));

    reporter
        .set_service_status("a", ServingStatus::Unknown)
        .await;
    let mut watched = health
        .watch(with_token(about("a"), token))
        .await
        .expect("a response")
        .into_inner();
    assert_eq!(
        watched.message().await.expect("no failure"),
        Some(status(ServingStatus::Unknown))
    );
    for next in [ServingStatus::Serving, ServingStatus::NotServing].repeat(10) {
        reporter.set_service_status("a", next).await;
        assert_eq!(
            watched.message().await.expect("no failure"),
            Some(status(next))
        );
    }

    let (sender, mut responses) = open_reflection(channel, token).await;
    for number in 0..200 {
        let request = reflection_request(&number.to_string());
        sender.send(request.clone()).await.expect("an open call");
        // A gateway that buffered messages would block here.
        let response = responses
            .message()
            .await
            .expect("no failure")
            .expect("no end");
        assert_eq!(response.original_request, Some(request));
        assert!(
            format!("{response:?}").contains("grpc.health.v1.Health"),
            "{response:?}"
        );
    }
    drop(sender);
    assert_eq!(responses.message().await.expect("no failure"), None);
}

#[test]
fn calls_of_every_kind_are_forwarded_in_cleartext_and_over_tls() {
    bounded(async {
        let authority = Authority::generate();
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("descriptors");
        let services = GrpcServices(health, reflection);
        let test_bed = test_bed("", services.clone().serve(None));
        every_kind_of_call(
            &channel(test_bed.address),
            &test_bed.token("health reflection"),
            &reporter,
        )
        .await;

        let read = |file| std::fs::read(file).expect("a file");
        let (certificate, key) = authority.server_files("up", "up.test");
        let identity = Identity::from_pem(read(certificate), read(key));
        let upstream = services.serve(Some(ServerTlsConfig::new().identity(identity)));
        let ca = authority.ca_file();
        let upstream = format!(
            "targets = \"https://{upstream}\"\ntls_server_name = \"up.test\"\ntls_ca = \"{}\"\n",
            ca.display()
        );
        let (certificate, key) = authority.server_files("gate", "gate.test");
        let front = format!(
            "[server]\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n",
            certificate.display(),
            key.display()
        );
        let test_bed = TestBed::toml(&front, "", "", &routes(&upstream));
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(ca)))
            .domain_name("gate.test");
        let endpoint = Endpoint::from_shared(format!("https://{}", test_bed.gateway.addresses[1]))
            .expect("a URL");
        let channel = endpoint
            .tls_config(tls)
            .expect("a configuration")
            .connect_lazy();
        every_kind_of_call(&channel, &test_bed.token("health reflection"), &reporter).await;
    });
}

#[test]
fn either_side_may_send_first_and_finish_first() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let (channel, token) = (channel(test_bed.address), test_bed.token("reflection"));

        let (sender, mut responses) = open_reflection(&channel, &token).await;
        let mut call = calls.reflections.recv().await.expect("a call");
        call.responder
            .send(Ok(reflection_response("unasked")))
            .await
            .expect("an open call");
        assert_eq!(
            responses.message().await.expect("no failure"),
            Some(reflection_response("unasked"))
        );
        sender
            .send(reflection_request("the last one"))
            .await
            .expect("an open call");
        drop(sender);
        let requests = call.request.get_mut();
        assert_eq!(
            requests.message().await.expect("no failure"),
            Some(reflection_request("the last one"))
        );
        assert_eq!(requests.message().await.expect("no failure"), None);
        call.responder
            .send(Ok(reflection_response("after its end")))
            .await
            .expect("an open call");
        assert_eq!(
            responses.message().await.expect("no failure"),
            Some(reflection_response("after its end"))
        );
        drop(call.responder);
        assert_eq!(responses.message().await.expect("no failure"), None);

        let (sender, mut responses) = open_reflection(&channel, &token).await;
        let mut call = calls.reflections.recv().await.expect("a call");
        sender
            .send(reflection_request("one of many"))
            .await
            .expect("an open call");
        assert_eq!(
            call.request.get_mut().message().await.expect("no failure"),
            Some(reflection_request("one of many"))
        );
        call.responder
            .send(Err(Status::resource_exhausted("enough")))
            .await
            .expect("an open call");
        let failure = responses.message().await.expect_err("the upstream's end");
        assert_eq!(
            (failure.code(), failure.message()),
            (Code::ResourceExhausted, "enough")
        );
        // The request stream ends as well.
        sender.closed().await;
    });
}

const NOT_ASCII: &str = "keine Auskunft über „x“: 100 %\n";
const NOT_TEXT: &[u8] = &[0, 1, 0xff, b'%'];

fn insert_metadata(metadata: &mut MetadataMap) {
    metadata.insert("x-custom", MetadataValue::from_static("100%, and more"));
    metadata.append("x-custom", MetadataValue::from_static("twice"));
    metadata.insert_bin("x-custom-bin", MetadataValue::from_bytes(NOT_TEXT));
}

fn has_metadata(metadata: &MetadataMap) -> bool {
    metadata
        .get_all("x-custom")
        .iter()
        .eq(["100%, and more", "twice"])
        && metadata
            .get_bin("x-custom-bin")
            .is_some_and(|value| value.to_bytes().is_ok_and(|bytes| bytes == NOT_TEXT))
}

#[test]
fn metadata_is_forwarded_in_both_directions() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let mut health = HealthClient::new(channel(test_bed.address));
        let mut request = with_token(about("x"), &test_bed.token("health"));
        insert_metadata(request.metadata_mut());
        request
            .metadata_mut()
            .insert("grpc-timeout", MetadataValue::from_static("8765m"));
        let pending = tokio::spawn(async move { health.check(request).await });
        let call = calls.checks.recv().await.expect("a call");
        let metadata = call.request.metadata();
        assert!(has_metadata(metadata), "{metadata:?}");
        for (name, value) in [
            ("grpc-timeout", "8765m"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ] {
            assert_eq!(metadata.get(name).expect(name), value);
        }
        let mut response = Response::new(status(ServingStatus::Serving));
        insert_metadata(response.metadata_mut());
        call.responder.send(Ok(response)).expect("an open call");
        let response = pending.await.expect("no panic").expect("a response");
        assert!(has_metadata(response.metadata()), "{response:?}");
    });
}

#[test]
fn status_of_a_failed_call_is_forwarded_unchanged() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let mut health = HealthClient::new(channel(test_bed.address));
        let token = test_bed.token("health");
        let failure = |code| {
            let mut failure = Status::with_details(code, NOT_ASCII, NOT_TEXT.into());
            insert_metadata(failure.metadata_mut());
            failure
        };
        let assert_unchanged = |received: &Status, code| {
            assert_eq!(
                (received.code(), received.message(), received.details()),
                (code, NOT_ASCII, NOT_TEXT)
            );
            assert!(has_metadata(received.metadata()), "{received:?}");
        };

        let (mut client, request) = (health.clone(), with_token(about("x"), &token));
        let pending = tokio::spawn(async move { client.check(request).await });
        let call = calls.checks.recv().await.expect("a call");
        call.responder
            .send(Err(failure(Code::NotFound)))
            .expect("an open call");
        assert_unchanged(
            &pending.await.expect("no panic").expect_err("the failure"),
            Code::NotFound,
        );

        let mut watched = health
            .watch(with_token(about("x"), &token))
            .await
            .expect("a response")
            .into_inner();
        let call = calls.watches.recv().await.expect("a call");
        call.responder
            .send(Ok(status(ServingStatus::Unknown)))
            .await
            .expect("an open call");
        assert_eq!(
            watched.message().await.expect("no failure"),
            Some(status(ServingStatus::Unknown))
        );
        call.responder
            .send(Err(failure(Code::DataLoss)))
            .await
            .expect("an open call");
        assert_unchanged(
            &watched.message().await.expect_err("the failure"),
            Code::DataLoss,
        );
    });
}
