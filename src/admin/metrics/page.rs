//! Writes the metrics page, one family after the other.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::telemetry::metrics::{BUCKET_BOUNDS_MICROS, HistogramSnapshot};

/// The labels of a series.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The page that is being written.
pub(super) struct Page<'e>(DescriptorEncoder<'e>);

impl<'e> Page<'e> {
    pub(super) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.each(name, help, MetricType::Counter, all, |mut metric, count| {
            metric.encode_counter::<NoLabelSet, _, u64>(&count, None)
        })
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.each(name, help, MetricType::Gauge, all, |mut metric, level| {
            metric.encode_gauge(&level)
        })
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels, HistogramSnapshot)>,
    ) -> fmt::Result {
        self.each(
            name,
            help,
            MetricType::Histogram,
            all,
            |mut metric, distribution| {
                let bounds = BUCKET_BOUNDS_MICROS
                    .iter()
                    .map(|&micros| micros as f64 / 1e6)
                    .chain([f64::INFINITY]);
                let buckets: Vec<_> = bounds.zip(distribution.counts).collect();
                let total = distribution.total.as_secs_f64();
                metric.encode_histogram::<NoLabelSet>(total, distribution.count(), &buckets, None)
            },
        )
    }

    // Not every parser accepts a family without series.
    fn each<T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        all: impl IntoIterator<Item = (Labels, T)>,
        encode: impl Fn(MetricEncoder<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        let mut all = all.into_iter().peekable();
        if all.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        all.try_for_each(|(labels, value)| encode(metric.encode_family(&labels)?, value))
    }
}
