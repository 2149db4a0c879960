//! Active health checks: the control plane requests a path of each endpoint at intervals, once for
//! all workers.
//!
//! 1. A check is a GET on a connection of its own, in the protocol of the upstream. A 2xx or 3xx
//!    passes. Anything else fails, and so does a response that takes longer than the interval or
//!    than requests may take.
//! 2. An endpoint is healthy until `unhealthy_after` checks in a row have failed, and again after
//!    `healthy_after` have passed. Each change is logged once.
//! 3. A failure that this machine causes proves nothing ([`local_error`](super::local_error)).
//! 4. An unhealthy endpoint gets no requests. If no endpoint is healthy, requests are refused
//!    with 503: an endpoint's own report is trusted. If every healthy endpoint is
//!    [ejected](super::endpoint::ejection), requests go to the ejected ones.

use std::error::Error;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::http2::absolute_uri;
use super::endpoint::connect::open;
use super::endpoint::{Endpoint, EndpointAddress};
use super::local_error::local_error;
use super::random::Random;
use super::settings::{HealthCheck, HostHeader};
use super::shared::SharedUpstream;
use crate::clock;
use crate::transport::Stream;
use crate::values::Protocol;

const USER_AGENT: HeaderValue = HeaderValue::from_static("scopegate");

/// What the checks of one endpoint have found.
#[derive(Debug)]
struct HealthStatus {
    is_healthy: bool,
    /// Checks in a row with the opposite result.
    contrary: u32,
}

impl Default for HealthStatus {
    fn default() -> Self {
        Self {
            is_healthy: true,
            contrary: 0,
        }
    }
}

impl HealthStatus {
    /// Records a check. Returns whether the endpoint is healthy from now on, if that has changed.
    fn record(&mut self, has_passed: bool, check: &HealthCheck) -> Option<bool> {
        if has_passed == self.is_healthy {
            self.contrary = 0;
            return None;
        }
        self.contrary += 1;
        let threshold = if self.is_healthy {
            check.unhealthy_after
        } else {
            check.healthy_after
        };
        if self.contrary < threshold {
            return None;
        }
        *self = Self {
            is_healthy: has_passed,
            contrary: 0,
        };
        Some(has_passed)
    }
}

/// Starts to check these endpoints, if the upstream has health checks. A name without an address is
/// checked once its addresses are known.
pub(super) fn start(upstream: &Arc<SharedUpstream>, endpoints: &[Arc<Endpoint>]) {
    if upstream.settings().health_check.is_none() {
        return;
    }
    for endpoint in endpoints
        .iter()
        .filter(|endpoint| endpoint.address != EndpointAddress::Unresolved)
    {
        let mut checker = Checker {
            upstream: Arc::downgrade(upstream),
            status: HealthStatus::default(),
            random: Random::new(),
        };
        tokio::spawn(clock::repeat_while_alive(
            Arc::downgrade(endpoint),
            async move |endpoint: &Arc<Endpoint>| {
                let interval = checker.check(endpoint).await?;
                // Jitter: checks that coincide once must not coincide for ever.
                let thousandths = u32::try_from(900 + checker.random.below(201)).unwrap_or(1000);
                Some(interval * thousandths / 1000)
            },
        ));
    }
}

/// Checks one endpoint.
struct Checker {
    upstream: Weak<SharedUpstream>,
    status: HealthStatus,
    random: Random,
}

impl Checker {
    /// Makes a check and returns the interval to the next one. `None` ends the checks: the upstream
    /// or the endpoint is gone.
    async fn check(&mut self, endpoint: &Arc<Endpoint>) -> Option<Duration> {
        let shared = self.upstream.upgrade()?;
        let settings = shared.settings();
        let check = settings.health_check.as_ref()?;
        // A worker may hold an endpoint for some time after it has left the list.
        let endpoints = shared.endpoints.current();
        if !endpoints
            .iter()
            .any(|current| Arc::ptr_eq(current, endpoint))
        {
            return None;
        }
        let check_timeout = check
            .interval
            .min(settings.connect_timeout + settings.response_timeout);
        let outcome = match timeout(check_timeout, request_status(&shared, endpoint, check)).await {
            Ok(Ok(status)) if status.is_success() || status.is_redirection() => Ok(()),
            Ok(Ok(status)) => Err(format!("status {}", status.as_u16())),
            Ok(Err(error)) => {
                if let Some(error) = error.downcast_ref().and_then(local_error) {
                    error.log(&settings.name, endpoint, clock::now());
                    return Some(check.interval);
                }
                Err(error.to_string())
            }
            Err(_) => Err(format!("no response within {check_timeout:?}")),
        };
        if let Some(is_healthy) = self.status.record(outcome.is_ok(), check) {
            endpoint.set_healthy(is_healthy);
            let upstream = &settings.name;
            match outcome {
                Ok(()) => {
                    tracing::info!(%upstream, target = %endpoint, "upstream endpoint healthy")
                }
                Err(reason) => {
                    tracing::warn!(%upstream, target = %endpoint, reason, "upstream endpoint unhealthy")
                }
            }
        }
        Some(check.interval)
    }
}

type CheckError = Box<dyn Error + Send + Sync>;

async fn request_status(
    shared: &SharedUpstream,
    endpoint: &Endpoint,
    check: &HealthCheck,
) -> Result<StatusCode, CheckError> {
    let settings = shared.settings();
    let stream = open(shared, endpoint).await?;
    let target = &settings.targets[endpoint.target];
    let host = match &settings.host {
        // There is no client whose `Host` could be passed on.
        HostHeader::Pass | HostHeader::Target => target.authority.clone(),
        HostHeader::Fixed(name) => name.clone(),
    };
    let uri = Uri::from(check.path.clone());
    match settings.protocol {
        Protocol::Http1 => http1_status(stream, uri, host).await,
        Protocol::Http2 => {
            http2_status(stream, absolute_uri(uri, target.scheme(), Some(&host))).await
        }
    }
}

async fn http1_status(
    stream: Stream,
    uri: Uri,
    host: HeaderValue,
) -> Result<StatusCode, CheckError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Aborted when this function returns, whatever is still to come.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(uri)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status())
}

async fn http2_status(stream: Stream, uri: Uri) -> Result<StatusCode, CheckError> {
    let (sender, connection) = h2::client::handshake(stream).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(uri)
        .header(header::USER_AGENT, USER_AGENT)
        .body(())?;
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    Ok(response.await.map_err(io::Error::other)?.status())
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;

    #[test]
    fn health_changes_after_enough_checks_in_a_row() {
        let check = HealthCheck {
            path: PathAndQuery::from_static("/"),
            interval: Duration::from_secs(5),
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let mut status = HealthStatus::default();
        let checks = [
            (true, None),
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(false)),
            (false, None),
            (true, None),
            (false, None),
            (true, None),
            (true, Some(true)),
            (true, None),
            (false, None),
        ];
        for (index, (has_passed, change)) in checks.into_iter().enumerate() {
            assert_eq!(status.record(has_passed, &check), change, "check {index}");
        }
    }
}
