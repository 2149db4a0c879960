//! One worker's side of an upstream: selects an endpoint, connects, exchanges, retries.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};

use super::connection::exchange::{
    ExchangeError, ExchangeFailure, ExchangeTimeouts, UpstreamRequest,
};
use super::connection::http1::{self, Http1Connection, ResponseReader};
use super::connection::http2::{self, RequestTarget, StreamSlot};
use super::connection::tunnel::Upgraded;
use super::ejector::{Ejector, RequestWatch, ResponseWatch};
use super::endpoint::Endpoint;
use super::endpoint::connect::{connect_http1, connect_http2, connection_timeouts};
use super::endpoint::http1_pool::Http1Pool;
use super::endpoint::http2_pool::Http2Pool;
use super::endpoint::state::{ConnectionPool, EndpointState, InFlight};
use super::error::UpstreamError;
use super::forwarded_body::{ForwardedBody, Incoming};
use super::load_balancer::LoadBalancer;
use super::local_error::local_error;
use super::request_body::RequestBodyProgress;
use super::retry::budget::RetryBudget;
use super::retry::{AttemptError, Attempts};
use super::settings::{HostHeader, UpstreamSettings};
use super::shared::SharedUpstream;
use super::stats::UpstreamStats;
use crate::clock::{self, Ticker};
use crate::policy::decision::Permit;

/// One worker's side of an upstream, with its own connections.
pub struct Upstream {
    shared: Arc<SharedUpstream>,
    ticker: Rc<Ticker>,
    balancer: Rc<LoadBalancer>,
    ejector: Rc<Ejector>,
    budget: RetryBudget,
    stats: Arc<UpstreamStats>,
}

/// A connection whose protocol was switched. It counts as a request in flight.
pub type UpgradedConnection = Upgraded<InFlight>;

/// Where a response goes. It is written in place, because what moves through several futures is copied by
/// each.
pub struct ResponseDestination<'r> {
    /// The head; of use only if there is a response.
    pub head: &'r mut Response<()>,
    /// The body, if there is a response that stays with HTTP.
    pub body: &'r mut Option<ForwardedBody>,
}

/// The response to a request for another protocol.
pub enum UpgradeResponse {
    /// The upstream switches to that protocol.
    Upgraded(UpgradedConnection),
    /// It responds, and stays with HTTP.
    Declined(ForwardedBody),
}

impl Upstream {
    /// An upstream without connections. They are opened as requests need them.
    #[must_use]
    pub fn new(shared: Arc<SharedUpstream>, ticker: Rc<Ticker>) -> Self {
        let balancer = Rc::new(LoadBalancer::new(Arc::clone(&shared), Rc::clone(&ticker)));
        Self {
            ejector: Ejector::new(Rc::clone(&balancer), Rc::clone(&ticker)),
            balancer,
            budget: RetryBudget::full(ticker.now()),
            stats: shared.stats.add_worker(),
            shared,
            ticker,
        }
    }

    /// What all workers share of it.
    #[must_use]
    pub fn shared(&self) -> &Arc<SharedUpstream> {
        &self.shared
    }

    /// The time of its worker.
    #[must_use]
    pub fn ticker(&self) -> &Rc<Ticker> {
        &self.ticker
    }

    fn settings(&self) -> &UpstreamSettings {
        self.shared.settings()
    }

    /// Closes the connections that were idle for too long, that the upstream has closed, or whose
    /// endpoint is gone.
    pub fn prune(&self) {
        self.balancer.prune();
    }

    /// Sends a permitted request and waits for the response head; both bodies stream. The response
    /// body goes to `forwarded`. Failures are retried (see `retry.rs`).
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought a response.
    pub async fn send(
        &self,
        _permit: Permit,
        mut request: UpstreamRequest<'_>,
        forwarded: &mut Option<ForwardedBody>,
    ) -> Result<(), UpstreamError> {
        let began = clock::now();
        let mut attempts = self.begin_attempts();
        let mut watch = self.ejector.watch(|| request.body.progress());
        loop {
            let in_flight = self.select_endpoint(&attempts)?;
            let state = Rc::clone(in_flight.state());
            let outcome = match &state.pool {
                ConnectionPool::Http1(pool) => {
                    let pool = attempts.is_first().then_some(pool);
                    self.attempt_http1(in_flight, pool, &mut request, forwarded)
                        .await
                }
                ConnectionPool::Http2(pool) => {
                    let may_retry = attempts.may_retry();
                    self.attempt_http2(in_flight, pool, may_retry, &mut request, forwarded)
                        .await
                }
            };
            match outcome {
                Ok(()) => {
                    self.stats.durations.record(clock::since(began));
                    if let (Some(watch), Some(body)) = (watch.take(), forwarded) {
                        self.watch_response(watch, &state, request.response.status(), body);
                    }
                    return Ok(());
                }
                Err(failure) => {
                    self.record_failure(watch.as_ref(), &state, &failure);
                    self.retry_after(&mut attempts, &state, failure)?;
                }
            }
        }
    }

