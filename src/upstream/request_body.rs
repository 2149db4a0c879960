//! The body of a request: each frame is forwarded as it arrives, within the idle timeout.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::headers::{self, ReservedHeaders};
use crate::clock::{Deadline, Ticker};
use crate::transport::IncomingBody;

/// The body of a request on its way from the client to the upstream, if it has one.
#[derive(Default)]
pub struct RequestBody(Option<Watched>);

struct Watched {
    incoming: IncomingBody,
    progress: Rc<RequestBodyProgress>,
    reserved: Arc<ReservedHeaders>,
    /// What remains of a body that was buffered before it is forwarded. Few are, so it is boxed.
    buffered: Option<Box<Bytes>>,
    /// Few requests have one.
    cut_off: Option<CutOff>,
}

/// Ready when the gateway ends a request, with the reason.
pub type CutOff = Pin<Box<dyn Future<Output = &'static str>>>;

/// How much of a request body has arrived, and how it failed. The exchange and the response read
/// it.
pub struct RequestBodyProgress {
    deadline: Deadline,
    idle_timeout: Duration,
    is_waiting: Cell<bool>,
    bytes: Cell<u64>,
    /// Frames of the request and of the response.
    frames: Cell<u64>,
    frames_when_armed: Cell<u64>,
    limit: Cell<BodyLimit>,
    fault: Cell<Option<RequestBodyFault>>,
    /// Why the gateway has ended it.
    cut_off: Cell<Option<&'static str>>,
    /// Whether it has arrived to its end.
    is_whole: Cell<bool>,
}

/// How a client failed to send the body that it announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBodyFault {
    /// Nothing arrived for `body_idle_timeout`, and no part of the response was forwarded; or a body that
    /// is read before it is forwarded took longer than that.
    TimedOut,
    /// It broke off, or its framing was invalid.
    Broken,
    /// It is larger than its route accepts.
    TooLarge(BodyTooLarge),
}

/// The maximum size of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// In bytes.
    pub bytes: u64,
    /// What sets it.
    pub source: LimitSource,
}

/// What limits a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// `max_body_size` of `[server]`.
    Server,
    /// `max_body_size` of the route.
    Route,
    /// A path for Security Event Tokens, which nothing configures.
    SecurityEvents,
}

impl std::fmt::Display for LimitSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server => "max_body_size of [server]",
            Self::Route => "max_body_size of the route",
            Self::SecurityEvents => "the size of a Security Event Token",
        })
    }
}

impl BodyLimit {
    const NONE: Self = Self {
        bytes: u64::MAX,
        source: LimitSource::Server,
    };
}

/// A request body above its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a body of at most {} bytes ({}), but found {}",
    limit.bytes,
    limit.source,
    announced.map_or_else(
        || "a larger one without Content-Length".to_owned(),
        |bytes| format!("Content-Length: {bytes}")
    )
)]
pub struct BodyTooLarge {
    /// The limit.
    pub limit: BodyLimit,
    /// Its `Content-Length`; none for a body that was cut off at the limit.
    pub announced: Option<u64>,
}

impl RequestBody {
    /// Watches `incoming` and removes `reserved` names from its trailers. An empty body is not
    /// watched.
    #[must_use]
    pub fn new(
        incoming: IncomingBody,
        reserved: &Arc<ReservedHeaders>,
        idle_timeout: Duration,
        ticker: &Rc<Ticker>,
    ) -> Self {
        if incoming.is_end_stream() {
            return Self::default();
        }
        let progress = RequestBodyProgress {
            deadline: ticker.deadline(),
            idle_timeout,
            is_waiting: Cell::new(false),
            bytes: Cell::new(0),
            frames: Cell::new(0),
            frames_when_armed: Cell::new(0),
            limit: Cell::new(BodyLimit::NONE),
            fault: Cell::new(None),
            cut_off: Cell::new(None),
            is_whole: Cell::new(false),
        };
        Self(Some(Watched {
            incoming,
            progress: Rc::new(progress),
            reserved: Arc::clone(reserved),
            buffered: None,
            cut_off: None,
        }))
    }

    /// Breaks it off when `cut_off` is ready.
    pub fn cut_off_when(&mut self, cut_off: impl FnOnce() -> CutOff) {
        if let Some(watched) = &mut self.0 {
            watched.cut_off = Some(cut_off());
        }
    }

    /// Limits its size. A larger one breaks off: what passes the limit is not forwarded, and nothing
    /// more is read.
    pub fn set_limit(&mut self, limit: BodyLimit) {
        if let Some(watched) = &self.0 {
            watched.progress.limit.set(limit);
        }
    }

    /// Removes these names from its trailers, instead of those that it was built with.
    pub fn set_reserved_headers(&mut self, reserved: &Arc<ReservedHeaders>) {
        if let Some(watched) = &mut self.0 {
            watched.reserved = Arc::clone(reserved);
        }
    }

    /// Reads it to its end, before `deadline`. What was read remains the body, in one frame and without
    /// trailers: an upstream that merged them into the headers would change what was judged.
    ///
    /// # Errors
    /// The body broke off, stalled or is too long: see [`RequestBodyProgress::fault`].
    pub async fn buffer(&mut self, deadline: &Deadline) -> io::Result<Bytes> {
        let mut buffered = BytesMut::new();
        while let Some(frame) = poll_fn(|context| self.poll_frame_before(deadline, context)).await {
            if let Ok(data) = frame?.into_data() {
                buffered.extend_from_slice(&data);
            }
        }
        let buffered = buffered.freeze();
        if let Some(watched) = &mut self.0 {
            watched.buffered = Some(Box::new(buffered.clone()));
        }
        Ok(buffered)
    }

