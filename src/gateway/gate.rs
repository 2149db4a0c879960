//! Takes one worker's requests through all steps: judge, prepare, forward, respond.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, Version, header};

use super::admission;
use super::connection::{Connection, ConnectionOrigin};
use super::facts::{RecordedFacts, RequestHead, ResponseFacts};
use super::forward::{Forwarded, forward, token_ended};
use super::judge::{Judgement, RequestContext, STEPS, judge};
use super::panics::catch_panic;
use super::prepare::prepare;
use super::refusal::Refusal;
use super::request_id::RequestIds;
use super::respond::{ClientProtocol, RefusalContext, respond};
use super::response_body::{Completion, ResponseBody, is_stream};
use super::snapshot::{SharedSnapshot, Snapshot};
use super::tunnel::Tunnel;
use super::worker_snapshot::WorkerSnapshot;
use crate::clock::{ResponseDate, Ticker};
use crate::policy::cors;
use crate::telemetry::{Outcome, Record, WorkerTelemetry};
use crate::transport::{ConnectionState, IncomingBody, Interim, UnreadBody};
use crate::upstream::headers::{ClientInfo, X_REQUEST_ID};
use crate::upstream::{RequestBody, ResponseDestination};
use crate::verify::{ConnectionCache, WorkerCache};

/// Serves the requests of one worker.
pub struct Gate {
    shared_snapshot: SharedSnapshot,
    ticker: Rc<Ticker>,
    telemetry: Rc<WorkerTelemetry>,
    worker: RefCell<Rc<WorkerSnapshot>>,
    tokens: Rc<WorkerCache>,
    request_ids: RequestIds,
    date: ResponseDate,
}

impl Gate {
    /// Serves by the active snapshot of `shared_snapshot`.
    #[must_use]
    pub fn new(
        shared_snapshot: SharedSnapshot,
        ticker: Rc<Ticker>,
        telemetry: Rc<WorkerTelemetry>,
    ) -> Self {
        let worker = RefCell::new(Rc::new(WorkerSnapshot::new(
            shared_snapshot.load_full(),
            &[],
            &ticker,
            &telemetry,
        )));
        let tokens = WorkerCache::new(Arc::clone(telemetry.tokens()));
        tokens.set_budget(
            worker
                .borrow()
                .snapshot
                .verifier
                .cache_and_epoch()
                .0
                .budget(),
        );
        let date = ResponseDate::new(ticker.clock());
        Self {
            shared_snapshot,
            ticker,
            telemetry,
            worker,
            tokens,
            request_ids: RequestIds::new(),
            date,
        }
    }

    /// A client connection.
    #[must_use]
    pub fn connection(
        &self,
        origin: ConnectionOrigin,
        state: Rc<ConnectionState>,
        interim: Interim,
    ) -> Connection {
        let cache = ConnectionCache::new(Rc::clone(&self.tokens));
        Connection::new(origin, state, interim, cache)
    }

