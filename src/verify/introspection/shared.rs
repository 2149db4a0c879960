//! Introspection responses that the gateways of a fleet share.
//!
//! 1. What is shared is the response as the authorization server sent it: a fact. Each gateway
//!    verifies and judges it by its own configuration, as if it had sent the request.
//! 2. Only responses about active tokens are shared. Inventing tokens costs nothing, and stores
//!    nothing.
//! 3. The age of a response counts from its request. A gateway caches it for the rest of its own
//!    `cache_ttl`.
//! 4. A token that is new to all gateways may cause one request of each. If one in use is introspected
//!    again, one of them sends the request.
//! 5. A fleet that does not respond in time has nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::http_client::HttpResponse;
use crate::oauth::UnixTime;
use crate::telemetry::metrics::Counter;

/// Bytes of a response that is shared.
const MAX_SHARED: usize = 16 * 1024;
/// Queries that wait. Beyond it, a lookup sends its own request.
const MAX_QUEUE: usize = 1024;
/// How far the clock of another gateway may be ahead: whole seconds are compared.
const MAX_AHEAD: Duration = Duration::from_secs(1);

/// The responses of a fleet, as one gateway reaches them.
pub struct SharedResponses {
    /// How long a lookup waits for the fleet.
    timeout: Duration,
    is_connected: AtomicBool,
    queue: mpsc::Sender<ResponseQuery>,
    found: Counter,
    missing: Counter,
    failed: Counter,
}

/// What became of the lookups so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedResponsesReport {
    /// Another gateway had sent the request.
    pub found: u64,
    /// None had.
    pub missing: u64,
    /// The fleet did not respond.
    pub failed: u64,
}

/// A query to what the fleet stores.
pub enum ResponseQuery {
    /// Looks for a response.
    Find {
        /// Which one.
        name: ResponseName,
        /// For how long this gateway alone may send the request; none if all may.
        claim: Option<Duration>,
        /// Gets what is found. Dropped if the fleet does not respond.
        reply: oneshot::Sender<FoundResponse>,
    },
    /// Stores a response.
    Store {
        /// Which one.
        name: ResponseName,
        /// When no gateway needs it any more.
        expires: UnixTime,
        /// The response. The fleet encrypts it.
        value: Zeroizing<Vec<u8>>,
    },
}

/// What the fleet has.
pub struct FoundResponse {
    /// What was stored; none if nothing was.
    pub value: Option<Zeroizing<Vec<u8>>>,
    /// Whether this gateway may send the request.
    pub is_claimed: bool,
}

/// Which response: what it depends on.
pub struct ResponseName {
    /// The server, its endpoint, the gateway as a client, and the format.
    scope: Arc<[String]>,
    token: Zeroizing<String>,
}

/// A response, and when its request began.
pub(super) struct DatedResponse {
    pub(super) asked_at: UnixTime,
    pub(super) response: HttpResponse,
}

/// What the fleet has, for one lookup.
pub(super) enum SharedLookup<R> {
    /// A response to another gateway.
    Found(R),
    /// Nothing: send the request.
    Missing,
    /// Another gateway is sending the request.
    Expected,
}

impl SharedResponses {
    /// Responses that cannot be reached yet, and the queue of queries. A lookup waits for `timeout`
    /// at most.
    #[must_use]
    pub fn new(timeout: Duration) -> (Arc<Self>, mpsc::Receiver<ResponseQuery>) {
        let (queue, queries) = mpsc::channel(MAX_QUEUE);
        let this = Self {
            timeout,
            is_connected: AtomicBool::new(false),
            queue,
            found: Counter::default(),
            missing: Counter::default(),
            failed: Counter::default(),
        };
        (Arc::new(this), queries)
    }

    /// Whether the fleet can be reached from now on. Returns whether it could until now.
    pub fn set_connected(&self, is_connected: bool) -> bool {
        self.is_connected.swap(is_connected, Ordering::Relaxed)
    }

    /// Whether the fleet can be reached.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// What became of the lookups so far.
    #[must_use]
    pub fn report(&self) -> SharedResponsesReport {
        SharedResponsesReport {
            found: self.found.read(),
            missing: self.missing.read(),
            failed: self.failed.read(),
        }
    }

    /// Looks for a response that `is_useful`. `claim`: see [`ResponseQuery::Find`].
    pub(super) async fn find(
        &self,
        name: ResponseName,
        claim: Option<Duration>,
        now: UnixTime,
        is_useful: impl Fn(&DatedResponse) -> bool,
    ) -> SharedLookup<DatedResponse> {
        let Some(FoundResponse { value, is_claimed }) = self.query(name, claim).await else {
            self.failed.count();
            return SharedLookup::Missing;
        };
        let found = value.and_then(|value| DatedResponse::from_bytes(&value));
        match found.filter(|found| found.is_past(now) && is_useful(found)) {
            Some(found) => {
                self.found.count();
                SharedLookup::Found(found)
            }
            None => {
                self.missing.count();
                if is_claimed {
                    SharedLookup::Missing
                } else {
                    SharedLookup::Expected
                }
            }
        }
    }

    /// Stores a response for the other gateways until it expires. Does not wait.
    pub(super) fn store(&self, name: ResponseName, expires: UnixTime, value: Zeroizing<Vec<u8>>) {
        if self.is_connected.load(Ordering::Relaxed) {
            // A full queue stores nothing: each gateway then sends its own request.
            let _ = self.queue.try_send(ResponseQuery::Store {
                name,
                expires,
                value,
            });
        }
    }

