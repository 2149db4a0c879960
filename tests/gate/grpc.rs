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
const TALK: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A message without content, as it is framed.
const EMPTY_MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

fn routes(upstream: &str) -> String {
    format!(
        "[upstreams.far]\nprotocol = \"http2\"\n{upstream}\n\
         [[routes]]\npath = \"/grpc.health.v1.Health/{{method}}\"\nscope = \"health\"\nupstream = \"far\"\n\
         [[routes]]\npath = \"/grpc.reflection.v1.ServerReflection/{{method}}\"\nscope = \"talk\"\nupstream = \"far\"\n"
    )
}

/// A gateway in front of services in the clear.
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

fn question(host: &str) -> ServerReflectionRequest {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    ServerReflectionRequest {
        host: host.to_owned(),
        message_request,
    }
}

fn reply(host: &str) -> ServerReflectionResponse {
    ServerReflectionResponse {
        valid_host: host.to_owned(),
        original_request: None,
        message_response: None,
    }
}

/// Opens a stream of both ways.
async fn talk(
    channel: &Channel,
    token: &str,
) -> (
    mpsc::Sender<ServerReflectionRequest>,
    Streaming<ServerReflectionResponse>,
) {
    let (ask, questions) = mpsc::channel(64);
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client
        .server_reflection_info(with_token(ReceiverStream::new(questions), token))
        .await;
    (ask, answers.expect("an answer").into_inner())
}

/// A client that sends what it is told and no more, and the task that carries its connection.
async fn http2(gateway: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(gateway).await.expect("it listens");
    let (sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let carrying = tokio::spawn(connection);
    (sender.ready().await.expect("a connection"), carrying)
}

/// The head of a call.
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
    let answer = health
        .check(with_token(about(""), token))
        .await
        .expect("an answer");
    assert_eq!(answer.into_inner(), status(ServingStatus::Serving));

    reporter
        .set_service_status("a", ServingStatus::Unknown)
        .await;
    let mut watched = health
        .watch(with_token(about("a"), token))
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(
        watched.message().await.expect("no failure"),
        Some(status(ServingStatus::Unknown))
    );
    for told in [ServingStatus::Serving, ServingStatus::NotServing].repeat(10) {
        reporter.set_service_status("a", told).await;
        assert_eq!(
            watched.message().await.expect("no failure"),
            Some(status(told))
        );
    }

    let (ask, mut answers) = talk(channel, token).await;
    for number in 0..200 {
        let asked = question(&number.to_string());
        ask.send(asked.clone()).await.expect("it is wanted");
        // Whoever gathered the messages of either side would wait here for ever.
        let answer = answers
            .message()
            .await
            .expect("no failure")
            .expect("no end");
        assert_eq!(answer.original_request, Some(asked));
        assert!(
            format!("{answer:?}").contains("grpc.health.v1.Health"),
            "{answer:?}"
        );
    }
    drop(ask);
    assert_eq!(answers.message().await.expect("no failure"), None);
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
            &test_bed.token("health talk"),
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
        every_kind_of_call(&channel, &test_bed.token("health talk"), &reporter).await;
    });
}

#[test]
fn either_side_may_send_first_and_finish_first() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let (channel, token) = (channel(test_bed.address), test_bed.token("talk"));

        let (ask, mut answers) = talk(&channel, &token).await;
        let mut call = calls.reflections.recv().await.expect("a call");
        call.responder
            .send(Ok(reply("unasked")))
            .await
            .expect("it is wanted");
        assert_eq!(
            answers.message().await.expect("no failure"),
            Some(reply("unasked"))
        );
        ask.send(question("the last one"))
            .await
            .expect("it is wanted");
        drop(ask);
        let questions = call.request.get_mut();
        assert_eq!(
            questions.message().await.expect("no failure"),
            Some(question("the last one"))
        );
        assert_eq!(questions.message().await.expect("no failure"), None);
        call.responder
            .send(Ok(reply("after its end")))
            .await
            .expect("it is wanted");
        assert_eq!(
            answers.message().await.expect("no failure"),
            Some(reply("after its end"))
        );
        drop(call.responder);
        assert_eq!(answers.message().await.expect("no failure"), None);

        let (ask, mut answers) = talk(&channel, &token).await;
        let mut call = calls.reflections.recv().await.expect("a call");
        ask.send(question("one of many"))
            .await
            .expect("it is wanted");
        assert_eq!(
            call.request.get_mut().message().await.expect("no failure"),
            Some(question("one of many"))
        );
        call.responder
            .send(Err(Status::resource_exhausted("enough")))
            .await
            .expect("it is wanted");
        let failure = answers.message().await.expect_err("the upstream's end");
        assert_eq!(
            (failure.code(), failure.message()),
            (Code::ResourceExhausted, "enough")
        );
        // The client's half is over with that, too.
        ask.closed().await;
    });
}