    /// Sends a permitted request for another protocol (RFC 9110 §7.8), on a connection of its own.
    /// It is retried only while no connection could be opened.
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought a response, or the 101 does not accept a protocol
    /// that was requested. The connection is closed then.
    pub async fn upgrade(
        &self,
        _permit: Permit,
        mut request: UpstreamRequest<'_>,
    ) -> Result<UpgradeResponse, UpstreamError> {
        let began = clock::now();
        let mut attempts = self.begin_attempts();
        let watch = self.ejector.watch(|| request.body.progress());
        let (in_flight, connection) = loop {
            let in_flight = self.select_endpoint(&attempts)?;
            match self.open_http1(in_flight.state()).await {
                Ok(connection) => break (in_flight, connection),
                Err(error) => {
                    let failure = AttemptError::unsent(error);
                    self.retry_after(&mut attempts, in_flight.state(), failure)?;
                }
            }
        };
        let requested = request.head.headers.get(header::UPGRADE).cloned();
        let reader = self
            .exchange_http1(&in_flight.state().endpoint, connection, &mut request)
            .await
            .map_err(|failure| {
                self.record_failure(watch.as_ref(), in_flight.state(), &failure);
                failure.error
            })?;
        self.stats.durations.record(clock::since(began));
        let status = request.response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let state = Rc::clone(in_flight.state());
            let mut body = self.forwarded_body(Incoming::Http1(reader), in_flight, None);
            if let Some(watch) = watch {
                self.watch_response(watch, &state, status, &mut body);
            }
            return Ok(UpgradeResponse::Declined(body));
        }
        if let Some(watch) = watch {
            let watch = self.ejector.record_head(watch, in_flight.state(), status);
            watch.into_iter().for_each(ResponseWatch::succeed);
        }
        let endpoint = Arc::clone(&in_flight.state().endpoint);
        let timeouts = connection_timeouts(self.settings());
        Upgraded::accept(
            request.response,
            requested.as_ref(),
            reader,
            timeouts,
            &self.ticker,
            in_flight,
        )
        .map(UpgradeResponse::Upgraded)
        .ok_or_else(|| UpstreamError::NotSwitched {
            target: endpoint.to_string(),
        })
    }

    fn begin_attempts(&self) -> Attempts {
        self.budget.deposit();
        Attempts::new(self.settings().retries)
    }

    fn select_endpoint(&self, attempts: &Attempts) -> Result<InFlight, UpstreamError> {
        self.balancer
            .select(attempts.failed(), attempts.same_target())
            .ok_or_else(|| UpstreamError::NoTarget {
                upstream: Arc::clone(&self.settings().name),
            })
    }

    fn record_failure(
        &self,
        watch: Option<&RequestWatch>,
        state: &EndpointState,
        failure: &AttemptError,
    ) {
        if let Some(watch) = watch.filter(|_| failure.blames_endpoint) {
            self.ejector.record_error(watch, state, &failure.error);
        }
    }

    /// Returns the error of a failed attempt, unless there is another attempt.
    fn retry_after(
        &self,
        attempts: &mut Attempts,
        state: &Rc<EndpointState>,
        failure: AttemptError,
    ) -> Result<(), UpstreamError> {
        let now = self.ticker.now();
        if !attempts.retry_after(&failure, state, &self.balancer, &self.budget, now) {
            return Err(failure.error);
        }
        self.stats.retries.count();
        Ok(())
    }

    /// One attempt over HTTP/1.1. A retry gets no `pool` and opens a connection: the pooled ones
    /// may all be as stale as the first.
    async fn attempt_http1(
        &self,
        in_flight: InFlight,
        pool: Option<&Http1Pool>,
        request: &mut UpstreamRequest<'_>,
        forwarded: &mut Option<ForwardedBody>,
    ) -> Result<(), AttemptError> {
        let pooled = pool.and_then(|pool| pool.take(self.ticker.now()));
        let is_pooled = pooled.is_some();
        let connection = match pooled {
            Some(connection) => connection,
            // Boxed: most requests have a pooled connection, and need no room for this.
            None => Box::pin(self.open_http1(in_flight.state()))
                .await
                .map_err(AttemptError::unsent)?,
        };
        let progress = request.body.progress();
        match self
            .exchange_http1(&in_flight.state().endpoint, connection, request)
            .await
        {
            // The client has not requested another protocol, and would not understand it.
            Ok(_) if request.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(AttemptError::no_retry(UpstreamError::NotSwitched {
                    target: in_flight.state().endpoint.to_string(),
                }))
            }
            Ok(reader) => {
                let incoming = Incoming::Http1(reader);
                *forwarded = Some(self.forwarded_body(incoming, in_flight, progress));
                Ok(())
            }
            Err(failure) => {
                // The endpoint may close a pooled connection at any time.
                let is_stale = is_pooled && matches!(failure.error, UpstreamError::Broken { .. });
                Err(AttemptError {
                    is_stale: is_pooled,
                    blames_endpoint: failure.blames_endpoint && !is_stale,
                    ..failure
                })
            }
        }
    }

    /// One attempt over HTTP/2, on a stream of a shared connection.
    async fn attempt_http2(
        &self,
        in_flight: InFlight,
        pool: &Rc<Http2Pool>,
        may_retry: bool,
        request: &mut UpstreamRequest<'_>,
        forwarded: &mut Option<ForwardedBody>,
    ) -> Result<(), AttemptError> {
        let endpoint = &in_flight.state().endpoint;
        let slot = self
            .stream_slot(in_flight.state(), pool)
            .await
            .map_err(|error| AttemptError::unsent(connect_error(endpoint, error)))?;
        let target = RequestTarget {
            scheme: self.settings().targets[endpoint.target].scheme(),
            host: self.host(endpoint),
        };
        let progress = request.body.progress();
        let timeouts = self.timeouts(request);
        let stream = http2::exchange(slot, request, target, may_retry, timeouts)
            .await
            .map_err(|error| attempt_error(endpoint, error))?;
        *forwarded = Some(self.forwarded_body(Incoming::Http2(stream), in_flight, progress));
        Ok(())
    }

    async fn exchange_http1(
        &self,
        endpoint: &Endpoint,
        connection: Http1Connection,
        request: &mut UpstreamRequest<'_>,
    ) -> Result<ResponseReader, AttemptError> {
        let host = self.host(endpoint);
        let timeouts = self.timeouts(request);
        http1::exchange(connection, request, host.as_ref(), timeouts)
            .await
            .map_err(|error| attempt_error(endpoint, error))
    }

    async fn open_http1(&self, state: &EndpointState) -> Result<Http1Connection, UpstreamError> {
        let connected = connect_http1(&self.shared, state).await;
        self.ejector
            .record_connect(state, connected)
            .map_err(|error| connect_error(&state.endpoint, error))
    }

    async fn stream_slot(
        &self,
        state: &EndpointState,
        pool: &Rc<Http2Pool>,
    ) -> io::Result<StreamSlot> {
        loop {
            if let Some(slot) = pool.take_slot() {
                return Ok(slot);
            }
            let (is_first, connected) = pool.add_connection(|| self.connect_task(state)).await;
            // Of all exchanges that wait for the connection, only the first records the outcome.
            if is_first {
                self.ejector.record_connect(state, connected)?;
            } else {
                connected?;
            }
        }
    }

    fn connect_task(
        &self,
        state: &EndpointState,
    ) -> impl Future<Output = io::Result<Rc<http2::Http2Connection>>> + 'static {
        let shared = Arc::clone(&self.shared);
        let endpoint = Arc::clone(&state.endpoint);
        let stats = Arc::clone(&state.stats);
        let ticker = Rc::clone(&self.ticker);
        async move { connect_http2(&shared, &endpoint, &stats, &ticker).await }
    }

    // Watches the body of a response, if its outcome counts.
    fn watch_response(
        &self,
        request: RequestWatch,
        state: &Rc<EndpointState>,
        status: StatusCode,
        body: &mut ForwardedBody,
    ) {
        if let Some(watch) = self.ejector.record_head(request, state, status) {
            body.watch(watch);
        }
    }

    fn forwarded_body(
        &self,
        incoming: Incoming,
        in_flight: InFlight,
        progress: Option<Rc<RequestBodyProgress>>,
    ) -> ForwardedBody {
        let idle_timeout = self.settings().body_idle_timeout;
        ForwardedBody::new(incoming, in_flight, progress, &self.ticker, idle_timeout)
    }

    fn timeouts(&self, request: &UpstreamRequest<'_>) -> ExchangeTimeouts<'_> {
        let upstream_response = self.settings().response_timeout;
        ExchangeTimeouts {
            ticker: &self.ticker,
            response: request.response_timeout.unwrap_or(upstream_response),
            upstream_response,
            body_idle: self.settings().body_idle_timeout,
        }
    }

    /// The `Host` that replaces the client's, if any.
    fn host(&self, endpoint: &Endpoint) -> Option<HeaderValue> {
        match &self.settings().host {
            HostHeader::Pass => None,
            HostHeader::Target => Some(self.settings().targets[endpoint.target].authority.clone()),
            HostHeader::Fixed(name) => Some(name.clone()),
        }
    }
}

fn attempt_error(endpoint: &Endpoint, error: ExchangeError) -> AttemptError {
    let target = endpoint.to_string();
    AttemptError {
        error: match error.cause {
            ExchangeFailure::Broken(source) => UpstreamError::Broken { target, source },
            ExchangeFailure::InvalidUpgrade => UpstreamError::NotSwitched { target },
            ExchangeFailure::TimedOut => UpstreamError::TimedOut { target },
        },
        can_retry: error.can_retry,
        is_stale: error.is_stale,
        blames_endpoint: error.blames_endpoint,
    }
}

fn connect_error(endpoint: &Endpoint, source: io::Error) -> UpstreamError {
    let target = endpoint.to_string();
    if local_error(&source).is_some() {
        UpstreamError::LocalSocket { target, source }
    } else if source.kind() == io::ErrorKind::TimedOut {
        UpstreamError::ConnectTimedOut { target }
    } else {
        UpstreamError::Connect { target, source }
    }
}
