//! Exports spans to a collector (OTLP over HTTP, in protobuf).
//!
//! A worker passes each finished sampled request to the control plane, which makes spans with the names of
//! OpenTelemetry's HTTP conventions and sends them in batches. If the collector is slow or down, spans are
//! dropped and counted, and nothing else suffers.

mod finished_request;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::metrics::Counter;
use crate::clock;
use crate::http_client::{HttpClient, HttpError, HttpResponse};
use crate::sync::lock;

pub(super) use finished_request::FinishedRequest;

/// The maximum number of pending requests, of a few hundred bytes each.
const MAX_PENDING: usize = 8192;
/// Spans per batch.
const BATCH: usize = 512;
/// How long a span waits for its batch to fill.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How often the exporter polls for requests. Waking it would cost the worker a system call.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout of a batch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of a collector's response, which is short.
const MAX_RESPONSE: usize = 64 * 1024;
/// How long the end of the process waits for the last spans to be sent.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Where spans go: `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// The URL of the collector.
    pub endpoint: String,
    /// `service.name` of this gateway.
    pub service_name: String,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// The settings are invalid.
    #[error("{0}")]
    Settings(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Passes finished sampled requests to the exporter.
#[derive(Clone, Debug)]
pub struct Spans {
    waiting: mpsc::Sender<FinishedRequest>,
    dropped: Arc<Counter>,
}

/// The task that exports spans, until [`finish`](Self::finish).
#[derive(Debug)]
pub struct SpanExportTask {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Exporter {
    waiting: mpsc::Receiver<FinishedRequest>,
    exporter: opentelemetry_otlp::SpanExporter,
    scope: InstrumentationScope,
    dropped: Arc<Counter>,
    batch: Vec<SpanData>,
    oldest: Option<Instant>,
    is_failing: bool,
    /// Why the last export failed, if it did.
    failure: Arc<Mutex<Option<String>>>,
}

/// Sends batches, and stores why one failed: the exporter's own error is only "network error".
#[derive(Debug)]
struct CollectorClient {
    http: HttpClient,
    failure: Arc<Mutex<Option<String>>>,
}

impl Spans {
    /// Starts to export spans to a collector, on the current runtime.
    ///
    /// # Errors
    /// [`CollectorError`]. The collector is not contacted yet.
    pub fn start(
        collector: &Collector,
        tls: rustls::ClientConfig,
    ) -> Result<(Self, SpanExportTask), CollectorError> {
        let failure = Arc::<Mutex<Option<String>>>::default();
        let http = HttpClient::new(tls, CONNECT_TIMEOUT, TIMEOUT)?;
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(&collector.endpoint)
            .with_timeout(TIMEOUT)
            .with_http_client(CollectorClient {
                http,
                failure: Arc::clone(&failure),
            })
            // Spans that waited for a retry would be dropped anyway.
            .with_retry_policy(RetryPolicy::disabled())
            .build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder_empty().with_service_name(collector.service_name.clone());
        exporter.set_resource(&resource.with_attribute(version).build());
        let (sender, waiting) = mpsc::channel(MAX_PENDING);
        let dropped = Arc::<Counter>::default();
        let scope = InstrumentationScope::builder("scopegate")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let batch = Vec::new();
        let exporter = Exporter {
            waiting,
            exporter,
            scope,
            dropped: Arc::clone(&dropped),
            batch,
            oldest: None,
            is_failing: false,
            failure,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(exporter.run(stopped));
        Ok((
            Self {
                waiting: sender,
                dropped,
            },
            SpanExportTask { stop, task },
        ))
    }

    /// How many spans did not reach the collector.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.read()
    }

    pub(super) fn take(&self, finished: FinishedRequest) {
        if let Err(refused) = self.waiting.try_send(finished) {
            self.dropped.add(refused.into_inner().spans());
        }
    }
}

impl SpanExportTask {
    /// Exports pending spans within a short timeout, and ends.
    pub async fn finish(self) {
        // An error means that the task has ended.
        let _ = self.stop.send(());
        let _ = timeout(SHUTDOWN_TIMEOUT, self.task).await;
    }
}

impl Exporter {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut looking = interval(POLL_INTERVAL);
        looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _ = looking.tick() => false,
                // An error means that the sender was dropped, which stops the task as well.
                _ = &mut stopped => true,
            };
            self.look(is_last).await;
            if is_last {
                return;
            }
        }
    }

    async fn look(&mut self, is_last: bool) {
        loop {
            while self.batch.len() < BATCH
                && let Ok(finished) = self.waiting.try_recv()
            {
                self.oldest.get_or_insert_with(clock::now);
                finished.write(&self.scope, &mut self.batch);
            }
            let is_due = self
                .oldest
                .is_some_and(|oldest| clock::since(oldest) >= BATCH_DELAY);
            if self.batch.is_empty() || (self.batch.len() < BATCH && !is_due && !is_last) {
                return;
            }
            self.send().await;
        }
    }

    async fn send(&mut self) {
        let (batch, failed_before) = (std::mem::take(&mut self.batch), self.is_failing);
        let spans = batch.len();
        self.oldest = None;
        let outcome = self.exporter.export(batch).await;
        let failure = lock(&self.failure).take();
        let outcome = outcome.map_err(|error| failure.unwrap_or_else(|| error.to_string()));
        self.is_failing = outcome.is_err();
        match outcome {
            Ok(()) if failed_before => tracing::info!("span export recovered"),
            Ok(()) => {}
            Err(error) => {
                self.dropped.add(spans as u64);
                if !failed_before {
                    tracing::warn!(%error, "span export failed");
                }
            }
        }
    }
}

impl opentelemetry_http::HttpClient for CollectorClient {
    fn send_bytes<'client, 'exchange>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<
        Box<
            dyn Future<Output = Result<Response<Bytes>, opentelemetry_http::HttpError>>
                + Send
                + 'exchange,
        >,
    >
    where
        'client: 'exchange,
        Self: 'exchange,
    {
        Box::pin(async {
            let outcome = self.http.send(request, MAX_RESPONSE).await;
            let failure = match &outcome {
                Ok(response) if response.status.is_success() => None,
                Ok(response) => Some({
                    let status = response.status.as_u16();
                    HttpError::Status {
                        status,
                        location: None,
                        is_withheld: false,
                    }
                    .to_string()
                }),
                Err(error) => Some(error.to_string()),
            };
            *lock(&self.failure) = failure;
            let HttpResponse {
                status,
                headers,
                body,
            } = outcome?;
            let mut response = Response::new(Bytes::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        })
    }
}
