//! `[telemetry]`: who is told which way requests take.

use toml::de::DeValue;
use url::Url;

use super::read::Table;
use super::report::Placed;
use super::values::{Mismatch, expected, text, url};

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Where spans are posted to (OTLP over HTTP); without it there are none.
    pub otlp_endpoint: Option<Placed<Url>>,
    /// How many of all traces are recorded, between 0 and 1.
    pub sample_ratio: f64,
    /// What the gateway is called there.
    pub service_name: String,
}

impl Telemetry {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        Self {
            otlp_endpoint: table.optional("otlp_endpoint", endpoint),
            sample_ratio: table.or("sample_ratio", 1.0, ratio),
            service_name: table.or("service_name", "scopegate".to_owned(), text),
        }
    }
}

// Collectors are named without a path, and listen at a fixed one (OTLP specification, "OTLP/HTTP request").
fn endpoint(value: &DeValue<'_>) -> Result<Url, Mismatch> {
    let mut endpoint = url(value)?;
    if endpoint.path() == "/" {
        endpoint.set_path("/v1/traces");
    }
    Ok(endpoint)
}

fn ratio(value: &DeValue<'_>) -> Result<f64, Mismatch> {
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