    // Asks for the time even if there is a frame: a client may send empty ones without end.
    fn poll_frame_before(
        &mut self,
        deadline: &Deadline,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if deadline.poll_passed(context).is_ready() {
            if let Some(watched) = &self.0 {
                watched.progress.fault.set(Some(RequestBodyFault::TimedOut));
            }
            return Poll::Ready(Some(Err(stalled())));
        }
        Pin::new(self).poll_frame(context)
    }

    /// What was not read of it.
    #[must_use]
    pub fn into_unread(mut self) -> Self {
        if let Some(buffered) = self
            .0
            .as_mut()
            .and_then(|watched| watched.buffered.as_mut())
        {
            buffered.clear();
        }
        self
    }

    /// Its length, if it was buffered.
    #[must_use]
    pub fn buffered_length(&self) -> Option<u64> {
        let buffered = self.0.as_ref()?.buffered.as_ref()?;
        Some(buffered.len() as u64)
    }

    /// Its progress; `None` for a request without a body.
    #[must_use]
    pub fn progress(&self) -> Option<Rc<RequestBodyProgress>> {
        self.0.as_ref().map(|watched| Rc::clone(&watched.progress))
    }
}

impl RequestBodyProgress {
    /// Bytes that arrived so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// How the client failed, if it did.
    #[must_use]
    pub fn fault(&self) -> Option<RequestBodyFault> {
        self.fault.get()
    }

    /// Why the gateway has ended the body, if it has.
    #[must_use]
    pub fn cut_off(&self) -> Option<&'static str> {
        self.cut_off.get()
    }

    /// Whether the body has arrived to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.get()
    }

    /// Frames that were forwarded so far, of the request and of the response.
    pub(super) fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Counts a frame of either direction.
    pub(super) fn record_frame(&self) {
        self.frames.set(self.frames.get() + 1);
    }

    /// Counts bytes that have arrived.
    fn count(&self, length: usize) -> Result<(), BodyTooLarge> {
        let bytes = self.bytes.get() + length as u64;
        self.bytes.set(bytes);
        let limit = self.limit.get();
        if bytes <= limit.bytes {
            return Ok(());
        }
        let too_large = BodyTooLarge {
            limit,
            announced: None,
        };
        self.fault.set(Some(RequestBodyFault::TooLarge(too_large)));
        Err(too_large)
    }

    // Frames of either direction start the time again: an upstream that streams its response may not
    // read the request, and the client cannot send it. They are looked at when the time is over, so it
    // passes after at most twice the idle timeout.
    fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.is_waiting.replace(true) {
                self.frames_when_armed.set(self.frames.get());
                self.deadline.arm(self.idle_timeout);
            }
            ready!(self.deadline.poll_passed(context));
            if self.frames_when_armed.get() == self.frames.get() {
                return Poll::Ready(());
            }
            self.is_waiting.set(false);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(Watched {
            incoming,
            progress,
            reserved,
            buffered,
            cut_off,
        }) = &mut self.get_mut().0
        else {
            return Poll::Ready(None);
        };
        if let Some(future) = cut_off
            && let Poll::Ready(reason) = future.as_mut().poll(context)
        {
            *cut_off = None;
            progress.cut_off.set(Some(reason));
        }
        if let Some(reason) = progress.cut_off.get() {
            return Poll::Ready(Some(Err(io::Error::other(reason))));
        }
        if let Some(buffered) = buffered {
            let data = mem::take(&mut **buffered);
            return Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))));
        }
        if let Some(RequestBodyFault::TooLarge(too_large)) = progress.fault.get() {
            return Poll::Ready(Some(Err(too_large.into())));
        }
        let polled = Pin::new(&mut *incoming).poll_frame(context);
        match polled {
            Poll::Pending => {
                ready!(progress.poll_idle(context));
                progress.fault.set(Some(RequestBodyFault::TimedOut));
                Poll::Ready(Some(Err(stalled())))
            }
            Poll::Ready(frame) => {
                if progress.is_waiting.replace(false) {
                    progress.deadline.disarm();
                }
                match frame {
                    Some(Ok(frame)) => {
                        let length = frame.data_ref().map_or(0, Bytes::len);
                        progress.count(length)?;
                        progress.record_frame();
                        progress.is_whole.set(incoming.is_end_stream());
                        Poll::Ready(Some(Ok(without_reserved(frame, reserved))))
                    }
                    Some(Err(error)) => {
                        progress.fault.set(Some(RequestBodyFault::Broken));
                        Poll::Ready(Some(Err(error)))
                    }
                    None => {
                        progress.is_whole.set(true);
                        Poll::Ready(None)
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|watched| match &watched.buffered {
                Some(buffered) => buffered.is_empty(),
                None => watched.incoming.is_end_stream(),
            })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(watched) = &self.0 else {
            return SizeHint::with_exact(0);
        };
        match &watched.buffered {
            Some(buffered) => SizeHint::with_exact(buffered.len() as u64),
            None => watched.incoming.size_hint(),
        }
    }
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the request body stalled")
}

impl From<BodyTooLarge> for io::Error {
    fn from(too_large: BodyTooLarge) -> Self {
        Self::new(io::ErrorKind::InvalidData, too_large)
    }
}

fn without_reserved(frame: Frame<Bytes>, reserved: &ReservedHeaders) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::rewrite_request_trailers(&mut trailers, reserved);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
