//! A client that does nothing by itself: every request of a case is spelled out, signed as a presigned URL, and sent.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use rusty_s3::{Bucket, Credentials, UrlStyle, signing::sign};
use url::Url;

/// A running endpoint and a key pair of it.
#[derive(Clone)]
pub struct Target {
    endpoint: Url,
    credentials: Credentials,
    /// What the names of buckets start with.
    prefix: String,
    http: reqwest::Client,
}

impl Target {
    /// An endpoint such as `http://127.0.0.1:9000`.
    pub fn new(endpoint: Url, access_key: &str, secret_key: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            endpoint,
            credentials: Credentials::new(access_key, secret_key),
            prefix: "conformance".into(),
            http,
        }
    }

    /// An endpoint in one line, `http://key:secret@127.0.0.1:9000/prefix`; names of buckets start with the prefix.
    pub fn parse(text: &str) -> Option<Self> {
        let mut endpoint = Url::parse(text).ok()?;
        let (key, secret) = (
            endpoint.username().to_owned(),
            endpoint.password()?.to_owned(),
        );
        let prefix = endpoint.path().trim_matches('/').to_owned();
        endpoint.set_password(None).ok()?;
        endpoint.set_username("").ok()?;
        endpoint.set_path("/");
        let mut target = Self::new(endpoint, &key, &secret);
        if !prefix.is_empty() {
            target.prefix = prefix;
        }
        Some(target)
    }

    /// The same endpoint with another key pair.
    pub fn with_keys(&self, access_key: &str, secret_key: &str) -> Self {
        Self {
            credentials: Credentials::new(access_key, secret_key),
            ..self.clone()
        }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!(
            "{}:{}",
            self.endpoint.host_str().unwrap(),
            self.endpoint.port_or_known_default().unwrap()
        )
    }

    /// A new bucket.
    pub async fn scratch(&self) -> Scratch {
        let name = format!("{}-{:016x}", self.prefix, rand::random::<u64>());
        let scratch = self.bucket(&name);
        scratch
            .call(Method::PUT, "")
            .send()
            .await
            .expect_status(200);
        scratch
    }

    /// A bucket of this name, whether it is there or not.
    pub fn bucket(&self, name: &str) -> Scratch {
        let bucket = Bucket::new(
            self.endpoint.clone(),
            UrlStyle::Path,
            name.to_owned(),
            "us-east-1",
        )
        .unwrap();
        Scratch {
            target: self.clone(),
            bucket,
        }
    }
}

/// A bucket to work in.
#[derive(Clone)]
pub struct Scratch {
    target: Target,
    bucket: Bucket,
}

impl Scratch {
    /// Its name.
    pub fn name(&self) -> &str {
        self.bucket.name()
    }

    /// The same bucket as seen by another key pair.
    pub fn with_keys(&self, access_key: &str, secret_key: &str) -> Self {
        Self {
            target: self.target.with_keys(access_key, secret_key),
            ..self.clone()
        }
    }

    /// A request for a key, or for the bucket if the key is empty.
    pub fn call<'a>(&'a self, method: Method, key: &'a str) -> Call<'a> {
        Call {
            scratch: self,
            method,
            key,
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            expires: 60,
            age: 0,
        }
    }

    /// Stores an object.
    pub async fn put(&self, key: &str, body: impl Into<Bytes>) -> Answer {
        self.call(Method::PUT, key).body(body).send().await
    }

    /// Reads an object.
    pub async fn get(&self, key: &str) -> Answer {
        self.call(Method::GET, key).send().await
    }

    /// Asks about an object.
    pub async fn head(&self, key: &str) -> Answer {
        self.call(Method::HEAD, key).send().await
    }

    /// Lists with these parameters besides `list-type=2`, names percent-encoded.
    pub async fn list(&self, query: &[(&str, &str)]) -> Answer {
        let call = self
            .call(Method::GET, "")
            .query("list-type", "2")
            .query("encoding-type", "url");
        query
            .iter()
            .fold(call, |call, (name, value)| call.query(name, value))
            .send()
            .await
            .expect_status(200)
    }

