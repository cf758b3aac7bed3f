//! The settings of the ingress: flags before environment before the table `[ingress]` of the file before defaults.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use granary_core::{Error, Result, units::Span};
use granary_runtime::auth::{CLOCK_SKEW, oidc::OidcIssuer};
use serde::Deserialize;
use url::Url;

use super::{
    parse::{Network, address, all, file_of, network, origin, pages, span},
    upstreams::Upstreams,
};

/// The table `[ingress]` of the file of settings.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Table {
    /// Where Envoy listens [default: 127.0.0.1:7443]
    #[arg(long, env = "GRANARY_INGRESS_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the server is [default: http://127.0.0.1:7070]
    #[arg(long, env = "GRANARY_INGRESS_UPSTREAM", value_name = "URL")]
    upstream: Option<String>,
    /// Where each service is, if they are apart: SERVICE=URL for all four, such as storage=http://granary-storage:7070; calls go round among all
    /// addresses behind a name, and among all URLs of a service
    #[arg(
        long = "upstream-of",
        env = "GRANARY_INGRESS_UPSTREAMS",
        value_name = "SERVICE=URL",
        value_delimiter = ','
    )]
    upstreams: Vec<String>,
    /// Where Envoy's own administration listens, on this machine only [default: 127.0.0.1:9901]
    #[arg(long, env = "GRANARY_INGRESS_ADMIN", value_name = "ADDRESS")]
    admin: Option<String>,
    /// The certificate and those above it, PEM; read again when it is replaced
    #[arg(long, env = "GRANARY_INGRESS_CERTIFICATE", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, env = "GRANARY_INGRESS_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Pages that may call from a browser, such as https://app.example [default: none]
    #[arg(
        long = "cors-origin",
        env = "GRANARY_INGRESS_CORS_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    cors_origins: Vec<String>,
    /// A bucket or another host of static files, such as https://BUCKET.s3.REGION.amazonaws.com or http://minio:9000/BUCKET: the pages of an application,
    /// open to everybody below /app/ [default: none]
    #[arg(long, env = "GRANARY_INGRESS_PAGES", value_name = "URL")]
    pages: Option<String>,
    /// Addresses that may call, such as 10.0.0.0/8 [default: all]
    #[arg(
        long = "allow",
        env = "GRANARY_INGRESS_ALLOW",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    allow: Vec<String>,
    /// How many proxies stand in front of Envoy and add to `x-forwarded-for` [default: 0]
    #[arg(long, env = "GRANARY_INGRESS_TRUSTED_HOPS", value_name = "N")]
    trusted_hops: Option<u32>,
    /// How many calls a second from one address, twice as many at once; 0 is no limit [default: 1000]
    #[arg(long, env = "GRANARY_INGRESS_RATE_PER_ADDRESS", value_name = "N")]
    rate_per_address: Option<u32>,
    /// How many calls a second of one principal, twice as many at once; 0 is no limit [default: 500]
    #[arg(long, env = "GRANARY_INGRESS_RATE_PER_PRINCIPAL", value_name = "N")]
    rate_per_principal: Option<u32>,
    /// How long a call may take that is no stream [default: 60s]
    #[arg(long, env = "GRANARY_INGRESS_REQUEST_TIMEOUT", value_name = "DURATION")]
    request_timeout: Option<Span>,
    /// How long a stream may last; those who follow something open the next one [default: 1h]
    #[arg(long, env = "GRANARY_INGRESS_STREAM_TIMEOUT", value_name = "DURATION")]
    stream_timeout: Option<Span>,
    /// How often issuers are asked for their keys [default: 10s]
    #[arg(long, env = "GRANARY_INGRESS_KEYS_REFRESH", value_name = "DURATION")]
    keys_refresh: Option<Span>,
    /// How many connections at a time [default: 10000]
    #[arg(long, env = "GRANARY_INGRESS_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<u32>,
    /// How much memory Envoy may hold, in MiB; from 95 % of it on, calls are refused [default: 400]
    #[arg(long, env = "GRANARY_INGRESS_MAX_HEAP_MIB", value_name = "N")]
    max_heap_mib: Option<u32>,
}

/// Flags of `granary ingress config`, the same as the table.
pub(crate) type Flags = Table;

/// What the configuration is made of, complete and checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where the files are when Envoy reads them.
    pub(super) folder: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) upstreams: Upstreams,
    pub(super) admin: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) cors_origins: Vec<String>,
    /// Where the pages of an application are; its path has no `/` at its end.
    pub(super) pages: Option<Url>,
    pub(super) allow: Vec<Network>,
    pub(super) trusted_hops: u32,
    pub(super) rate_per_address: u32,
    pub(super) rate_per_principal: u32,
    pub(super) request_timeout: Duration,
    pub(super) stream_timeout: Duration,
    pub(super) keys_refresh: Duration,
    pub(super) max_connections: u32,
    pub(super) max_heap_mib: u64,
    pub(super) own: Own,
    pub(super) issuers: Vec<Issuer>,
    /// How far the clocks of issuers may differ from Envoy's.
    pub(super) clock_skew: Duration,
}

