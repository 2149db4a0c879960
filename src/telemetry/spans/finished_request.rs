//! The spans of a finished request, with the names of OpenTelemetry's HTTP conventions.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderValue, Version};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::client_limits::ClientAddress;
use crate::telemetry::labels::version_label;
use crate::telemetry::outcome::Outcome;
use crate::telemetry::trace::{Interval, Trace};

/// A finished request that is sampled.
#[derive(Debug)]
pub(in crate::telemetry) struct FinishedRequest {
    pub(in crate::telemetry) trace: Box<Trace>,
    pub(in crate::telemetry) began: Instant,
    pub(in crate::telemetry) ended: Instant,
    pub(in crate::telemetry) method: &'static str,
    pub(in crate::telemetry) route: Arc<str>,
    pub(in crate::telemetry) upstream: Option<Box<str>>,
    pub(in crate::telemetry) status: Option<u16>,
    pub(in crate::telemetry) outcome: Outcome,
    pub(in crate::telemetry) issuer: Option<Box<str>>,
    pub(in crate::telemetry) client: ClientAddress,
    pub(in crate::telemetry) version: Version,
    pub(in crate::telemetry) request_id: Option<HeaderValue>,
}

impl FinishedRequest {
    /// The number of its spans.
    pub(super) fn spans(&self) -> u64 {
        let trace = &self.trace;
        let steps = [
            trace.verified.get().is_some(),
            trace.introspected.get().is_some(),
            trace.sent.get().is_some(),
        ];
        1 + steps.into_iter().filter(|is_there| *is_there).count() as u64
    }

    /// Appends its spans.
    pub(super) fn write(self, scope: &InstrumentationScope, spans: &mut Vec<SpanData>) {
        let trace = &*self.trace;
        let verification = self.step(
            scope,
            "verify token",
            SpanKind::Internal,
            trace.span,
            trace.verified.get(),
        );
        let asking = verification.as_ref().map_or(trace.span, |span| {
            u64::from_be_bytes(span.span_context.span_id().to_bytes())
        });
        let asked = self.step(
            scope,
            "introspect token",
            SpanKind::Client,
            asking,
            trace.introspected.get(),
        );
        let sent = trace
            .sent
            .get()
            .map(|began| self.upstream(scope, (began, self.ended)));
        spans.push(self.server(scope));
        spans.extend([verification, asked, sent].into_iter().flatten());
    }

    fn server(&self, scope: &InstrumentationScope) -> SpanData {
        let trace = &*self.trace;
        let name = [self.method, &self.route].join(" ").trim_end().to_owned();
        let mut span = self.span(
            scope,
            name,
            trace.span,
            trace.parent.unwrap_or(0),
            (self.began, self.ended),
        );
        span.span_kind = SpanKind::Server;
        span.parent_span_is_remote = trace.parent.is_some();
        let attributes = &mut span.attributes;
        attributes.push(KeyValue::new("http.request.method", self.method));
        attributes.push(KeyValue::new(
            "url.scheme",
            if trace.is_https { "https" } else { "http" },
        ));
        attributes.push(KeyValue::new("client.address", self.client.to_string()));
        attributes.push(KeyValue::new("scopegate.decision", self.outcome.decision()));
        let version = version_label(self.version);
        attributes
            .extend(version.map(|version| KeyValue::new("network.protocol.version", version)));
        if !self.route.is_empty() {
            attributes.push(KeyValue::new("http.route", self.route.to_string()));
        }
        attributes.extend(
            trace
                .host
                .as_deref()
                .map(|host| KeyValue::new("server.address", host.to_owned())),
        );
        attributes.extend(
            self.status
                .map(|status| KeyValue::new("http.response.status_code", i64::from(status))),
        );
        attributes.extend(
            self.issuer
                .as_deref()
                .map(|issuer| KeyValue::new("scopegate.issuer", issuer.to_owned())),
        );
        let id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        attributes.extend(id.map(|id| KeyValue::new("scopegate.request_id", id.to_owned())));
        let name = if matches!(self.outcome, Outcome::Shadowed(_)) {
            "scopegate.reason"
        } else {
            "error.type"
        };
        attributes.extend(
            self.outcome
                .reason()
                .map(|reason| KeyValue::new(name, reason)),
        );
        // What a client has done wrong is no error of the server's.
        let is_broken = matches!(self.outcome, Outcome::Broken(_))
            || self.status.is_some_and(|status| status >= 500);
        span.status = if is_broken {
            Status::error(self.outcome.reason().unwrap_or_default())
        } else {
            Status::Unset
        };
        span
    }

    fn upstream(&self, scope: &InstrumentationScope, interval: Interval) -> SpanData {
        let trace = &*self.trace;
        let mut span = self.span(
            scope,
            self.method.to_owned(),
            trace.upstream_span,
            trace.span,
            interval,
        );
        span.span_kind = SpanKind::Client;
        span.attributes
            .push(KeyValue::new("http.request.method", self.method));
        let upstream = self.upstream.as_deref();
        span.attributes
            .extend(upstream.map(|name| KeyValue::new("scopegate.upstream", name.to_owned())));
        let error = match (self.outcome, self.status) {
            (Outcome::Refused(reason) | Outcome::Broken(reason), _) => Some(reason.to_owned()),
            (
                Outcome::Permitted | Outcome::Public | Outcome::Shadowed(_) | Outcome::Replied,
                Some(status),
            ) => {
                span.attributes.push(KeyValue::new(
                    "http.response.status_code",
                    i64::from(status),
                ));
                (status >= 400).then(|| status.to_string())
            }
            (
                Outcome::Undecided
                | Outcome::Permitted
                | Outcome::Public
                | Outcome::Shadowed(_)
                | Outcome::Replied,
                _,
            ) => None,
        };
        if let Some(error) = error {
            span.status = Status::error(error.clone());
            span.attributes.push(KeyValue::new("error.type", error));
        }
        span
    }

    fn step(
        &self,
        scope: &InstrumentationScope,
        name: &'static str,
        kind: SpanKind,
        parent: u64,
        interval: Option<Interval>,
    ) -> Option<SpanData> {
        // Unlike those of the request's two main spans, nobody else has to know its id.
        let id = self
            .trace
            .span
            .rotate_left(if kind == SpanKind::Client { 21 } else { 42 })
            ^ self.trace.upstream_span;
        let mut span = self.span(scope, name.to_owned(), id.max(1), parent, interval?);
        span.span_kind = kind;
        let issuer = self.issuer.as_deref();
        span.attributes
            .extend(issuer.map(|issuer| KeyValue::new("scopegate.issuer", issuer.to_owned())));
        Some(span)
    }

    fn span(
        &self,
        scope: &InstrumentationScope,
        name: String,
        id: u64,
        parent: u64,
        interval: Interval,
    ) -> SpanData {
        let at = |instant: Instant| -> SystemTime {
            self.trace.began + instant.saturating_duration_since(self.began)
        };
        let trace = TraceId::from(self.trace.id);
        SpanData {
            span_context: SpanContext::new(
                trace,
                SpanId::from(id),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: at(interval.0),
            end_time: at(interval.1),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope.clone(),
        }
    }
}
