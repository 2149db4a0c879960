//! Reads the body of a response.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::chunked::Decoded;
use super::connection::Http1Connection;
use super::response_head::ResponseFraming;
use crate::telemetry::metrics::GaugeGuard;
use crate::transport::Stream;
use crate::upstream::connection::upload::{Upload, UploadOutcome};

/// Reads the body of a response from its connection.
pub(in crate::upstream) struct ResponseReader {
    connection: Http1Connection,
    framing: ResponseFraming,
    keep_alive: bool,
    /// Whether the whole request was sent before the response began.
    is_request_sent: bool,
    /// The rest of the request, where that is still being sent.
    upload: Option<Upload>,
}

impl ResponseReader {
    /// A reader behind a response head. `is_request_sent` and `upload` are about the request.
    pub(super) fn new(
        connection: Http1Connection,
        framing: ResponseFraming,
        keep_alive: bool,
        is_request_sent: bool,
        upload: Option<Upload>,
    ) -> Self {
        Self {
            connection,
            framing,
            keep_alive,
            is_request_sent,
            upload,
        }
    }

    pub(in crate::upstream) fn is_ended(&self) -> bool {
        match &self.framing {
            ResponseFraming::Length(left) => *left == 0,
            ResponseFraming::Chunked(decoder) => decoder.is_ended(),
            ResponseFraming::UntilClosed => false,
        }
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        match &self.framing {
            ResponseFraming::Length(left) => SizeHint::with_exact(*left),
            ResponseFraming::Chunked(_) | ResponseFraming::UntilClosed => SizeHint::default(),
        }
    }

    pub(in crate::upstream) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // A request whose body broke off is invalid, so its response ends too.
        if self.poll_upload(context) == Poll::Ready(UploadOutcome::Broken) {
            let broken = io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the request body broke off, or the upstream did not read it",
            );
            return Poll::Ready(Some(Err(broken)));
        }
        loop {
            match self.framing.decode(self.connection.unread()) {
                Ok(Some(Decoded::Data(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Some(Decoded::Trailers(trailers))) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Some(Decoded::End)) => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let expected = self.framing.expected();
            let read = match ready!(self.connection.poll_read(expected, context)) {
                Ok(0) => self.framing.end_of_input(),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Whether the rest of the request is still being sent.
    pub(in crate::upstream) fn is_uploading(&self) -> bool {
        self.upload.is_some()
    }

    /// Waits until the rest of the request was sent. The upstream may want it although it has
    /// responded already.
    pub(in crate::upstream) async fn finish_upload(&mut self) {
        poll_fn(|context| self.poll_upload(context)).await;
    }

    /// The connection, where another request may follow on it. Otherwise it is closed.
    pub(in crate::upstream) fn into_reusable(self) -> Option<Http1Connection> {
        if self.keep_alive {
            return Some(self.connection);
        }
        self.connection.close();
        None
    }

    /// The stream, the bytes that were read from it, and the guard of the open connection. `None`
    /// where a part of the request was not sent.
    pub(in crate::upstream) fn into_parts(self) -> Option<(Stream, Bytes, GaugeGuard)> {
        if self.is_request_sent {
            self.connection.into_parts()
        } else {
            None
        }
    }

    // Ready once, when the upload has ended.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<UploadOutcome> {
        let Some(upload) = &mut self.upload else {
            return Poll::Pending;
        };
        let outcome = ready!(upload.poll(context));
        self.upload = None;
        self.keep_alive &= outcome == UploadOutcome::Complete;
        Poll::Ready(outcome)
    }
}