/// The server's own issuer.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    /// The `iss` of its tokens.
    pub(crate) name: String,
    /// The `aud` of its tokens.
    pub(crate) audience: String,
    /// Its keys, as a JSON Web Key Set.
    pub(crate) keys: serde_json::Value,
}

/// An issuer of OpenID Connect.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) audiences: Vec<String>,
    pub(super) keys: Url,
    pub(super) ca_file: Option<PathBuf>,
}

const NOT_LOCAL: &str = "expected an address of this machine only, such as 127.0.0.1:9901: whoever reaches it can stop Envoy";

impl Table {
    /// Puts flags, environment, file and defaults together. `folder` is where Envoy will find the files.
    pub(crate) fn settle(self, file: Self, folder: PathBuf, own: Own) -> Result<Settings> {
        let given = self.over(file);
        let admin = address("admin", given.admin, "127.0.0.1:9901")?;
        if !admin.ip().is_loopback() {
            return Err(Error::invalid("admin", NOT_LOCAL));
        }
        Ok(Settings {
            folder,
            listen: address("listen", given.listen, "127.0.0.1:7443")?,
            upstreams: Upstreams::read(given.upstream, &given.upstreams)?,
            admin,
            certificate: file_of("certificate", given.certificate)?,
            key: file_of("key", given.key)?,
            cors_origins: all(given.cors_origins, origin)?,
            pages: pages(given.pages)?,
            allow: all(given.allow, network)?,
            trusted_hops: given.trusted_hops.unwrap_or(0),
            rate_per_address: given.rate_per_address.unwrap_or(1000),
            rate_per_principal: given.rate_per_principal.unwrap_or(500),
            request_timeout: span("request_timeout", given.request_timeout, 60)?,
            stream_timeout: span("stream_timeout", given.stream_timeout, 3600)?,
            keys_refresh: span("keys_refresh", given.keys_refresh, 10)?,
            max_connections: given.max_connections.unwrap_or(10_000).max(1),
            max_heap_mib: u64::from(heap(given.max_heap_mib)?),
            own,
            issuers: Vec::new(),
            clock_skew: CLOCK_SKEW,
        })
    }

    fn over(self, file: Self) -> Self {
        // The two say the same in two ways: one of them in a flag takes the place of both in the file.
        let filled = |text: &String| !text.is_empty();
        let (one, each) = (self.upstream.filter(filled), self.upstreams);
        let (upstream, upstreams) = match one.is_some() || each.iter().any(filled) {
            true => (one, each),
            false => (file.upstream, file.upstreams),
        };
        Self {
            listen: self.listen.or(file.listen),
            upstream,
            upstreams,
            admin: self.admin.or(file.admin),
            certificate: self.certificate.or(file.certificate),
            key: self.key.or(file.key),
            cors_origins: either(self.cors_origins, file.cors_origins),
            pages: self.pages.or(file.pages),
            allow: either(self.allow, file.allow),
            trusted_hops: self.trusted_hops.or(file.trusted_hops),
            rate_per_address: self.rate_per_address.or(file.rate_per_address),
            rate_per_principal: self.rate_per_principal.or(file.rate_per_principal),
            request_timeout: self.request_timeout.or(file.request_timeout),
            stream_timeout: self.stream_timeout.or(file.stream_timeout),
            keys_refresh: self.keys_refresh.or(file.keys_refresh),
            max_connections: self.max_connections.or(file.max_connections),
            max_heap_mib: self.max_heap_mib.or(file.max_heap_mib),
        }
    }
}

// Envoy itself takes some 70 MiB.
fn heap(given: Option<u32>) -> Result<u32> {
    match given.unwrap_or(400) {
        most @ 128.. => Ok(most),
        less => Err(Error::invalid(
            "max_heap_mib",
            format!("expected 128 or more, got {less}"),
        )),
    }
}

fn either(flags: Vec<String>, file: Vec<String>) -> Vec<String> {
    if flags.is_empty() { file } else { flags }
}

impl Settings {
    /// Adds the issuers whose keys Envoy can fetch. Those that give them only to holders of a token are for calls within a cluster, past Envoy.
    pub(crate) async fn with_issuers(
        mut self,
        issuers: &[OidcIssuer],
        clock_skew: Duration,
    ) -> Result<Self> {
        self.clock_skew = clock_skew;
        for issuer in issuers.iter().filter(|issuer| issuer.token_file.is_none()) {
            let keys = issuer
                .find_jwks_url()
                .await
                .map_err(|error| error.within("oidc"))?;
            self.issuers.push(Issuer {
                name: issuer.issuer.clone(),
                audiences: audiences(issuer, &keys),
                keys,
                ca_file: issuer.ca_file.clone(),
            });
        }
        Ok(self)
    }

