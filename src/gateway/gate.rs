//! One worker's door, and a request's way through it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};

use super::admission;
use super::body::{ResponseBody, TOKEN_ENDED, is_stream};
use super::caught::caught;
use super::connection::Connection;
use super::grpc;
use super::refusal::{Ambiguity, Refusal};
use super::rehearsal::Rehearsal;
use super::request_id::RequestIds;
use super::respond::{self, respond};
use super::snapshot::{SharedSnapshot, Snapshot};
use super::tunnel::Tunnel;
use super::unread::Unread;
use super::view::View;
use crate::clock::{Deadline, ResponseDate, Ticker};
use crate::oauth::bearer::{self, BearerError};
use crate::policy::decision::{self, Permit};
use crate::policy::path::NormalPath;
use crate::policy::route::{Found, NoRoute};
use crate::telemetry::{Outcome, Record, Trace, WorkerTelemetry};
use crate::transport::{ConnectionState, IncomingBody, Interim};
use crate::upstream::headers::{self, X_REQUEST_ID};
use crate::upstream::{
    ForwardedBody, RequestBody, UpgradeResponse, UpgradedConnection, UpstreamRequest,
};
use crate::verify::{Memo, Offer, Verified, WorkerCache};

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

/// What came of a request that was let through.
///
/// The deadline is the end of its token, where the stream is to end with that.
enum Passed {
    Rehearsed,
    Answered(Response<ForwardedBody>, Option<Deadline>),
    Switched(Response<()>, UpgradedConnection, Option<Deadline>),
}

/// A request that may go, and how.
struct Passage {
    permit: Permit,
    token: Option<Arc<Verified>>,
    /// The path to send, where it is not the one that came.
    path: Option<String>,
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

    /// A connection whose requests are judged and prepared as any other's, and not sent on.
    #[must_use]
    pub fn rehearsal(&self, address: IpAddr, is_tls: bool, rehearsal: Rehearsal) -> Connection {
        self.connection(address, is_tls, ConnectionState::idle(), Interim::default())
            .rehearsing(rehearsal)
    }

