//! `[telemetry]`: the export of traces.

use serde_json::json;
use toml::de::DeValue;
use url::Url;

use super::addresses::{URL, read_url};
use super::declare::table;
use super::mismatch::{Mismatch, expected};
use super::reference::Description;
use super::report::Spanned;
use super::scalars::text;
use super::value_type::{ValueType, value_type};

table! {
    /// Traces of requests.
    pub struct Telemetry {
        fn read(table) -> Self;

        /// URL of the collector that receives spans (OTLP over HTTP, protobuf). A URL without a
        /// path gets `/v1/traces`. Without it, there are no spans, and `traceparent` passes
        /// unchanged.
        /// Example: `otlp_endpoint = "http://127.0.0.1:4318"`
        pub otlp_endpoint: Option<Spanned<Url>> = optional(otlp_endpoint()),
        /// Share of traces that are recorded, unless a trusted proxy has decided.
        /// Example: `sample_ratio = 0.1`
        pub sample_ratio: f64 = or(ratio(), 1.0),
        /// Name of the gateway in spans.
        /// Example: `service_name = "orders-gateway"`
        pub service_name: String = or(text(), "scopegate"),
    }
}

// A collector without a path listens at a fixed one (OTLP specification, "OTLP/HTTP request").
fn otlp_endpoint() -> impl ValueType<Url> {
    value_type(
        |value| {
            let mut endpoint = read_url(value)?;
            if endpoint.path() == "/" {
                endpoint.set_path("/v1/traces");
            }
            Ok(endpoint)
        },
        || Description::pattern("URL", URL),
    )
}

fn ratio() -> impl ValueType<f64> {
    value_type(read_ratio, || {
        let schema = json!({"type": "number", "minimum": 0, "maximum": 1});
        Description::new("number from 0 to 1", schema)
    })
}

fn read_ratio(value: &DeValue<'_>) -> Result<f64, Mismatch> {
    let float = value
        .as_float()
        .map(|float| float.as_str())
        .or(value.as_integer().map(|integer| integer.as_str()));
    let ratio = float
        .and_then(|text| text.parse().ok())
        .filter(|ratio| (0.0..=1.0).contains(ratio));
    let quoted = value.as_str().filter(|text| text.parse::<f64>().is_ok());
    let hint = quoted.map(|number| format!("write {number}, without quotes"));
    ratio.ok_or_else(|| expected("a number from 0.0 to 1.0").or_help(hint))
}
