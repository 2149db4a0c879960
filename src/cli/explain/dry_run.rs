//! The request's way: from the bytes of a client to the bytes of an answer.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
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
use crate::gateway::{DryRun, DryRunReport, RequestTarget, Snapshot};
use crate::oauth::UnixTime;
use crate::oauth::bearer;
use crate::server::Settings;
use crate::telemetry::Telemetry;
use crate::transport::IncomingBody;

/// Whose request it is, for want of a client.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Answers of the gateway's own are short.
const MAX_RESPONSE_HEAD: usize = 1024 * 1024;
/// From metadata at one of its places to the keys.
const MAX_FETCHES: u32 = 4;

/// What came of a request.
pub(super) struct DryRunResult {
    pub(super) snapshot: Arc<Snapshot>,
    /// The request as it was read; `None` where it could not be.
    pub(super) request: Option<Parts>,
    /// What the gateway would do with it; `None` where it could not be read.
    pub(super) report: Option<DryRunReport>,
    /// The answer's first line and headers, with the empty line behind them.
    pub(super) head: String,
    /// The time that it was judged at.
    pub(super) now: UnixTime,
}

/// Takes the request as far as it goes. Where it is not to be kept offline, the issuer that its token goes to is asked for
/// its keys, or about the token.
pub(super) fn dry_run(
    question: &SampleRequest,
    snapshot: Snapshot,
    config: &Config,
) -> io::Result<DryRunResult> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exchanged = LocalSet::new().block_on(&runtime, exchange(question, snapshot, config));
    // What still goes on for an issuer is of no use any more.
    runtime.shutdown_background();
    exchanged
}

async fn exchange(
    question: &SampleRequest,
    snapshot: Snapshot,
    config: &Config,
) -> io::Result<DryRunResult> {
    let snapshot = Arc::new(snapshot);
    let ticker = Ticker::new(Clock::system());
    tokio::task::spawn_local(Rc::clone(&ticker).run(|| ()));
    let telemetry = Telemetry::new().worker();
    let dry_run = DryRun::new(
        Arc::clone(&snapshot),
        Rc::clone(&ticker),
        telemetry,
        CLIENT,
        question.is_tls,
    );
    let (seen, reported) = (RefCell::new(None), RefCell::new(None));

    let (client, gateway) = tokio::io::duplex(64 * 1024);
    let service = service_fn(async |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        *seen.borrow_mut() = Some(parts.clone());
        if !question.offline {
            fetch_keys(&parts, &snapshot, config, ticker.wall()).await;
        }
        let request = Request::from_parts(parts, IncomingBody::Http1(body));
        let (response, report) = dry_run.run(request).await;
        *reported.borrow_mut() = Some(report);
        Ok::<_, Infallible>(response.map(Full::new))
    });
    let serving = Settings::from(&config.server)
        .http1()
        .serve_connection(TokioIo::new(gateway), service);
    // The client hangs up once it has the head, which ends the other side; one that cannot read the request ends before.
    let (head, _) = tokio::join!(ask(client, question), serving);
    let head = head?;
    Ok(DryRunResult {
        request: seen.take(),
        report: reported.take(),
        head,
        now: ticker.wall(),
        snapshot,
    })
}

async fn ask(mut client: DuplexStream, question: &SampleRequest) -> io::Result<String> {
    // Who refuses a head that is too long has not read all of it, and has answered.
    let written = client.write_all(&question.written()).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_RESPONSE_HEAD {
        match client.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(error) => return Err(written.err().unwrap_or(error)),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

// As the gateway does at its start and ever again, but for the one issuer that counts here.
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
    let (false, Ok(token)) = (
        found.route.requirement.is_public(),
        bearer::extract(&parts.headers),
    ) else {
        return;
    };
    let accepts = |name: &str| found.route.accepts_issuer(name);
    let Some(issuer) = snapshot
        .verifier
        .examine(token.as_str(), &accepts, now)
        .issuer
    else {
        return;
    };
    issuer.start();
    let timeout = config
        .issuers
        .iter()
        .find(|written| *written.name.value == *issuer.settings.name)
        .map(|one| one.timeout);
    issuer
        .wait_for_keys(timeout.unwrap_or(Duration::from_secs(3)) * MAX_FETCHES)
        .await;
}
