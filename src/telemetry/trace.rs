//! One request's part in a trace (W3C Trace Context): its ids, the header for the upstream, and when its
//! steps began and ended.
//!
//! 1. A well-formed `traceparent` is continued, from any client; otherwise a new trace begins. `tracestate` is
//!    forwarded only with the trace that it belongs to.
//! 2. A trusted proxy decides whether the request is sampled. The flag of any other client is ignored,
//!    because sampling costs. Then `sample_ratio` decides by the trace id, so that every gateway decides
//!    alike.
//! 3. The upstream continues the trace, sampled or not.

use std::cell::Cell;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::ids::Ids;

use crate::clock;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const SAMPLED: u8 = 1;

/// The share of traces that is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRatio {
    below: u64,
}

/// One request's part in a trace.
#[derive(Debug)]
pub struct Trace {
    pub(super) id: u128,
    /// The span of the client.
    pub(super) parent: Option<u64>,
    pub(super) span: u64,
    /// The parent of the upstream's spans.
    pub(super) upstream_span: u64,
    flags: u8,
    pub(super) began: SystemTime,
    pub(super) verified: Cell<Option<Interval>>,
    pub(super) introspected: Cell<Option<Interval>>,
    pub(super) sent: Cell<Option<Instant>>,
    /// Whether the client uses https.
    pub(super) is_https: bool,
    /// The host of the request, if it is valid.
    pub host: Option<Box<str>>,
}

/// When a step began and ended.
pub(super) type Interval = (Instant, Instant);

/// A parsed `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl SampleRatio {
    /// Samples this share of all traces, between 0 and 1.
    #[must_use]
    pub fn new(ratio: f64) -> Self {
        // The cast saturates.
        Self {
            below: (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64,
        }
    }

    fn takes(self, trace: u128) -> bool {
        (trace as u64) >> 1 < self.below
    }
}

impl Trace {
    /// Continues the trace of these headers, or begins one.
    pub(super) fn begin(
        ids: &Ids,
        ratio: SampleRatio,
        headers: &HeaderMap,
        is_trusted: bool,
    ) -> Self {
        let parent = parent(headers);
        // Zero is not a valid id.
        let id = parent.map_or_else(
            || u128::from(ids.generate()) << 64 | u128::from(ids.generate().max(1)),
            |one| one.trace,
        );
        let is_sampled = match parent {
            Some(parent) if is_trusted => parent.flags & SAMPLED != 0,
            Some(_) | None => ratio.takes(id),
        };
        // The random flag (level 2) is forwarded; our own ids are random.
        let flags = parent.map_or(2, |parent| parent.flags & 2) | u8::from(is_sampled);
        Self {
            id,
            parent: parent.map(|parent| parent.span),
            span: ids.generate().max(1),
            upstream_span: ids.generate().max(1),
            flags,
            began: if is_sampled {
                clock::system_time()
            } else {
                SystemTime::UNIX_EPOCH
            },
            verified: Cell::default(),
            introspected: Cell::default(),
            sent: Cell::default(),
            is_https: false,
            host: None,
        }
    }

    /// Whether it is sampled.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Sets `traceparent`, so that the upstream continues the trace.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        if self.parent.is_none() {
            headers.remove(TRACESTATE);
        }
        let text = format!(
            "00-{:032x}-{:016x}-{:02x}",
            self.id, self.upstream_span, self.flags
        );
        // Hexadecimal digits are valid in a header.
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(TRACEPARENT, value);
        }
    }

    /// The time, if the trace is sampled.
    #[must_use]
    pub fn now(&self) -> Option<Instant> {
        self.is_sampled().then(clock::now)
    }

    /// Notes a verification that began at `began`.
    pub fn verified(&self, began: Option<Instant>) {
        self.verified.set(began.zip(self.now()));
    }

    /// Notes an introspection that began at `began`.
    pub fn introspected(&self, began: Option<Instant>) {
        self.introspected.set(began.zip(self.now()));
    }

    /// Notes that the request is sent to the upstream.
    pub fn record_sent(&self) {
        self.sent.set(self.now());
    }
}

fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(one), None) = (all.next(), all.next()) else {
        return None;
    };
    Parent::parse(one.as_bytes())
}

