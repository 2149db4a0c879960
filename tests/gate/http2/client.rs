//! A client of other people's making, for whoever wants to see every header.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use harness::TIMEOUT;

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
    /// What broke it off.
    pub(super) error: Option<h2::Error>,
}

impl Response {
    /// The value of a header; a header that stands twice is a failure.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("ASCII"));
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }
}

/// A request for this path of `api.test`.
pub(super) fn get(path: &str, token: Option<&str>) -> Request<()> {
    let mut request = Request::get(format!("http://api.test{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(()).expect("a request")
}

/// Sends a request on a connection of its own, and this body if it is not empty.
pub(super) fn ask(
    address: SocketAddr,
    request: Request<()>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Response {
    block_on(async {
        let socket = tokio::net::TcpStream::connect(address)
            .await
            .expect("somebody listens");
        let (sender, connection) = h2::client::handshake(socket).await.expect("a connection");
        tokio::spawn(connection);
        let mut sender = sender.ready().await.expect("room for a stream");
        let is_whole = body.is_empty() && trailers.is_none();
        let (answer, mut stream) = sender.send_request(request, is_whole).expect("a request");
        if !is_whole {
            stream
                .send_data(Bytes::copy_from_slice(body), trailers.is_none())
                .expect("an open stream");
        }
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).expect("an open stream");
        }
        let (head, mut incoming) = answer.await.expect("an answer").into_parts();
        let mut answer = Response {
            status: head.status,
            headers: head.headers,
            body: Vec::new(),
            trailers: None,
            error: None,
        };
        while let Some(data) = incoming.data().await {
            match data {
                Ok(data) => {
                    let _ = incoming.flow_control().release_capacity(data.len());
                    answer.body.extend_from_slice(&data);
                }
                Err(error) => {
                    answer.error = Some(error);
                    return answer;
                }
            }
        }
        match incoming.trailers().await {
            Ok(trailers) => answer.trailers = trailers,
            Err(error) => answer.error = Some(error),
        }
        answer
    })
}

/// Runs a client to its end.
pub(super) fn block_on<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(TIMEOUT, client).await.expect("an end") })
}