    /// Where Envoy finds one of the files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How long a connection may take to say what it wants.
    pub(super) fn head_timeout(&self) -> Duration {
        self.request_timeout.min(Duration::from_secs(10))
    }
}

// Access tokens of Cognito have no audience, but name the client; services look at that.
fn audiences(issuer: &OidcIssuer, keys: &Url) -> Vec<String> {
    let cognito = keys
        .host_str()
        .is_some_and(|host| host.starts_with("cognito-idp."));
    if cognito {
        Vec::new()
    } else {
        issuer.audiences.clone()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table in which everything is set.
    pub(in super::super) const EVERYTHING: &str = r#"
        listen = "0.0.0.0:8443"
        upstream = "http://granary:7070"
        admin = "127.0.0.1:9902"
        cors_origins = ["https://app.example", "http://localhost:5173"]
        pages = "https://lab-pages.s3.eu-central-1.amazonaws.com/v1/"
        allow = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]
        trusted_hops = 1
        rate_per_address = 20
        rate_per_principal = 10
        request_timeout = "30s"
        stream_timeout = "250ms"
        keys_refresh = "5m"
        max_connections = 100
        max_heap_mib = 1000
    "#;

    fn table(text: &str) -> Result<Settings> {
        let table: Table = toml::from_str(text).unwrap();
        let defaults = Table {
            certificate: Some("/tls/tls.crt".into()),
            key: Some("/tls/tls.key".into()),
            ..Table::default()
        };
        let own = Own {
            name: "granary".into(),
            audience: "granary".into(),
            keys: serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}),
        };
        // Flags and the file are the same table: here the file has what the test says.
        defaults.settle(table, "/etc/granary/ingress".into(), own)
    }

    /// Settings of a table, beside a certificate and an issuer.
    pub(in super::super) fn settings(text: &str) -> Settings {
        let mut settings = table(text).unwrap();
        if !text.is_empty() {
            for (name, keys) in [
                ("https://id.example/", "https://id.example/keys.json"),
                ("https://id.example/two", "https://id.example/two/keys.json"),
                ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/jwks"),
            ] {
                settings.issuers.push(Issuer {
                    name: name.into(),
                    audiences: vec!["granary".into()],
                    keys: Url::parse(keys).unwrap(),
                    ca_file: None,
                });
            }
        }
        settings
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = Table {
            listen: Some("127.0.0.1:1".into()),
            rate_per_address: Some(3),
            ..Table::default()
        };
        let file: Table = toml::from_str("certificate = '/a'\nkey = '/b'\nlisten = '127.0.0.1:2'\nrate_per_address = 4\nrate_per_principal = 0").unwrap();
        let own = Own {
            name: String::new(),
            audience: String::new(),
            keys: serde_json::Value::Null,
        };
        let settings = flags.settle(file, "/".into(), own).unwrap();
        assert_eq!(
            (
                settings.listen.port(),
                settings.rate_per_address,
                settings.rate_per_principal
            ),
            (1, 3, 0)
        );
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        for (text, said) in [
            (
                "listen = '7443'",
                "listen: expected an address such as 127.0.0.1:7443",
            ),
            (
                "admin = '0.0.0.0:9901'",
                "admin: expected an address of this machine only",
            ),
            (
                "upstream = 'granary:7070'",
                "upstream: expected a URL such as",
            ),
            (
                "upstream = 'http://granary:7070/v1'",
                "upstream: expected a URL such as",
            ),
            (
                "cors_origins = ['*']",
                "cors_origins: expected an origin such as",
            ),
            (
                "cors_origins = ['https://app.example/']",
                "cors_origins: expected an origin such as",
            ),
            ("pages = 'lab-pages'", "pages: expected a URL such as"),
            (
                "pages = 'https://u:p@lab/'",
                "pages: expected a URL such as",
            ),
            (
                "pages = 'https://lab/?a=b'",
                "pages: expected a URL such as",
            ),
            ("allow = ['10.0.0.0/33']", "allow: expected a network"),
            ("allow = ['lab']", "allow: expected a network"),
            (
                "max_heap_mib = 100",
                "max_heap_mib: expected 128 or more, got 100",
            ),
            (
                "request_timeout = '1ms'",
                "request_timeout: expected 100ms to 30d, got 1ms",
            ),
        ] {
            let error = table(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let own = Own {
            name: String::new(),
            audience: String::new(),
            keys: serde_json::Value::Null,
        };
        let error = Table::default()
            .settle(Table::default(), "/".into(), own)
            .unwrap_err();
        assert_eq!(error.to_string(), "certificate: name the PEM file");
    }
}
