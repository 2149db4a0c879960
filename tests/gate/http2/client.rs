//! A client built with `h2`, which shows every header of the response.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use harness::TIMEOUT;

/// A response, as received.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
    /// The error that truncated it.
    pub(super) error: Option<h2::Error>,
}

impl Response {
    /// The value of a header.
    ///
    /// # Panics
    /// If the header occurs twice.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("ASCII"));
        assert!(values.next().is_none(), "{name} occurs twice");
        value
    }
}

/// A GET for this path of `api.test`.
pub(super) fn get(path: &str, token: Option<&str>) -> Request<()> {
    let mut request = Request::get(format!("http://api.test{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(()).expect("a request")
}

/// Sends a request on a new connection, with a body unless it is empty.
pub(super) fn ask(
    address: SocketAddr,
    request: Request<()>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Response {
    block_on(async {
        let socket = tokio::net::TcpStream::connect(address)
            .await
            .expect("a listener");
        let (sender, connection) = h2::client::handshake(socket).await.expect("a connection");
        tokio::spawn(connection);
        let mut sender = sender.ready().await.expect("room for a stream");
        let has_ended = body.is_empty() && trailers.is_none();
        let (response, mut stream) = sender.send_request(request, has_ended).expect("a request");
        if !has_ended {
            stream
                .send_data(Bytes::copy_from_slice(body), trailers.is_none())
                .expect("an open stream");
        }
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).expect("an open stream");
        }
        let (head, mut incoming) = response.await.expect("a response").into_parts();
        let mut response = Response {
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
                    response.body.extend_from_slice(&data);
                }
                Err(error) => {
                    response.error = Some(error);
                    return response;
                }
            }
        }
        match incoming.trailers().await {
            Ok(trailers) => response.trailers = trailers,
            Err(error) => response.error = Some(error),
        }
        response
    })
}

/// Runs a client to completion, within the timeout of a test.
pub(super) fn block_on<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(TIMEOUT, client).await.expect("an end") })
}
