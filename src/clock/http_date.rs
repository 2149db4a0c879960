//! The time as HTTP tells it.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

use crate::oauth::UnixTime;

/// A time as `Date` tells it (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(time: UnixTime) -> HeaderValue {
    let since_epoch = Duration::from_secs(u64::try_from(time.as_seconds()).unwrap_or_default());
    // What is written there is ASCII.
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + since_epoch)).unwrap_or(HeaderValue::from_static(""))
}