    /// Judges a request, forwards it if it may pass, and responds. The head is lent, because an argument
    /// of a future that waits is copied.
    #[expect(
        clippy::too_many_lines,
        reason = "a part that waits would be a future of its own, which every request pays for"
    )]
    pub async fn handle(
        &self,
        connection: &Connection,
        parts: &mut Parts,
        incoming: IncomingBody,
    ) -> Response<ResponseBody> {
        let exchange = connection.state.begin_exchange();
        let worker = self.worker();
        let snapshot = &worker.snapshot;
        let client = connection.client(snapshot);
        let idle_timeout = snapshot.body_idle_timeout;
        let mut body = RequestBody::new(incoming, &snapshot.reserved, idle_timeout, &self.ticker);
        let begun = Record::begin(
            &self.telemetry,
            connection.origin.client,
            parts.method.clone(),
            snapshot.request_log,
        );
        let mut completion = Completion::new(begun, body.progress(), exchange);
        let (record, forwarded) = (&mut completion.record, &mut completion.forwarded);
        self.record_request(record, connection, snapshot, &client, parts);
        let request_id = record.request_id.clone();
        let is_http2 = parts.version == Version::HTTP_2;
        let protocol = ClientProtocol::of(&parts.headers);
        let context = RequestContext {
            snapshot,
            limits: &worker.limits,
            connection_cache: &connection.connection_cache,
            ticker: &self.ticker,
            client: &client,
            redirect: connection.origin.redirect.as_ref(),
        };

        let origin = snapshot
            .has_cors
            .then(|| cors::origin(&parts.headers).cloned());
        let mut learned = ResponseFacts::default();
        let judged = {
            let has_body = completion.request.is_some();
            let judging = pin!(async {
                if is_http2 {
                    admission::add_http1_fields(parts, has_body)?;
                }
                let head = RequestHead::new(parts, connection.state.take_fragment());
                let mut recorded = RecordedFacts::new(&worker, record, &mut learned);
                let trace = recorded.record.trace.as_deref();
                judge(
                    &STEPS,
                    &context,
                    &head,
                    &mut body,
                    trace,
                    &mut recorded.facts,
                )
                .await
            });
            catch_panic(judging).await
        };
        let ResponseFacts { route, counted } = learned;
        let rules = snapshot.response_rules(route);
        let refusal_context = || snapshot.refusal_context(route, protocol);
        let mut is_upstream_response = false;
        let mut response = match judged {
            Ok(Judgement::Forward(judged)) => {
                record.is_forwarded = true;
                let trace = record.trace.as_deref();
                let mut head = Response::new(());
                // One future for both: what moves from one to the other is copied.
                let outcome = {
                    let forwarding = pin!(async {
                        let upstream = worker.upstream(&judged.permit);
                        let id = request_id.as_ref();
                        let prepared = prepare(judged, parts, &body, &context, id, trace)?;
                        if let Some(trace) = trace {
                            trace.record_sent();
                        }
                        let response = ResponseDestination {
                            head: &mut head,
                            body: forwarded,
                        };
                        let interim = &connection.interim;
                        forward(prepared, parts, &mut body, response, upstream, interim).await
                    });
                    catch_panic(forwarding).await
                };
                match outcome {
                    Ok(forwarded) => {
                        is_upstream_response = true;
                        forward_response(head, forwarded, connection, snapshot, completion)
                    }
                    Err(refusal) => {
                        let unread = UnreadBody::Empty;
                        refuse(refusal, unread, refusal_context(), connection, completion)
                    }
                }
            }
            Ok(Judgement::Reply(response)) => {
                let unread = UnreadBody::new(parts, body.into_unread(), &self.ticker);
                reply(*response, unread, completion)
            }
            Err(refusal) => {
                let unread = UnreadBody::new(parts, body.into_unread(), &self.ticker);
                refuse(refusal, unread, refusal_context(), connection, completion)
            }
        };
        if let Some(counted) = counted {
            counted.set_fields(&worker.limits, response.headers_mut());
        }
        rules.apply(
            origin.flatten().as_ref(),
            is_upstream_response,
            response.headers_mut(),
        );
        if let Some(id) = request_id {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        if is_http2 || !self.date.is_hyper_date_right() {
            let headers = response.headers_mut();
            headers.entry(header::DATE).or_insert_with(|| self.date());
        }
        response
    }

    // Records what is known before the request is judged.
    fn record_request(
        &self,
        record: &mut Record,
        connection: &Connection,
        snapshot: &Snapshot,
        client: &ClientInfo,
        parts: &Parts,
    ) {
        record.version = parts.version;
        record.peer = connection.origin.peer;
        if client.is_trusted {
            record.client = client.client_address(&parts.headers, |address| {
                snapshot.trusted_proxies.contains(address)
            });
        }
        record.request_id = snapshot
            .request_ids
            .then(|| self.request_ids.select(&parts.headers, client.is_trusted));
        record.trace = snapshot.traces.map(|ratio| {
            let is_https = client.scheme == "https";
            self.telemetry
                .begin_trace(ratio, &parts.headers, client.is_trusted, is_https)
        });
    }

    /// The current time as a `Date` header.
    #[must_use]
    pub fn date(&self) -> HeaderValue {
        self.date.at(self.ticker.wall())
    }

    /// Updates the date, and closes upstream connections that are no longer useful: see
    /// [`Upstream::prune`](crate::upstream::Upstream::prune). Called at each tick.
    ///
    /// Also replaces the snapshot of a worker without requests. Otherwise it would keep the
    /// background tasks of removed issuers and upstreams running.
    pub fn tick(&self) {
        self.date.tick(self.ticker.clock());
        self.worker()
            .upstreams()
            .iter()
            .for_each(|upstream| upstream.prune());
    }

    // Built anew when another snapshot is active; unchanged upstreams keep their connections.
    fn worker(&self) -> Rc<WorkerSnapshot> {
        let published = self.shared_snapshot.load();
        let mut worker = self.worker.borrow_mut();
        if !Arc::ptr_eq(&published, &worker.snapshot) {
            self.tokens
                .set_budget(published.verifier.cache_and_epoch().0.budget());
            *worker = Rc::new(WorkerSnapshot::new(
                Arc::clone(&published),
                worker.upstreams(),
                &self.ticker,
                &self.telemetry,
            ));
        }
        Rc::clone(&worker)
    }
}