    /// Takes a request to its upstream, or answers it.
    pub async fn handle(
        &self,
        connection: &Connection,
        request: Request<IncomingBody>,
    ) -> Response<ResponseBody> {
        let exchange = connection.pace.begin_exchange();
        let view = self.view();
        let (mut parts, incoming) = request.into_parts();
        let snapshot = &*view.snapshot;
        let body = RequestBody::new(
            incoming,
            &snapshot.reserved,
            snapshot.body_idle_timeout,
            &self.ticker,
        );
        let progress = body.progress();
        let mut record = Record::begin(
            &self.telemetry,
            connection.address,
            parts.method.clone(),
            snapshot.request_log,
        );
        record.version = parts.version;
        let is_http2 = parts.version == Version::HTTP_2;
        record.is_asked_why = connection.rehearsal.is_some();
        let sender = connection.client(&view.snapshot);
        if sender.trusted {
            record.client = sender.origin(&parts.headers, |address| {
                snapshot.trusted_proxies.contains(address)
            });
        }
        let request_id = snapshot
            .request_ids
            .then(|| self.request_ids.of(&parts.headers, sender.trusted));
        record.request_id.clone_from(&request_id);
        if let Some(ratio) = snapshot.traces {
            record.trace(
                ratio,
                &parts.headers,
                sender.trusted,
                sender.scheme == "https",
            );
        }

        let client = if grpc::is_call(&parts.headers) {
            respond::Client::Grpc
        } else {
            respond::Client::Http
        };
        let judged = {
            let judging = pin!(async {
                if is_http2 {
                    admission::as_over_http1(&mut parts, progress.is_some())?;
                }
                if let Some(bytes_before) = connection.pace.take_fragment() {
                    admission::check_fragment(&parts, bytes_before)?;
                }
                self.judge(&view, connection, &parts, &mut record).await
            });
            caught(judging).await
        };
        let mut unread = Unread::Nothing;
        let outcome = match judged {
            Ok(passage) => {
                record.is_forwarded = true;
                let forwarding =
                    pin!(self.forward(&view, connection, passage, parts, body, &record));
                caught(forwarding).await
            }
            Err(refusal) => {
                unread = Unread::of(&parts, body, &self.ticker);
                Err(refusal)
            }
        };
        let mut answer = match outcome {
            Ok(Passed::Rehearsed) => {
                connection.write_down(&record);
                Response::new(ResponseBody::fixed(
                    Bytes::new(),
                    record,
                    progress,
                    exchange,
                    unread,
                ))
            }
            Ok(Passed::Answered(answer, expiry)) => {
                record.status = Some(answer.status());
                if is_stream(&answer) {
                    record.becomes_stream();
                }
                answer.map(|body| ResponseBody::forwarded(body, record, progress, exchange, expiry))
            }
            Ok(Passed::Switched(answer, far_end, expiry)) => {
                record.status = Some(answer.status());
                record.becomes_stream();
                let idle_timeout = snapshot.body_idle_timeout;
                *connection.tunnel.borrow_mut() = Some(Tunnel {
                    far_end,
                    record,
                    idle_timeout,
                    expiry,
                });
                answer.map(|()| ResponseBody::switched(exchange))
            }
            Err(refusal) => {
                let refusal = match (
                    refusal,
                    progress.as_ref().and_then(|progress| progress.fault()),
                ) {
                    (Refusal::Panicked, _) => {
                        connection.interim.settle();
                        record.panicked();
                        Refusal::Panicked
                    }
                    // The upstream's trouble may be the client's own: a body that never came.
                    (_, Some(fault)) => Refusal::BodyFault(fault),
                    (refusal, None) => refusal,
                };
                let mut answer = respond(&refusal, &snapshot.challenge, client);
                unread.tell(answer.headers_mut());
                record.status = Some(answer.status());
                record.refuse(Outcome::Refused(refusal.reason()), refusal.issuer(), || {
                    refusal.why()
                });
                connection.write_down(&record);
                answer.map(|text| ResponseBody::fixed(text, record, progress, exchange, unread))
            }
        };
        if let Some(id) = request_id {
            answer.headers_mut().insert(X_REQUEST_ID, id);
        }
        if is_http2 || !self.date.is_hyper_right() {
            answer
                .headers_mut()
                .entry(header::DATE)
                .or_insert_with(|| self.date());
        }
        answer
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

    async fn forward(
        &self,
        view: &View,
        connection: &Connection,
        passage: Passage,
        mut parts: Parts,
        body: RequestBody,
        record: &Record,
    ) -> Result<Passed, Refusal> {
        let snapshot = &*view.snapshot;
        let (forwarding, upstream) = view.way(&passage.permit);

        let protocol = if parts.version == Version::HTTP_11 {
            headers::requested_protocols(&parts.headers)
        } else {
            None
        };
        let protocol = protocol.filter(|_| upstream.supports_upgrade());
        let client = connection.client(&view.snapshot);
        let mut added = headers::rewrite_request(
            &mut parts.headers,
            parts.version,
            &snapshot.reserved,
            &client,
        )?;
        added.request_id.clone_from(&record.request_id);
        if let Some(trace) = &record.trace {
            trace.tell(&mut parts.headers);
        }
        if let Some(fact) = &passage.token {
            if let Some(replacement) = fact.replacement() {
                parts
                    .headers
                    .insert(header::AUTHORIZATION, replacement.clone());
            }
            for header in &forwarding.claim_headers {
                header.set(
                    &mut parts.headers,
                    fact.token(),
                    &forwarding.label,
                    self.ticker.now(),
                );
            }
        }
        if !forwarding.forward_token {
            parts.headers.remove(header::AUTHORIZATION);
        }
        let ends = passage
            .token
            .as_ref()
            .filter(|_| forwarding.close_at_expiry)
            .and_then(|fact| fact.ends());
        let expiry = ends.map(|ends| {
            let deadline = self.ticker.deadline();
            deadline.arm(ends.since(self.ticker.wall()));
            deadline
        });
        set_target(&mut parts, passage.path.as_deref())?;
        if let Some(rehearsal) = &connection.rehearsal {
            if let Some(protocol) = protocol {
                headers::set_upgrade(&mut parts.headers, protocol);
            }
            added.append_to(&mut parts.headers);
            let token = passage.token.as_ref().map(|fact| fact.token());
            let left_out = token.into_iter().flat_map(|token| {
                forwarding
                    .claim_headers
                    .iter()
                    .map(|header| header.left_out(token))
            });
            rehearsal.would_send(upstream.settings(), parts, left_out.flatten().collect());
            return Ok(Passed::Rehearsed);
        }

        if let Some(trace) = &record.trace {
            trace.sends();
        }
        let mut request = Request::from_parts(parts, body);
        let is_http11 = request.version() == Version::HTTP_11;
        let on_interim = |status, headers: &HeaderMap| {
            if is_http11 {
                pass_interim_answer(&connection.interim, status, headers);
            }
        };
        // Ours, whatever the client's was (RFC 9110 §2.5): a connection of HTTP/1.0 could not be kept.
        *request.version_mut() = Version::HTTP_11;
        if let Some(protocol) = &protocol {
            headers::set_upgrade(request.headers_mut(), protocol.clone());
        }
        let outgoing = UpstreamRequest {
            request,
            added: &added,
            on_interim: &on_interim,
        };
        if protocol.is_some() {
            let switching = before(
                expiry.as_ref(),
                pin!(upstream.upgrade(passage.permit, outgoing)),
            )
            .await;
            connection.interim.settle();
            return match switching
                .ok_or_else(token_ended)?
                .map_err(Refusal::Upstream)?
            {
                UpgradeResponse::Declined(answer) => {
                    Ok(Passed::Answered(to_client(answer), expiry))
                }
                UpgradeResponse::Upgraded(answer, far_end) => {
                    let protocol = answer.headers().get(header::UPGRADE).cloned();
                    let mut answer = to_client(answer);
                    if let Some(protocol) = protocol {
                        headers::set_upgrade(answer.headers_mut(), protocol);
                    }
                    Ok(Passed::Switched(answer, far_end, expiry))
                }
            };
        }
        let answer = before(
            expiry.as_ref(),
            pin!(upstream.send(passage.permit, outgoing)),
        )
        .await;
        connection.interim.settle();
        Ok(Passed::Answered(
            to_client(answer.ok_or_else(token_ended)?.map_err(Refusal::Upstream)?),
            expiry,
        ))
    }

    async fn judge(
        &self,
        view: &View,
        connection: &Connection,
        parts: &Parts,
        record: &mut Record,
    ) -> Result<Passage, Refusal> {
        let snapshot = &view.snapshot;
        if !admission::is_forwarded(&parts.method) {
            let allow = HeaderValue::from_static(admission::FORWARDED_METHODS);
            return Err(Refusal::MethodNotAllowed {
                allow,
                found: parts.method.clone(),
            });
        }
        admission::check(parts)?;
        let host = admission::host(parts)?;
        if let Some(trace) = record.trace.as_mut().filter(|trace| trace.is_sampled()) {
            trace.host = Some((*host).into());
        }
        let path = NormalPath::parse(parts.uri.path(), snapshot.path_parameters)?;
        let path_of = |index: usize| snapshot.routes.routes()[index].path.as_str().to_owned();
        record.tell_path(path.as_str());
        let found = snapshot.routes.find(&host, &path, &parts.method);
        // A wrong method is one of the route's path.
        if let Ok(Found { index, .. }) | Err(NoRoute::MethodNotAllowed { of: index, .. }) = found {
            let told = view.told(index);
            (record.route, record.names) =
                (Rc::clone(&told.requests), Some(Rc::clone(&told.names)));
        }
        let found =
            found.map_err(|error| Refusal::no_route(error, &host, &parts.method, path_of))?;
        let forwarding = &snapshot.forwarding[found.index];

        let (permit, token) = match self
            .admit(snapshot, connection, &parts.headers, &found, record)
            .await
        {
            Ok(admitted) => admitted,
            Err(refusal) => {
                let shadow =
                    decision::unenforced(&found).filter(|_| refusal.is_for_lack_of_a_token());
                let Some(permit) = shadow else {
                    return Err(refusal);
                };
                record.refuse(
                    Outcome::Shadowed(refusal.reason()),
                    refusal.issuer(),
                    || refusal.why(),
                );
                (permit, None)
            }
        };
        let sent = without_first_segments(path.as_str(), forwarding.strip_segments);
        let path = (sent != parts.uri.path()).then(|| sent.to_owned());
        Ok(Passage {
            permit,
            token,
            path,
        })
    }

    // Decides by the token, where one is asked for.
    async fn admit(
        &self,
        snapshot: &Arc<Snapshot>,
        connection: &Connection,
        headers: &HeaderMap,
        found: &Found<'_, '_>,
        record: &mut Record,
    ) -> Result<(Permit, Option<Arc<Verified>>), Refusal> {
        let fact = if found.route.requirement.is_public() {
            None
        } else {
            Some(
                self.token(
                    snapshot,
                    connection,
                    headers,
                    found,
                    record.trace.as_deref(),
                )
                .await?,
            )
        };
        let token = fact.as_ref().map(|fact| fact.token());
        record.token = token.map(Arc::clone);
        let permit = decision::decide(found, token.map(|token| &**token))
            .map_err(|denial| Refusal::denied(denial, token))?;
        record.outcome = if token.is_some() {
            Outcome::Permitted
        } else {
            Outcome::Public
        };
        Ok((permit, fact))
    }

    async fn token(
        &self,
        snapshot: &Arc<Snapshot>,
        connection: &Connection,
        headers: &HeaderMap,
        found: &Found<'_, '_>,
        trace: Option<&Trace>,
    ) -> Result<Arc<Verified>, Refusal> {
        let last = connection.memo.last();
        let token = match bearer::extract_beside(headers, last.as_ref().map(|fact| fact.text())) {
            Ok(token) => token,
            Err(error @ (BearerError::Missing | BearerError::OtherScheme)) => {
                let scope = if snapshot.challenge.scope_when_unauthenticated {
                    decision::needed_scope(found)
                } else {
                    None
                };
                return Err(Refusal::NoToken { scope, error });
            }
            Err(error @ (BearerError::Malformed | BearerError::Repeated)) => {
                return Err(Refusal::BadAuthorization(error));
            }
        };
        let offer = Offer {
            token,
            memo: &connection.memo,
            accepts: |issuer: &str| found.route.accepts_issuer(issuer),
            client: || {
                connection.client(snapshot).origin(headers, |address| {
                    snapshot.trusted_proxies.contains(address)
                })
            },
            now: self.ticker.wall(),
            trace,
        };
        snapshot
            .verifier
            .verify(&offer)
            .await
            .map_err(Refusal::not_verified)
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

// What is waited for, unless `expiry` passes first: an upload is a stream, too.
// It is pinned by who waits, and not moved: the state of a whole exchange is large.
async fn before<T>(
    expiry: Option<&Deadline>,
    mut waited_for: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(
        |context| match (waited_for.as_mut().poll(context), expiry) {
            (Poll::Ready(outcome), _) => Poll::Ready(Some(outcome)),
            (Poll::Pending, Some(expiry)) => expiry.poll_passed(context).map(|()| None),
            (Poll::Pending, None) => Poll::Pending,
        },
    )
    .await
}

fn token_ended() -> Refusal {
    let detail = "the token ended before there was an answer".to_owned();
    Refusal::InvalidToken {
        reason: TOKEN_ENDED,
        detail,
        issuer: None,
    }
}

fn to_client<B>(mut answer: Response<B>) -> Response<B> {
    // Ours, whatever the upstream's was (RFC 9110 §2.5).
    let version = mem::replace(answer.version_mut(), Version::HTTP_11);
    let status = answer.status();
    headers::rewrite_response(answer.headers_mut(), version, status);
    answer
}

// Without its first segment, `/push/apps` is `/apps` and `/push` is `/`. Counted instead of compared: a route's
// literal may be spelt in more than one way.
fn without_first_segments(path: &str, segments: usize) -> &str {
    if segments == 0 {
        return path;
    }
    match path.match_indices('/').nth(segments) {
        Some((slash, _)) => &path[slash..],
        None => "/",
    }
}

// Origin-form, whatever form it came in: the path that was judged, and the query as it came (RFC 9112 §3.2.1). Over
// HTTP/2 a query may come alone, and its path is `/`.
fn set_target(parts: &mut Parts, path: Option<&str>) -> Result<(), Ambiguity> {
    let begins_with_path = parts
        .uri
        .path_and_query()
        .is_some_and(|target| target.as_str().starts_with('/'));
    if path.is_none() && parts.uri.authority().is_none() && begins_with_path {
        return Ok(());
    }
    let path = path.unwrap_or_else(|| parts.uri.path());
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    parts.uri = Uri::from(PathAndQuery::try_from(target)?);
    Ok(())
}

// RFC 9110 §15.2 has a proxy pass them on. A client of HTTP/1.0 does not know them, and 100 is the answer to an `Expect`
// that was answered here.
fn pass_interim_answer(interim: &Interim, status: StatusCode, headers: &HeaderMap) {
    if status != StatusCode::CONTINUE {
        let mut headers = headers.clone();
        headers::rewrite_response(&mut headers, Version::HTTP_11, status);
        interim.tell(status, &headers);
    }
}
