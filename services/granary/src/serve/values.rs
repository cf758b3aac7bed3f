//! The values of settings, from text.

use std::{net::SocketAddr, time::Duration};

use granary_core::{
    Error, Result,
    name::quote,
    units::{Span, parse_duration},
};
use granary_runtime::{auth::CLOCK_SKEW, secret::Secret, telemetry::Format};
use url::Url;

use super::settings::ObjectStoreSettings;

/// With more, a token that ended would count for too long.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long entries of the audit log are kept unless something else is said.
pub(super) const AUDIT_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

pub(super) fn public_endpoint(text: &str) -> Result<Url> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(fits).ok_or_else(|| {
        Error::invalid(
            "s3_public_endpoint",
            format!(
                "expected a URL without a path such as http://lab.example:7071, got {}",
                quote(text)
            ),
        )
    })
}

pub(super) fn address(
    setting: &str,
    text: Option<String>,
    default: SocketAddr,
) -> Result<SocketAddr> {
    let Some(text) = text else {
        return Ok(default);
    };
    text.parse().map_err(|_| {
        Error::invalid(
            setting,
            format!(
                "expected an address such as {default}, got {}",
                quote(&text)
            ),
        )
    })
}

/// Where metrics are asked for, if anywhere.
pub(super) fn metrics_listen(
    flag: Option<SocketAddr>,
    file: Option<String>,
) -> Result<Option<SocketAddr>> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 9090));
    let filed = || file.map(|text| address("metrics_listen", Some(text), usual));
    flag.map_or_else(|| filed().transpose(), |flag| Ok(Some(flag)))
}

pub(super) fn format(text: Option<&str>) -> Result<Format> {
    match text {
        None | Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(Error::invalid(
            "log_format",
            format!("expected text or json, got {}", quote(other)),
        )),
    }
}

pub(super) fn audit_kept(flag: Option<Span>, file: Option<&str>) -> Result<Duration> {
    let wrong = |why: String| Error::invalid("audit_kept", why);
    let kept = match (flag, file) {
        (Some(Span(kept)), _) => kept,
        (None, Some(text)) => parse_duration(text).map_err(|error| wrong(error.to_string()))?,
        (None, None) => AUDIT_KEPT,
    };
    if kept < DAY {
        return Err(wrong("expected at least 1d".into()));
    }
    Ok(kept)
}

/// How far clocks may differ.
pub(crate) fn clock_skew(flag: Option<Span>, file: Option<&str>) -> Result<Duration> {
    let wrong = |why: String| Error::invalid("clock_skew", why);
    let skew = match (flag, file) {
        (Some(Span(skew)), _) => skew,
        (None, Some(text)) => parse_duration(text).map_err(|error| wrong(error.to_string()))?,
        (None, None) => CLOCK_SKEW,
    };
    if skew > MAX_CLOCK_SKEW {
        return Err(wrong(
            "expected at most 5m: tokens that ended would count for too long".into(),
        ));
    }
    Ok(skew)
}

pub(super) fn with_keys(
    url: String,
    access_key: Option<String>,
    secret_key: Option<Secret>,
) -> Result<ObjectStoreSettings> {
    match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => Ok(ObjectStoreSettings {
            url,
            access_key,
            secret_key,
        }),
        _ => Err(Error::invalid(
            "object_store",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
        )),
    }
}
