//! HTTP calls to servers that are not Granary's own, such as issuers of tokens: bounded in time and size, without redirects, and encrypted.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use granary_core::{Error, Result, name::quote};
use http::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, RequestBuilder, redirect::Policy};
use serde::de::DeserializeOwned;
use url::{Host, Url, form_urlencoded};

use crate::tls::Trouble;

/// The most that is read of an answer.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for such calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    http: reqwest::Client,
    allow_http: bool,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The body, at most [`MAX_ANSWER_BYTES`].
    pub body: Bytes,
}

impl Outbound {
    /// A client whose calls end after `timeout`. Beside the authorities that this machine trusts it trusts those in `ca_file` (PEM);
    /// `allow_http` gives up encryption also to other machines.
    pub fn new(timeout: Duration, ca_file: Option<&Path>, allow_http: bool) -> Result<Self> {
        crate::install_tls();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("granary/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = ca_file {
            builder = builder.tls_certs_merge(certificates(file)?);
        }
        let http = builder
            .build()
            .map_err(|error| Error::internal("making an HTTP client", error))?;
        Ok(Self { http, allow_http })
    }

    /// Fails for URLs that this client does not call.
    pub fn allows(&self, url: &Url) -> Result<()> {
        check_url(url, self.allow_http)
    }

    /// Gets a URL, with a bearer token if there is one.
    pub async fn get(&self, url: &Url, token: Option<&str>) -> Result<Answer> {
        self.allows(url)?;
        let mut request = self.http.get(url.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(url, request).await
    }

    /// Gets a document; anything but a status of 200 is an error.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &Url, token: Option<&str>) -> Result<T> {
        let answer = self.get(url, token).await?;
        if answer.status != 200 {
            return Err(wrong(
                url,
                format!("answered with status {}", answer.status),
            ));
        }
        answer.json(url)
    }

    /// Posts a form.
    pub async fn post_form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Answer> {
        self.allows(url)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = self
            .http
            .post(url.clone())
            .header(CONTENT_TYPE, kind)
            .body(form);
        answer(url, request).await
    }
}

impl Answer {
    /// The document in the body.
    pub fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T> {
        // What is wrong in it is not quoted: it may hold tokens.
        serde_json::from_slice(&self.body)
            .map_err(|_| wrong(url, "did not answer with the JSON that was expected"))
    }
}

/// Fails for URLs that are neither encrypted nor on this machine, unless `allow_http`; and for those with a password or a fragment in them.
pub fn check_url(url: &Url, allow_http: bool) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid("", format!("{} {why}", quote(url.as_str()))));
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return refuse("may hold neither a user name nor a fragment");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_http || is_loopback(url) => Ok(()),
        _ => refuse("is not encrypted: expected https://"),
    }
}

/// Whether a URL points to this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

async fn answer(url: &Url, request: RequestBuilder) -> Result<Answer> {
    let away = |error: reqwest::Error| {
        let why = match () {
            () if error.is_timeout() => "in time".to_owned(),
            () if error.is_connect() => format!("({})", tls_or_root(&error)),
            () => "as HTTP".to_owned(),
        };
        let reason = format!("{} does not answer {why}", shown(url));
        Error::unavailable(reason, error.without_url())
    };
    let mut response = request.send().await.map_err(away)?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(away)? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(wrong(
                url,
                format!("answered with more than {MAX_ANSWER_BYTES} bytes"),
            ));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer {
        status: response.status().as_u16(),
        body: body.into(),
    })
}

fn certificates(file: &Path) -> Result<Vec<Certificate>> {
    let failed = |why: String| Error::precondition(file.display(), why);
    let pem = std::fs::read(file)
        .map_err(|error| failed(format!("cannot read the certificates: {error}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(failed("expected certificates in PEM form".into())),
    }
}

fn tls_or_root(error: &(dyn std::error::Error + 'static)) -> String {
    match Trouble::behind(error) {
        Some(trouble @ Trouble::UnknownAuthority) => {
            format!("{trouble}: name that authority's certificate as ca_file")
        }
        Some(trouble) => trouble.to_string(),
        None => root(error),
    }
}

// What is wrong with a connection stands at the end of the chain: a name, a port that is closed.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

fn wrong(url: &Url, what: impl std::fmt::Display) -> Error {
    Error::DataLoss {
        resource: shown(url),
        reason: what.to_string(),
    }
}

// Without the query, in which there may be what is secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stands_in_the_way_is_named_and_what_is_secret_is_not() {
        let http = Outbound::new(Duration::from_secs(60), None, false).unwrap();
        let closed = Url::parse("http://127.0.0.1:1/keys?secret=hunter2").unwrap();
        let error = http.get(&closed, Some("hunter2")).await.unwrap_err();
        let text = format!("{error} {:?}", error.cause());
        assert!(
            text.starts_with("http://127.0.0.1:1/keys does not answer (Connection refused"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "nonsense").unwrap();
        let error = Outbound::new(Duration::from_secs(60), Some(&file), false).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("expected certificates in PEM form"),
            "{error}"
        );
    }

    #[test]
    fn only_encrypted_calls_leave_this_machine() {
        let check = |text: &str, allow| check_url(&Url::parse(text).unwrap(), allow).is_ok();
        for (url, plain, allowed) in [
            ("https://id.example/", true, true),
            ("http://127.0.0.1:1/", true, true),
            ("http://[::1]/", true, true),
            ("http://localhost/", true, true),
            ("http://id.example/", false, true),
            ("http://127.0.0.1.id.example/", false, true),
            ("ftp://id.example/", false, false),
            ("file:///etc/passwd", false, false),
            ("https://user:password@id.example/", false, false),
            ("https://id.example/#part", false, false),
        ] {
            assert_eq!(
                (check(url, false), check(url, true)),
                (plain, allowed),
                "{url}"
            );
        }
    }
}