// A response of an upstream, whose body or tunnel completes the request.
fn forward_response(
    head: Response<()>,
    forwarded: Forwarded,
    connection: &Connection,
    snapshot: &Snapshot,
    mut completion: Box<Completion>,
) -> Response<ResponseBody> {
    let record = &mut completion.record;
    record.status = Some(head.status());
    match forwarded {
        Forwarded::Body { token_watch } => {
            let body = completion.forwarded.as_ref();
            if body.is_some_and(|body| is_stream(head.headers(), body)) {
                record.mark_stream();
            }
            head.map(|()| ResponseBody::forwarded(token_watch, completion))
        }
        Forwarded::Upgraded {
            upstream,
            token_watch,
        } => {
            record.mark_stream();
            *connection.tunnel.borrow_mut() = Some(Tunnel {
                upstream: *upstream,
                completion,
                idle_timeout: snapshot.body_idle_timeout,
                token_watch,
            });
            head.map(|()| ResponseBody::switched())
        }
    }
}

// A response of our own.
fn reply(
    mut response: Response<Bytes>,
    unread: UnreadBody<RequestBody>,
    mut completion: Box<Completion>,
) -> Response<ResponseBody> {
    unread.set_connection(response.headers_mut());
    completion.record.status = Some(response.status());
    response.map(|text| ResponseBody::fixed(text, unread, completion))
}

// The response to a request that was refused, by the gateway or for want of an upstream.
fn refuse(
    refusal: Refusal,
    unread: UnreadBody<RequestBody>,
    context: RefusalContext<'_>,
    connection: &Connection,
    mut completion: Box<Completion>,
) -> Response<ResponseBody> {
    let record = &mut completion.record;
    let request = completion.request.as_ref();
    let cut_off = request.and_then(|progress| progress.cut_off());
    let refusal = match (refusal, request.and_then(|progress| progress.fault())) {
        (Refusal::Internal, _) => {
            connection.interim.discard_late();
            record.panicked();
            Refusal::Internal
        }
        // What looks like the upstream's fault is the client's if its body never came.
        (_, Some(fault)) => Refusal::BodyFault(fault),
        (refusal, None) => cut_off.map_or(refusal, token_ended),
    };
    let response = respond(&refusal, context);
    let outcome = Outcome::Refused(refusal.reason());
    record.refuse(outcome, refusal.issuer(), || refusal.why());
    reply(response, unread, completion)
}
