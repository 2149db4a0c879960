//! The access log: one line for each request.
//!
//! 1. A line holds facts of the [`Record`](super::Record) only: the route's pattern and never the query, claims of a token and never the
//!    token.
//! 2. Fields that may be personal or secret are logged only if configured: `client_id`, `subject`, `path`.
//! 3. Causing refusals costs almost nothing, so their lines are limited over all workers together. The
//!    next line has the number that was left out.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::line::{CurrentStyle, Line, Style, name};
use super::metrics::Counter;
use super::sink::{Lines, Sink};
use super::timestamp::Timestamps;
use crate::clock;
use crate::values::LogFormat;

/// What is logged of requests: `[log]`. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLog {
    /// Whether each request has a line.
    pub is_on: bool,
    /// Whether a line has the token's client.
    pub client_id: bool,
    /// Whether a line has the token's subject.
    pub subject: bool,
    /// Whether a line has the normalized path.
    pub path: bool,
    /// The maximum number of lines about refusals per second; 0 for no limit.
    pub refusals_per_second: u32,
}

/// The access log of a process.
#[derive(Clone, Debug)]
pub struct AccessLog {
    sink: Sink,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    style: CurrentStyle,
    /// Whether the log level includes the access log.
    is_on: AtomicBool,
    refusals: Refusals,
}

/// The access log of one worker.
#[derive(Debug)]
pub(super) struct WorkerAccessLog {
    lines: Arc<Lines>,
    shared: Arc<Shared>,
    timestamps: RefCell<Timestamps>,
}

/// Counts the lines about refusals in the current second.
#[derive(Debug)]
struct Refusals {
    began: Instant,
    /// The second, and its count.
    in_second: AtomicU64,
    left_out: Counter,
    /// How many of those left out have been reported in a line.
    reported: AtomicU64,
}

/// A second and its count are packed in one number, so that both change at once. `refusals_per_second` is
/// at most a million.
const COUNT_BITS: u32 = 24;

impl AccessLog {
    /// An access log that writes to `sink`, without colours: only [`Log`](super::Log) knows the terminal.
    #[must_use]
    pub fn new(sink: Sink, format: LogFormat) -> Self {
        let style = match format {
            LogFormat::Pretty => Style::Plain,
            LogFormat::Json => Style::Json,
        };
        Self::styled(sink, style, true)
    }

    pub(super) fn styled(sink: Sink, style: Style, is_on: bool) -> Self {
        let (style, is_on) = (CurrentStyle::new(style), AtomicBool::new(is_on));
        Self {
            sink,
            shared: Arc::new(Shared {
                style,
                is_on,
                refusals: Refusals::beginning(clock::now()),
            }),
        }
    }

    pub(super) fn change(&self, style: Style, is_on: bool) {
        self.shared.style.set(style);
        self.shared.is_on.store(is_on, Ordering::Relaxed);
    }

    pub(super) fn worker(&self) -> WorkerAccessLog {
        WorkerAccessLog {
            lines: self.sink.lines(),
            shared: Arc::clone(&self.shared),
            timestamps: RefCell::default(),
        }
    }

    /// How many lines of the whole log were dropped because they were not read in time.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.sink.dropped()
    }

    /// How many refusals have no line because of `refusals_per_second`.
    #[must_use]
    pub fn refusals_left_out(&self) -> u64 {
        self.shared.refusals.left_out.read()
    }
}

impl WorkerAccessLog {
    /// Whether the log level includes the access log.
    pub(super) fn is_on(&self) -> bool {
        self.shared.is_on.load(Ordering::Relaxed)
    }

    /// Whether another refusal gets a line; otherwise it is counted.
    pub(super) fn takes_refusal(&self, settings: RequestLog) -> bool {
        self.shared
            .refusals
            .take(settings.refusals_per_second, clock::now())
    }

    /// Writes one line; `fill` adds its fields.
    pub(super) fn write(&self, fill: impl FnOnce(&mut Line<'_>)) {
        let style = self.shared.style.read();
        let left_out = self.shared.refusals.take_unreported();
        self.lines.add(|bytes| {
            let mut timestamps = self.timestamps.borrow_mut();
            let mut line = Line::begin(bytes, style, timestamps.now(), "request");
            fill(&mut line);
            if left_out > 0 {
                line.number(name!("refusals_left_out"), left_out);
            }
            line.end();
        });
    }
}

impl Refusals {
    fn beginning(now: Instant) -> Self {
        Self {
            began: now,
            in_second: AtomicU64::new(0),
            left_out: Counter::default(),
            reported: AtomicU64::new(0),
        }
    }

    fn take(&self, limit: u32, now: Instant) -> bool {
        if limit == 0 {
            return true;
        }
        let second = now.saturating_duration_since(self.began).as_secs();
        let one_more = |packed: u64| {
            let (of, count) = (packed >> COUNT_BITS, packed & ((1 << COUNT_BITS) - 1));
            // A worker whose time is a second behind counts in the current second.
            if of < second {
                Some(second << COUNT_BITS | 1)
            } else {
                (count < limit.into()).then_some(packed + 1)
            }
        };
        let is_taken = self
            .in_second
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok();
        if !is_taken {
            self.left_out.count();
        }
        is_taken
    }

    // How many were left out since the last report.
    fn take_unreported(&self) -> u64 {
        let left_out = self.left_out.read();
        if left_out == self.reported.load(Ordering::Relaxed) {
            return 0;
        }
        // Of two workers at the same time, the greater number is reported.
        left_out.saturating_sub(self.reported.fetch_max(left_out, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn refusals_are_limited_per_second_and_those_left_out_are_reported_once() {
        let began = Instant::now();
        let refusals = Refusals::beginning(began);
        let at = |millis| began + Duration::from_millis(millis);
        let taken = (0..1000).filter(|_| refusals.take(100, at(10))).count();
        assert_eq!((taken, refusals.left_out.read()), (100, 900));
        assert_eq!(
            (refusals.take_unreported(), refusals.take_unreported()),
            (900, 0)
        );
        assert!(!refusals.take(100, at(999)));
        assert!(
            refusals.take(100, at(1000)) && refusals.take(100, at(999)),
            "an earlier time counts in the current second"
        );
        assert_eq!(
            (0..1000).filter(|_| refusals.take(100, at(1999))).count(),
            98
        );
        assert_eq!(refusals.take_unreported(), 1 + 902);
    }

    #[test]
    fn without_limit_no_refusal_is_left_out() {
        let refusals = Refusals::beginning(Instant::now());
        assert!((0..100_000).all(|_| refusals.take(0, Instant::now())));
        assert_eq!(refusals.take_unreported(), 0);
    }
}
