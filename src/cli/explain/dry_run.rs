//! Sends the sample request through HTTP/1.1 and a dry run, without a socket.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::LocalSet;

use super::sample_request::SampleRequest;
use crate::clock::{Clock, Ticker};
use crate::config::Config;
use crate::gateway::{
    ConnectionOrigin, DryRun, DryRunReport, HttpsRedirect, RequestTarget, Snapshot,
};
use crate::oauth::UnixTime;
use crate::policy::token_sources::DecodedToken;
use crate::server::Settings;
use crate::telemetry::Telemetry;
use crate::transport::IncomingBody;
use crate::verify::Shape;

/// The gateway's own responses are short.
const MAX_RESPONSE_HEAD: usize = 1024 * 1024;
/// Maximum requests before an issuer has keys: metadata at its well-known URLs, then the JWKS.
const MAX_FETCHES: u32 = 4;

/// The result of a dry run.
pub(super) struct DryRunResult {
    pub(super) snapshot: Arc<Snapshot>,
    /// The request as parsed; `None` if it is malformed.
    pub(super) request: Option<Parts>,
    /// What the gateway would do with it; `None` if it is malformed.
    pub(super) report: Option<DryRunReport>,
    /// Whether the listener redirects every request to https.
    pub(super) is_redirected: bool,
    /// The head of the response.
    pub(super) head: String,
    /// The time that the token was checked at.
    pub(super) now: UnixTime,
}

/// Runs the request. Unless `--offline` is given, this fetches the keys of the token's issuer or
/// introspects the token.
pub(super) fn dry_run(
    sample: &SampleRequest,
    snapshot: Snapshot,
    config: &Config,
) -> io::Result<DryRunResult> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exchanged = LocalSet::new().block_on(&runtime, exchange(sample, snapshot, config));
    // The background tasks of issuers are no longer needed.
    runtime.shutdown_background();
    exchanged
}

async fn exchange(
    sample: &SampleRequest,
    snapshot: Snapshot,
    config: &Config,
) -> io::Result<DryRunResult> {
    let snapshot = Arc::new(snapshot);
    let ticker = Ticker::new(Clock::system());
    tokio::task::spawn_local(Rc::clone(&ticker).run(|| ()));
    let telemetry = Telemetry::new().worker();
    let redirects = HttpsRedirect::of_listeners(config);
    let redirect = sample.listener.and_then(|index| redirects[index].clone());
    let dry_run = DryRun::new(
        Arc::clone(&snapshot),
        Rc::clone(&ticker),
        telemetry,
        ConnectionOrigin {
            client: sample.from,
            peer: None,
            is_tls: sample.is_tls,
            redirect: redirect.clone(),
        },
    );
    let (seen, reported) = (RefCell::new(None), RefCell::new(None));

    let (client, gateway) = tokio::io::duplex(64 * 1024);
    let service = service_fn(async |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        *seen.borrow_mut() = Some(parts.clone());
        if !sample.offline && redirect.is_none() {
            fetch_keys(&parts, &snapshot, config, ticker.wall()).await;
        }
        let request = Request::from_parts(parts, IncomingBody::Http1(body));
        let (response, report) = dry_run.run(request).await;
        *reported.borrow_mut() = Some(report);
        Ok::<_, Infallible>(response.map(Full::new))
    });
    let server = Settings::from(config)
        .http1()
        .serve_connection(TokioIo::new(gateway), service);
    // The client closes after the head, which ends the server; a malformed request ends it earlier.
    let (head, _) = tokio::join!(send(client, sample), server);
    let head = head?;
    Ok(DryRunResult {
        request: seen.take(),
        report: reported.take(),
        head,
        is_redirected: redirect.is_some(),
        now: ticker.wall(),
        snapshot,
    })
}

async fn send(mut client: DuplexStream, sample: &SampleRequest) -> io::Result<String> {
    // A server that rejects a head as too long responds without reading all of it.
    let written = client.write_all(&sample.to_bytes()).await;
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") && response.len() < MAX_RESPONSE_HEAD {
        match client.read_u8().await {
            Ok(byte) => response.push(byte),
            Err(error) => return Err(written.err().unwrap_or(error)),
        }
    }
    Ok(String::from_utf8_lossy(&response).into_owned())
}

// Fetches keys as a running gateway does, for the one issuer that matters here.
async fn fetch_keys(parts: &Parts, snapshot: &Snapshot, config: &Config, now: UnixTime) {
    let RequestTarget {
        host: Some(host),
        path: Some(path),
    } = RequestTarget::of(parts, snapshot)
    else {
        return;
    };
    let Ok(found) = snapshot.routes.find(&host, &path, &parts.method) else {
        return;
    };
    let decoded = DecodedToken::new();
    let token = snapshot.forwarding[found.index].token(parts, &decoded, None);
    let (false, Ok(token)) = (found.route.requirement.is_public(), token) else {
        return;
    };
    let accepts = |name: &str| found.route.accepts_issuer(name);
    let examined = snapshot
        .verifier
        .examine(token.as_str(), &accepts, None, now);
    let Some(issuer) = examined.issuer else {
        return;
    };
    let iss = match &examined.shape {
        Shape::Jwt { iss, .. } => iss.as_deref(),
        Shape::TooLong { .. } | Shape::Malformed(_) | Shape::NoClaims(..) | Shape::Opaque => None,
    };
    let timeout = config
        .issuers
        .iter()
        .find(|written| *written.name.value == *issuer.settings.name)
        .map(|one| one.timeout);
    let timeout = timeout.unwrap_or(Duration::from_secs(3)) * MAX_FETCHES;
    snapshot.verifier.fetch_keys(&issuer, iss, timeout).await;
}