    async fn query(&self, name: ResponseName, claim: Option<Duration>) -> Option<FoundResponse> {
        if !self.is_connected.load(Ordering::Relaxed) {
            return None;
        }
        let (reply, found) = oneshot::channel();
        let query = ResponseQuery::Find { name, claim, reply };
        self.queue.try_send(query).ok()?;
        tokio::time::timeout(self.timeout, found).await.ok()?.ok()
    }
}

impl ResponseName {
    pub(super) fn new(scope: &Arc<[String]>, token: &Zeroizing<String>) -> Self {
        Self {
            scope: Arc::clone(scope),
            token: token.clone(),
        }
    }

    /// What distinguishes it from all others. Secret.
    pub fn parts(&self) -> Vec<&[u8]> {
        let scope = self.scope.iter().map(String::as_bytes);
        scope.chain([self.token.as_bytes()]).collect()
    }
}

/// The `fresh_for` of a response whose `Cache-Control` says nothing.
const UNLIMITED: u32 = u32::MAX;

/// A response as it is stored; none if it is too large. The bytes: when the request began (8 bytes),
/// status (2), seconds for which `Cache-Control` permits caching (4), length of the media type (1),
/// media type, body. Numbers are big-endian.
pub(super) fn to_bytes(response: &HttpResponse, asked_at: UnixTime) -> Option<Zeroizing<Vec<u8>>> {
    let body = Some(&response.body).filter(|body| body.len() <= MAX_SHARED)?;
    let media_type = response.media_type().unwrap_or_default();
    let length = u8::try_from(media_type.len()).ok()?;
    let fresh_for = response.freshness().map_or(UNLIMITED, |fresh_for| {
        u32::try_from(fresh_for.as_secs()).unwrap_or(UNLIMITED)
    });
    let mut bytes = Zeroizing::new(Vec::with_capacity(15 + media_type.len() + body.len()));
    bytes.extend(asked_at.as_seconds().to_be_bytes());
    bytes.extend(response.status.as_u16().to_be_bytes());
    bytes.extend(fresh_for.to_be_bytes());
    bytes.push(length);
    bytes.extend(media_type.as_bytes());
    bytes.extend(body);
    Some(bytes)
}

impl DatedResponse {
    // A response of the future: another gateway's clock is wrong, or this one's.
    fn is_past(&self, now: UnixTime) -> bool {
        self.asked_at <= now.later_by(MAX_AHEAD)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (asked_at, rest) = bytes.split_first_chunk()?;
        let (status, rest) = rest.split_first_chunk()?;
        let (fresh_for, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (media_type, body) = rest.split_at_checked(usize::from(*length))?;
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_bytes(media_type).ok()?,
        );
        let fresh_for = u32::from_be_bytes(*fresh_for);
        if fresh_for != UNLIMITED {
            let max_age = format!("max-age={fresh_for}");
            headers.insert(header::CACHE_CONTROL, max_age.try_into().ok()?);
        }
        Some(Self {
            asked_at: UnixTime::from_seconds(i64::from_be_bytes(*asked_at)),
            response: HttpResponse {
                status: StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?,
                headers,
                body: body.to_vec(),
            },
        })
    }
}

impl fmt::Debug for SharedResponses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedResponses")
            .field("is_connected", &self.is_connected)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    fn stored(cache_control: Option<&'static str>, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut headers = HeaderMap::new();
        let media_type = HeaderValue::from_static("application/jwt; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, media_type);
        if let Some(value) = cache_control {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
        }
        let response = HttpResponse {
            status: StatusCode::OK,
            headers,
            body: body.to_vec(),
        };
        to_bytes(&response, at(100))
    }

    #[test]
    fn response_keeps_what_its_reader_looks_at() {
        for (cache_control, freshness) in [
            (None, None),
            (Some("max-age=7"), Some(Duration::from_secs(7))),
            (Some("no-store"), Some(Duration::ZERO)),
        ] {
            let bytes = stored(cache_control, b"a body").expect("small");
            let DatedResponse { asked_at, response } =
                DatedResponse::from_bytes(&bytes).expect("well-formed");
            assert_eq!((asked_at, response.status), (at(100), StatusCode::OK));
            assert_eq!(response.body, b"a body");
            assert_eq!(response.media_type().as_deref(), Some("application/jwt"));
            assert_eq!(response.freshness(), freshness);
        }
    }

    #[test]
    fn large_response_is_not_stored_and_a_truncated_one_not_read() {
        assert!(stored(None, &vec![b'x'; MAX_SHARED]).is_some());
        assert!(stored(None, &vec![b'x'; MAX_SHARED + 1]).is_none());
        let bytes = stored(None, b"").expect("small");
        for length in 0..bytes.len() {
            assert!(
                DatedResponse::from_bytes(&bytes[..length]).is_none(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn response_of_the_future_is_not_used() {
        let bytes = stored(None, b"").expect("small");
        let found = DatedResponse::from_bytes(&bytes).expect("well-formed");
        assert!(found.is_past(at(100)) && found.is_past(at(99)));
        assert!(!found.is_past(at(98)), "a clock is wrong");
    }

    #[tokio::test]
    async fn fleet_that_does_not_respond_has_nothing() {
        let name = || ResponseName::new(&["server".to_owned()].into(), &"token".to_owned().into());
        let (shared, mut queries) = SharedResponses::new(Duration::from_millis(500));
        let find = async || {
            let began = clock::now();
            let found = shared.find(name(), None, at(0), |_| true).await;
            assert!(matches!(found, SharedLookup::Missing));
            clock::since(began)
        };
        let timeout = Duration::from_millis(500);
        assert!(find().await < timeout, "there is no connection");
        shared.set_connected(true);
        assert!(find().await >= timeout);
        queries.close();
        assert!(find().await < timeout, "nobody will reply");
        let report = shared.report();
        assert_eq!((report.found, report.missing, report.failed), (0, 0, 3));
    }
}
