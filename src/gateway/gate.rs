//! One worker's door, and a request's way through it.

use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version, header};

use super::admission;
use super::body::{Completion, ResponseBody, is_stream};
use super::caught::{caught, or_none};
use super::connection::Connection;
use super::facts::{RecordedFacts, RequestHead};
use super::forward::{Forwarded, forward};
use super::judge::{Judgement, RequestContext, STEPS, judge};
use super::prepare::prepare;
use super::refusal::Refusal;
use super::request_id::RequestIds;
use super::respond::{ClientProtocol, respond};
use super::snapshot::{SharedSnapshot, Snapshot};
use super::tunnel::Tunnel;
use super::unread::Unread;
use super::view::View;
use crate::clock::{ResponseDate, Ticker};
use crate::telemetry::{self, Record, WorkerTelemetry};
use crate::transport::{ConnectionState, IncomingBody, Interim};
use crate::upstream::RequestBody;
use crate::upstream::headers::{ClientInfo, X_REQUEST_ID};
use crate::verify::{Memo, WorkerCache};

/// One worker's door to the upstreams.
pub struct Gate {
    publisher: SharedSnapshot,
    ticker: Rc<Ticker>,
    telemetry: Rc<WorkerTelemetry>,
    view: RefCell<Rc<View>>,
    tokens: Rc<WorkerCache>,
    request_ids: RequestIds,
    date: ResponseDate,
}

/// What the judgement and the upstream have come to.
enum Outcome {
    Forwarded(Forwarded),
    /// A response of our own, and what the client still sends.
    Replied(Response<Bytes>, Unread),
    Refused(Refusal, Unread),
}

impl Gate {
    /// A door that goes by whatever `publisher` publishes.
    #[must_use]
    pub fn new(
        publisher: SharedSnapshot,
        ticker: Rc<Ticker>,
        telemetry: Rc<WorkerTelemetry>,
    ) -> Self {
        let view = RefCell::new(Rc::new(View::new(
            publisher.load_full(),
            &[],
            &ticker,
            &telemetry,
        )));
        let tokens = WorkerCache::new(Arc::clone(telemetry.tokens()));
        tokens.limit(view.borrow().snapshot.verifier.memory().0.budget());
        let date = ResponseDate::new(ticker.clock());
        Self {
            publisher,
            ticker,
            telemetry,
            view,
            tokens,
            request_ids: RequestIds::new(),
            date,
        }
    }

    /// A client has connected from `address`, over TLS or not.
    #[must_use]
    pub fn connection(
        &self,
        address: IpAddr,
        is_tls: bool,
        pace: Rc<ConnectionState>,
        interim: Interim,
    ) -> Connection {
        Connection::new(
            address,
            is_tls,
            pace,
            interim,
            Memo::new(Rc::clone(&self.tokens)),
        )
    }