    /// All keys.
    pub async fn keys(&self) -> Vec<String> {
        self.list(&[]).await.names("Key")
    }
}

/// A request in the making. Its query and headers are part of the signature.
#[derive(Clone)]
pub struct Call<'a> {
    scratch: &'a Scratch,
    method: Method,
    key: &'a str,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Bytes,
    expires: u64,
    age: i64,
}

impl Call<'_> {
    /// Adds a parameter to the URL.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header, in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Signs as if that many seconds ago, for so many seconds.
    #[must_use]
    pub fn signed_ago(mut self, age: i64, expires: u64) -> Self {
        (self.age, self.expires) = (age, expires);
        self
    }

    /// The presigned URL.
    pub fn url(&self) -> Url {
        let Scratch { target, bucket } = self.scratch;
        let (mut query, mut headers) = (self.query.clone(), self.headers.clone());
        query.sort();
        headers.sort();
        let method = match self.method {
            Method::PUT => rusty_s3::Method::Put,
            Method::POST => rusty_s3::Method::Post,
            Method::DELETE => rusty_s3::Method::Delete,
            Method::HEAD => rusty_s3::Method::Head,
            _ => rusty_s3::Method::Get,
        };
        let now =
            jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - self.age).unwrap();
        sign(
            &now,
            method,
            bucket.object_url(self.key),
            target.credentials.key(),
            target.credentials.secret(),
            None,
            bucket.region(),
            self.expires,
            query
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
    }

    /// Signs and sends.
    pub async fn send(self) -> Answer {
        let url = self.url();
        self.send_to(url).await
    }

    /// Sends to this URL in place of the presigned one.
    pub async fn send_to(self, url: Url) -> Answer {
        let mut request = self.scratch.target.http.request(self.method.clone(), url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // reqwest says no length for an empty body, but S3 wants one for a write.
        if self.body.is_empty()
            && matches!(self.method, Method::PUT | Method::POST)
            && !self
                .headers
                .iter()
                .any(|(name, _)| name == "content-length")
        {
            request = request.header("content-length", "0");
        }
        let response = request
            .body(self.body)
            .send()
            .await
            .expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer {
            status,
            headers,
            body: response.bytes().await.expect("the answer is whole"),
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Panics with the whole answer unless it has this status.
    #[must_use]
    pub fn checked(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    /// As [`Answer::checked`], where the answer itself may be dropped.
    pub fn expect_status(self, status: u16) -> Self {
        self.checked(status)
    }

    /// Panics unless this is an error of S3 with this status and code.
    pub fn expect_error(self, status: u16, code: &str) {
        let answer = self.checked(status);
        assert_eq!(answer.tags("Code"), [code], "{}", answer.text());
    }

    /// Panics unless this says that the request is not covered by its signature.
    pub fn expect_refused(self) {
        // A signed header that is missing is a wrong signature to some servers, and an error of its own to others.
        let codes = self.tags("Code");
        let refused = ["SignatureDoesNotMatch", "AccessDenied"].contains(&codes[0].as_str());
        assert!(
            refused && [400, 403].contains(&self.status),
            "{}",
            self.text()
        );
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The texts of all XML elements of this name.
    pub fn tags(&self, name: &str) -> Vec<String> {
        let (text, open, close) = (self.text(), format!("<{name}>"), format!("</{name}>"));
        let pieces = text
            .split(&open)
            .skip(1)
            .filter_map(|rest| rest.split(&close).next());
        pieces
            .map(|text| {
                text.replace("&quot;", "\"")
                    .replace("&#34;", "\"")
                    .replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&amp;", "&")
            })
            .collect()
    }

    /// As [`Answer::tags`], with percent-encoding undone.
    pub fn names(&self, name: &str) -> Vec<String> {
        // Some servers write a space as `+`, and a plus then as `%2B`.
        let decode = |text: &String| {
            percent_encoding::percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        self.tags(name).iter().map(decode).collect()
    }
}