impl Parent {
    // version "-" trace-id "-" parent-id "-" trace-flags (W3C Trace Context §3.2.2). Later versions may have more behind it.
    fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(55)?;
        let part = |from: usize, to: usize| hexadecimal(&head[from..to]);
        let dashes = [2, 35, 52].into_iter().all(|place| head[place] == b'-');
        let version = part(0, 2)?;
        let is_whole = if version == 0 {
            rest.is_empty()
        } else {
            rest.is_empty() || rest[0] == b'-'
        };
        if !dashes || version == 0xff || !is_whole {
            return None;
        }
        let (trace, span) = (part(3, 35)?, part(36, 52)? as u64);
        (trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            flags: part(53, 55)? as u8,
        })
    }
}

// In lower case only.
fn hexadecimal(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(parents: &[&str]) -> HeaderMap {
        let value = |parent: &&str| (TRACEPARENT, HeaderValue::from_str(parent).expect("a value"));
        parents.iter().map(value).collect()
    }

    fn begin(parents: &[&str], ratio: f64, is_trusted: bool) -> Trace {
        Trace::begin(
            &Ids::new(),
            SampleRatio::new(ratio),
            &headers(parents),
            is_trusted,
        )
    }

    #[test]
    fn traceparent_is_parsed_as_w3c_defines() {
        let good = Parent {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            flags: 1,
        };
        assert_eq!(Parent::parse(GOOD.as_bytes()), Some(good));
        let later = GOOD.replacen("00-", "cc-", 1) + "-what-the-future-will-be-like";
        assert_eq!(Parent::parse(later.as_bytes()), Some(good));
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &GOOD.replacen("00-", "ff-", 1),
            &format!("{GOOD}-more"),
            &(GOOD.replacen("00-", "01-", 1) + ".more"),
            &GOOD.to_ascii_uppercase(),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace('4', "g"),
        ] {
            assert_eq!(Parent::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn trace_is_continued_and_only_a_trusted_proxy_decides_sampling() {
        let id = Parent::parse(GOOD.as_bytes()).expect("good").trace;
        let unrecorded = GOOD.replace("-01", "-00");
        for (parent, ratio, is_trusted, is_sampled) in [
            (GOOD, 0.0, true, true),
            (GOOD, 0.0, false, false),
            (&unrecorded, 1.0, true, false),
            (&unrecorded, 1.0, false, true),
        ] {
            let trace = begin(&[parent], ratio, is_trusted);
            assert_eq!(
                (trace.id, trace.is_sampled()),
                (id, is_sampled),
                "{parent} {ratio} {is_trusted}"
            );
            assert_eq!(trace.parent, Some(0x00f0_67aa_0ba9_02b7));
        }
        for parents in [&[][..], &["nonsense"], &[GOOD, GOOD]] {
            let trace = begin(parents, 1.0, true);
            assert!(trace.id != id && trace.parent.is_none() && trace.is_sampled());
        }
    }

    #[test]
    fn upstream_continues_the_trace_and_tracestate_stays_with_it() {
        for (parents, keeps_state) in [(&[GOOD][..], true), (&[], false)] {
            let trace = begin(parents, 1.0, false);
            let mut forwarded = headers(parents);
            forwarded.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
            trace.propagate(&mut forwarded);
            let sent = parent(&forwarded).expect("a good one");
            assert_eq!(
                (sent.trace, sent.span, sent.flags & SAMPLED),
                (trace.id, trace.upstream_span, SAMPLED)
            );
            assert_eq!(forwarded.contains_key(TRACESTATE), keeps_state);
        }
    }

    #[test]
    fn sample_ratio_is_the_share_of_sampled_traces() {
        let ids = Ids::new();
        for (ratio, least, most) in [
            (0.0, 0, 0),
            (0.1, 700, 1300),
            (0.5, 4500, 5500),
            (1.0, 10_000, 10_000),
        ] {
            let ratio = SampleRatio::new(ratio);
            let taken = (0..10_000)
                .filter(|_| ratio.takes(u128::from(ids.generate())))
                .count();
            assert!((least..=most).contains(&taken), "{ratio:?}: {taken}");
        }
    }
}
