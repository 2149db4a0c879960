//! Active checks: an endpoint is asked ever again whether it serves, on the control plane, once for all workers.
//!
//! 1. A check is a GET on a connection of its own, over what the upstream speaks; 2xx and 3xx are good. What takes longer
//!    than the interval, or than requests may take, is not.
//! 2. An endpoint counts as well until `unhealthy_after` checks in a row have failed, and again after `healthy_after` good
//!    ones. Each change is logged once.
//! 3. A check that fails for lack of something of our own says nothing ([`local_error`](super::local_error)).
//! 4. What is not well gets no requests. Where nothing is well, they are answered with 503 and go nowhere: an endpoint that
//!    says that it cannot serve is believed. Where all that is well rests because of failures that the workers have
//!    seen ([`health`](super::endpoint::ejection)), it is used all the same.

use std::error::Error;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect::open;
use super::connection::http2::absolute;
use super::endpoint::Endpoint;
use super::load_balancer::Random;
use super::local_error::local_error;
use super::settings::{HostHeader, Settings};
use crate::clock;
use crate::transport::Stream;
use crate::values::Protocol;

const USER_AGENT: HeaderValue = HeaderValue::from_static("scopegate");

/// How an upstream's endpoints are checked.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// What is asked for.
    pub path: PathAndQuery,
    /// From one check to the next, give or take a tenth.
    pub interval: Duration,
    /// Checks in a row that must fail before an endpoint gets no requests.
    pub unhealthy_after: u32,
    /// Checks in a row that must be good before it gets some again.
    pub healthy_after: u32,
}

/// What the checks of one endpoint have found.
#[derive(Debug, Default)]
struct Findings {
    is_down: bool,
    /// Checks in a row that say otherwise.
    contrary: u32,
}

impl Findings {
    /// Returns whether it is down from now on, where that changes.
    fn note(&mut self, is_good: bool, check: &HealthCheck) -> Option<bool> {
        if is_good != self.is_down {
            self.contrary = 0;
            return None;
        }
        self.contrary += 1;
        if self.contrary
            < if self.is_down {
                check.healthy_after
            } else {
                check.unhealthy_after
            }
        {
            return None;
        }
        *self = Self {
            is_down: !self.is_down,
            contrary: 0,
        };
        Some(self.is_down)
    }
}

/// Begins to check these endpoints, where the upstream's are to be checked. A name is checked when its addresses are known.
pub(super) fn attend(settings: &Arc<Settings>, endpoints: &[Arc<Endpoint>]) {
    if settings.check.is_some() {
        for endpoint in endpoints
            .iter()
            .filter(|endpoint| endpoint.address.is_some())
        {
            tokio::spawn(keep(Arc::downgrade(settings), Arc::downgrade(endpoint)));
        }
    }
}

async fn keep(settings: Weak<Settings>, endpoint: Weak<Endpoint>) {
    let (random, mut findings) = (Random::new(), Findings::default());
    while let Some(interval) = check_once(&settings, &endpoint, &mut findings).await {
        // A different pause each time: checks that once coincide do not go on doing so.
        let thousandths = u32::try_from(900 + random.below(201)).unwrap_or(1000);
        tokio::time::sleep(interval * thousandths / 1000).await;
    }
}

// Returns when to check again, unless nobody has use for it any more.
async fn check_once(
    settings: &Weak<Settings>,
    endpoint: &Weak<Endpoint>,
    findings: &mut Findings,
) -> Option<Duration> {
    let (settings, endpoint) = (settings.upgrade()?, endpoint.upgrade()?);
    let check = settings.check.as_ref()?;
    // A worker may still hold on to an endpoint that is gone.
    if !settings
        .endpoints
        .current()
        .iter()
        .any(|current| Arc::ptr_eq(current, &endpoint))
    {
        return None;
    }
    let patience = check
        .interval
        .min(settings.connect_timeout + settings.response_timeout);
    let found = match timeout(patience, ask(&settings, &endpoint, check)).await {
        Ok(Ok(status)) if status.is_success() || status.is_redirection() => Ok(()),
        Ok(Ok(status)) => Err(format!("status {}", status.as_u16())),
        Ok(Err(error)) => {
            if let Some(error) = error.downcast_ref().and_then(local_error) {
                error.log(&settings.name, &endpoint, clock::now());
                return Some(check.interval);
            }
            Err(error.to_string())
        }
        Err(_) => Err(format!("no answer within {patience:?}")),
    };
    if let Some(is_down) = findings.note(found.is_ok(), check) {
        endpoint.set_down(is_down);
        let upstream = &settings.name;
        match found {
            Ok(()) => tracing::info!(%upstream, target = %endpoint, "target is well again"),
            Err(reason) => {
                tracing::warn!(%upstream, target = %endpoint, reason, "target is not well: it gets no requests")
            }
        }
    }
    Some(check.interval)
}

type Cause = Box<dyn Error + Send + Sync>;

async fn ask(
    settings: &Settings,
    endpoint: &Endpoint,
    check: &HealthCheck,
) -> Result<StatusCode, Cause> {
    let stream = open(settings, endpoint).await?;
    let target = &settings.targets[endpoint.target];
    let host = match &settings.host {
        // There is no client whose host it could be.
        HostHeader::Pass | HostHeader::Target => target.authority.clone(),
        HostHeader::Fixed(name) => name.clone(),
    };
    let uri = Uri::from(check.path.clone());
    match settings.protocol {
        Protocol::Http1 => ask_http1(stream, uri, host).await,
        Protocol::Http2 => ask_http2(stream, absolute(uri, target.scheme(), Some(&host))).await,
    }
}

async fn ask_http1(stream: Stream, uri: Uri, host: HeaderValue) -> Result<StatusCode, Cause> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this function, whatever is still to come.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(uri)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status())
}

async fn ask_http2(stream: Stream, uri: Uri) -> Result<StatusCode, Cause> {
    let (sender, connection) = h2::client::handshake(stream).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(uri)
        .header(header::USER_AGENT, USER_AGENT)
        .body(())?;
    let (answer, _) = sender.ready().await?.send_request(request, true)?;
    Ok(answer.await.map_err(io::Error::other)?.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_changes_after_so_many_findings_in_a_row() {
        let check = HealthCheck {
            path: PathAndQuery::from_static("/"),
            interval: Duration::from_secs(5),
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let mut findings = Findings::default();
        let story = [
            (true, None),
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(true)),
            (false, None),
            (true, None),
            (false, None),
            (true, None),
            (true, Some(false)),
            (true, None),
            (false, None),
        ];
        for (place, (is_good, changes)) in story.into_iter().enumerate() {
            assert_eq!(findings.note(is_good, &check), changes, "finding {place}");
        }
    }
}
