//! The values of settings, from text.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use granary_core::{Error, Result, name::quote, units::Span};
use url::Url;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

/// Each of a list; empty ones, as empty variables give them, count as not there.
pub(super) fn all<T>(given: Vec<String>, one: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    given
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| one(text))
        .collect()
}

/// The path of a file that has to be named.
pub(super) fn file_of(field: &str, given: Option<PathBuf>) -> Result<PathBuf> {
    given
        .filter(|path| !path.as_os_str().is_empty())
        .ok_or_else(|| Error::invalid(field, "name the PEM file"))
        .and_then(|path| absolute(field, &path))
}

/// A path as Envoy is told it.
pub(crate) fn absolute(field: &str, path: &Path) -> Result<PathBuf> {
    let path =
        std::path::absolute(path).map_err(|error| Error::invalid(field, error.to_string()))?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err(Error::invalid(field, "expected a path in UTF-8")),
    }
}

/// An address to listen on.
pub(super) fn address(field: &str, text: Option<String>, default: &str) -> Result<SocketAddr> {
    let text = text
        .as_deref()
        .filter(|text| !text.is_empty())
        .unwrap_or(default);
    text.parse().map_err(|_| {
        Error::invalid(
            field,
            format!("expected an address such as {default}, got {}", quote(text)),
        )
    })
}

/// A time of 100 ms to 30 days; the default is in seconds.
pub(super) fn span(field: &str, given: Option<Span>, default: u64) -> Result<Duration> {
    let span = given.map_or(Duration::from_secs(default), |span| span.0);
    if (SHORTEST..=LONGEST).contains(&span) {
        return Ok(span);
    }
    Err(Error::invalid(
        field,
        format!("expected 100ms to 30d, got {}", Span(span)),
    ))
}

/// Where the server is.
pub(super) fn upstream(given: Option<String>) -> Result<Host> {
    let text = given.as_deref().filter(|text| !text.is_empty());
    let text = text.unwrap_or("http://127.0.0.1:7070");
    let url = Url::parse(text)
        .ok()
        .filter(|url| url.scheme() == "http" && url.path() == "/" && url.query().is_none());
    let host = url.as_ref().and_then(|url| {
        Some(Host {
            name: bare(url.host()?),
            port: url.port_or_known_default()?,
        })
    });
    host.ok_or_else(|| {
        Error::invalid(
            "upstream",
            format!(
                "expected a URL such as http://granary:7070, got {}",
                quote(text)
            ),
        )
    })
}

/// Where static files are, if anywhere; its path ends without `/`.
pub(super) fn pages(given: Option<String>) -> Result<Option<Url>> {
    let Some(text) = given.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let Some(mut url) = Url::parse(&text).ok().filter(plain) else {
        let expected = "expected a URL such as https://BUCKET.s3.REGION.amazonaws.com or http://minio:9000/BUCKET";
        return Err(Error::invalid(
            "pages",
            format!("{expected}, got {}", quote(&text)),
        ));
    };
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(Some(url))
}

/// Where a URL leads.
pub(super) fn host_of(url: &Url) -> Host {
    Host {
        name: url.host().map(bare).unwrap_or_default(),
        port: url.port_or_known_default().unwrap_or(443),
    }
}

/// A host without the brackets of IPv6.
pub(super) fn bare(host: url::Host<&str>) -> String {
    match host {
        url::Host::Ipv6(address) => address.to_string(),
        other => other.to_string(),
    }
}

/// Where a page comes from.
pub(super) fn origin(text: &str) -> Result<String> {
    let fine = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    });
    if fine {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(
        "cors_origins",
        format!(
            "expected an origin such as https://app.example, got {}",
            quote(text)
        ),
    ))
}

/// A network or one address.
pub(super) fn network(text: &str) -> Result<Network> {
    let wrong = || {
        Error::invalid(
            "allow",
            format!(
                "expected a network such as 10.0.0.0/8 or an address, got {}",
                quote(text)
            ),
        )
    };
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    if bits > most {
        return Err(wrong());
    }
    Ok(Network { address, bits })
}