    /// Takes a request to its upstream, or answers it.
    pub async fn handle(
        &self,
        connection: &Connection,
        request: Request<IncomingBody>,
    ) -> Response<ResponseBody> {
        let exchange = connection.pace.begin_exchange();
        let view = self.view();
        let snapshot = &view.snapshot;
        let client = connection.client(snapshot);
        let (mut parts, incoming) = request.into_parts();
        let mut body = RequestBody::new(
            incoming,
            &snapshot.reserved,
            snapshot.body_idle_timeout,
            &self.ticker,
        );
        let mut completion = Completion {
            record: self.begin_record(connection, snapshot, &client, &parts),
            request: body.progress(),
            exchange,
        };
        let record = &mut completion.record;
        let is_http2 = parts.version == Version::HTTP_2;
        let protocol = ClientProtocol::of(&parts.headers);
        let request_id = record.request_id.clone();
        let context = RequestContext {
            snapshot,
            memo: &connection.memo,
            ticker: &self.ticker,
            client: &client,
        };

        let judged = {
            let judging = pin!(async {
                if is_http2 {
                    admission::as_over_http1(&mut parts, completion.request.is_some())?;
                }
                let head = RequestHead::new(&parts, connection.pace.take_fragment());
                let mut recorded = RecordedFacts::new(&view, record);
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
            caught(judging).await
        };
        let outcome = match judged {
            Ok(Judgement::Forward(judged)) => {
                record.is_forwarded = true;
                let trace = record.trace.as_deref();
                let prepare = || {
                    let upstream = view.upstream(&judged.permit);
                    let request_id = request_id.as_ref();
                    Ok((
                        prepare(judged, parts, &context, request_id, trace)?,
                        upstream,
                    ))
                };
                let prepared = or_none(prepare).unwrap_or(Err(Refusal::Panicked));
                let forwarded = match prepared {
                    Ok((prepared, upstream)) => {
                        if let Some(trace) = trace {
                            trace.sends();
                        }
                        let (interim, ticker) = (&connection.interim, &self.ticker);
                        caught(pin!(forward(prepared, body, upstream, interim, ticker))).await
                    }
                    Err(refusal) => Err(refusal),
                };
                match forwarded {
                    Ok(forwarded) => Outcome::Forwarded(forwarded),
                    Err(refusal) => Outcome::Refused(refusal, Unread::Nothing),
                }
            }
            Ok(Judgement::Reply(response)) => {
                Outcome::Replied(*response, Unread::of(&parts, body, &self.ticker))
            }
            Err(refusal) => Outcome::Refused(refusal, Unread::of(&parts, body, &self.ticker)),
        };
        let mut response = match outcome {
            Outcome::Forwarded(forwarded) => stream(forwarded, connection, snapshot, completion),
            Outcome::Replied(response, unread) => reply(response, unread, completion),
            Outcome::Refused(refusal, unread) => {
                let refusal = blame(refusal, connection, &completion);
                let response = respond(&refusal, &snapshot.challenge, protocol);
                record_refusal(&refusal, &mut completion.record);
                reply(response, unread, completion)
            }
        };
        if let Some(id) = request_id {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        if is_http2 || !self.date.is_hyper_right() {
            response
                .headers_mut()
                .entry(header::DATE)
                .or_insert_with(|| self.date());
        }
        response
    }

    fn begin_record(
        &self,
        connection: &Connection,
        snapshot: &Snapshot,
        client: &ClientInfo,
        parts: &Parts,
    ) -> Record {
        let mut record = Record::begin(
            &self.telemetry,
            connection.address,
            parts.method.clone(),
            snapshot.request_log,
        );
        record.version = parts.version;
        if client.trusted {
            record.client = client.origin(&parts.headers, |address| {
                snapshot.trusted_proxies.contains(address)
            });
        }
        record.request_id = snapshot
            .request_ids
            .then(|| self.request_ids.of(&parts.headers, client.trusted));
        record.trace = snapshot.traces.map(|ratio| {
            let is_https = client.scheme == "https";
            self.telemetry
                .begin_trace(ratio, &parts.headers, client.trusted, is_https)
        });
        record
    }

    /// The time as `Date` tells it.
    #[must_use]
    pub fn date(&self) -> HeaderValue {
        self.date.at(self.ticker.wall())
    }

    /// Looks at the clock, and closes the upstream connections that are of no more use: see
    /// [`Upstream::prune`](crate::upstream::Upstream::prune). To be called at each tick.
    pub fn tick(&self) {
        self.date.tick(self.ticker.clock());
        self.view
            .borrow()
            .upstreams()
            .iter()
            .for_each(|upstream| upstream.prune());
    }

    // The same view until another snapshot is published; then upstreams that did not change keep their connections.
    fn view(&self) -> Rc<View> {
        let published = self.publisher.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(&published, &view.snapshot) {
            self.tokens.limit(published.verifier.memory().0.budget());
            *view = Rc::new(View::new(
                Arc::clone(&published),
                view.upstreams(),
                &self.ticker,
                &self.telemetry,
            ));
        }
        Rc::clone(&view)
    }
}

// A response of an upstream, whose body or tunnel completes the request.
fn stream(
    forwarded: Forwarded,
    connection: &Connection,
    snapshot: &Snapshot,
    mut completion: Completion,
) -> Response<ResponseBody> {
    let record = &mut completion.record;
    match forwarded {
        Forwarded::Response { response, expiry } => {
            record.status = Some(response.status());
            if is_stream(&response) {
                record.becomes_stream();
            }
            response.map(|body| ResponseBody::forwarded(body, expiry, completion))
        }
        Forwarded::Upgraded {
            response,
            upstream,
            expiry,
        } => {
            record.status = Some(response.status());
            record.becomes_stream();
            *connection.tunnel.borrow_mut() = Some(Tunnel {
                far_end: upstream,
                record: completion.record,
                idle_timeout: snapshot.body_idle_timeout,
                expiry,
            });
            response.map(|()| ResponseBody::switched(completion.exchange))
        }
    }
}

// A response of our own.
fn reply(
    mut response: Response<Bytes>,
    unread: Unread,
    mut completion: Completion,
) -> Response<ResponseBody> {
    unread.tell(response.headers_mut());
    completion.record.status = Some(response.status());
    response.map(|text| ResponseBody::fixed(text, unread, completion))
}

// Whose fault it is: what looks like the upstream's may be the client's, whose body never came.
fn blame(refusal: Refusal, connection: &Connection, completion: &Completion) -> Refusal {
    let request = completion.request.as_ref();
    match (refusal, request.and_then(|progress| progress.fault())) {
        (Refusal::Panicked, _) => {
            connection.interim.settle();
            completion.record.panicked();
            Refusal::Panicked
        }
        (_, Some(fault)) => Refusal::BodyFault(fault),
        (refusal, None) => refusal,
    }
}

fn record_refusal(refusal: &Refusal, record: &mut Record) {
    let outcome = telemetry::Outcome::Refused(refusal.reason());
    record.refuse(outcome, refusal.issuer(), || refusal.why());
}