const NOT_ASCII: &str = "keine Auskunft über „x“: 100 %\n";
const NOT_TEXT: &[u8] = &[0, 1, 0xff, b'%'];

fn tell(metadata: &mut MetadataMap) {
    metadata.insert("x-told", MetadataValue::from_static("100%, and more"));
    metadata.append("x-told", MetadataValue::from_static("twice"));
    metadata.insert_bin("x-told-bin", MetadataValue::from_bytes(NOT_TEXT));
}

fn is_told(metadata: &MetadataMap) -> bool {
    metadata
        .get_all("x-told")
        .iter()
        .eq(["100%, and more", "twice"])
        && metadata
            .get_bin("x-told-bin")
            .is_some_and(|value| value.to_bytes().is_ok_and(|bytes| bytes == NOT_TEXT))
}

#[test]
fn metadata_is_forwarded_in_both_directions() {
    bounded(async {
        let mut calls = GrpcUpstream::start();
        let test_bed = test_bed("", calls.address);
        let mut health = HealthClient::new(channel(test_bed.address));
        let mut request = with_token(about("x"), &test_bed.token("health"));
        tell(request.metadata_mut());
        request
            .metadata_mut()
            .insert("grpc-timeout", MetadataValue::from_static("8765m"));
        let asking = tokio::spawn(async move { health.check(request).await });
        let call = calls.checks.recv().await.expect("a call");
        let came = call.request.metadata();
        assert!(is_told(came), "{came:?}");
        for (name, value) in [
            ("grpc-timeout", "8765m"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ] {
            assert_eq!(came.get(name).expect(name), value);
        }
        let mut answer = Response::new(status(ServingStatus::Serving));
        tell(answer.metadata_mut());
        call.responder.send(Ok(answer)).expect("it is wanted");
        let answer = asking.await.expect("no panic").expect("an answer");
        assert!(is_told(answer.metadata()), "{answer:?}");
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
            tell(failure.metadata_mut());
            failure
        };
        let is_unharmed = |came: &Status, code| {
            assert_eq!(
                (came.code(), came.message(), came.details()),
                (code, NOT_ASCII, NOT_TEXT)
            );
            assert!(is_told(came.metadata()), "{came:?}");
        };

        let (mut client, request) = (health.clone(), with_token(about("x"), &token));
        let asking = tokio::spawn(async move { client.check(request).await });
        let call = calls.checks.recv().await.expect("a call");
        call.responder
            .send(Err(failure(Code::NotFound)))
            .expect("it is wanted");
        is_unharmed(
            &asking.await.expect("no panic").expect_err("the failure"),
            Code::NotFound,
        );

        let mut watched = health
            .watch(with_token(about("x"), &token))
            .await
            .expect("an answer")
            .into_inner();
        let call = calls.watches.recv().await.expect("a call");
        call.responder
            .send(Ok(status(ServingStatus::Unknown)))
            .await
            .expect("it is wanted");
        assert_eq!(
            watched.message().await.expect("no failure"),
            Some(status(ServingStatus::Unknown))
        );
        call.responder
            .send(Err(failure(Code::DataLoss)))
            .await
            .expect("it is wanted");
        is_unharmed(
            &watched.message().await.expect_err("the failure"),
            Code::DataLoss,
        );
    });
}
