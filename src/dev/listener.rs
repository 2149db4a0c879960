//! Loopback sockets, timeouts, and the check of the Host header.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::header::HOST;
use http::uri::Authority;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Response, json_response};

use crate::transport::accept;

/// How long a client may take to send a head, a whole form, or the next part of an echoed body.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds a loopback address. Returns the bound address too: port 0 picks a free port.
pub(super) async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let explain = |error: io::Error| {
        let cause = if error.kind() == io::ErrorKind::AddrInUse {
            "the port is in use; choose another one in [development]".to_owned()
        } else {
            error.to_string()
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {cause}"))
    };
    if !address.ip().is_loopback() {
        return Err(explain(io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected a loopback address",
        )));
    }
    let listener = TcpListener::bind(address).await.map_err(explain)?;
    let bound = listener.local_addr().map_err(explain)?;
    Ok((listener, bound))
}

/// Accepts and serves connections for ever. Dropping the future closes them all.
///
/// A request for a host that is not loopback, or for a port other than `port`, gets 421 (RFC 9110
/// §15.5.20) and never reaches `handle`.
pub(super) async fn serve<F, R>(listener: TcpListener, port: Option<u16>, handle: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = accept(&listener, log_exhausted).await;
        connections.spawn(serve_connection(stream, port, handle.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn log_exhausted(error: io::Error) {
    tracing::warn!(%error, "development accept failed");
}

async fn serve_connection<F, R>(stream: TcpStream, port: Option<u16>, handle: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response>,
{
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(if names_loopback(&request, port) {
            handle(request).await
        } else {
            misdirected_response()
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "development connection failed");
    }
}

// In absolute-form the authority of the target takes precedence (RFC 9112 §3.2.2), so both must be
// loopback names.
fn names_loopback<B>(request: &Request<B>, port: Option<u16>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Ok(host) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    request
        .uri()
        .authority()
        .into_iter()
        .chain([&host])
        .all(|authority| has_loopback_name(authority, port))
}

fn has_loopback_name(authority: &Authority, port: Option<u16>) -> bool {
    let host = authority.host();
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let is_loopback_name = host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
    let is_port = port.is_none_or(|port| authority.port_u16().unwrap_or(80) == port);
    is_loopback_name && is_port && !authority.as_str().contains('@')
}

fn misdirected_response() -> Response {
    let hint = "this server accepts only its loopback names; a gateway in front of it sends one with host = target";
    json_response(
        StatusCode::MISDIRECTED_REQUEST,
        &serde_json::json!({ "error": "misdirected_request", "hint": hint }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_must_be_a_loopback_name_with_the_port_of_the_listener() {
        let cases = [
            ("127.0.0.1:9080", true),
            ("LocalHost:9080", true),
            ("[::1]:9080", true),
            ("127.0.0.2:9080", true),
            ("127.0.0.1", false),
            ("127.0.0.1:9081", false),
            ("evil.example:9080", false),
            ("localhost.evil.example:9080", false),
            ("localhost:9080@evil.example:9080", false),
            ("evil@localhost:9080", false),
            ("10.0.0.1:9080", false),
        ];
        for (host, expected) in cases {
            let request = Request::builder()
                .uri("/")
                .header(HOST, host)
                .body(())
                .expect("a request");
            assert_eq!(names_loopback(&request, Some(9080)), expected, "{host}");
        }
    }

    #[test]
    fn host_without_a_port_means_port_80() {
        let request = Request::builder()
            .uri("/")
            .header(HOST, "localhost")
            .body(())
            .expect("a request");
        assert!(names_loopback(&request, Some(80)));
    }

    #[test]
    fn authority_of_an_absolute_form_target_must_be_loopback() {
        let foreign = Request::builder()
            .uri("http://evil.example:9080/token")
            .header(HOST, "localhost:9080");
        assert!(!names_loopback(
            &foreign.body(()).expect("a request"),
            Some(9080)
        ));
    }

    #[test]
    fn repeated_or_absent_host_is_rejected() {
        let repeated = Request::builder()
            .uri("/")
            .header(HOST, "localhost")
            .header(HOST, "localhost");
        assert!(!names_loopback(
            &repeated.body(()).expect("a request"),
            None
        ));
        assert!(!names_loopback(
            &Request::builder().uri("/").body(()).expect("a request"),
            None
        ));
    }
}
