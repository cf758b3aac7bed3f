//! The way to the server: one channel, the token on every call, generated clients.

use std::{error::Error as _, time::Duration};

use granary_core::{Error, Result, name::ProjectName};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    identity::v1::{
        api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
        member_service_client::MemberServiceClient, token_service_client::TokenServiceClient,
        usage_service_client::UsageServiceClient,
    },
    job::v1::{
        application_service_client::ApplicationServiceClient, job_service_client::JobServiceClient,
        worker_service_client::WorkerServiceClient,
    },
    metadata::v1::{
        asset_service_client::AssetServiceClient, dataset_service_client::DatasetServiceClient,
        event_service_client::EventServiceClient, label_service_client::LabelServiceClient,
        project_service_client::ProjectServiceClient, session_service_client::SessionServiceClient,
        snapshot_service_client::SnapshotServiceClient,
    },
    pipeline::v1::{
        pipeline_service_client::PipelineServiceClient, run_service_client::RunServiceClient,
    },
    status::from_status,
};
use granary_runtime::{Link, auth::TokenSource, secret::Secret};
use tonic::{
    Code, Response, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    config::{Config, Identity},
    key::{self, Store},
    login::LoginSource,
    output::Out,
    reach::{self, unreachable},
    retry::Retry,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the server, as somebody, in a project.
#[derive(Debug)]
pub(crate) struct Client {
    link: Link,
    config: Config,
    retry: Retry,
}

/// Makes a call of one of the services, again while the server is away if the client is patient:
/// `call!(client.datasets().get_dataset(request))`.
macro_rules! call {
    ($client:ident.$service:ident().$method:ident($request:expr)) => {{
        let request = $request;
        $client
            .attempt(async || {
                let mut service = $client.$service();
                service.$method(request.clone()).await
            })
            .await
    }};
}
pub(crate) use call;

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident,)+) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&self) -> $client<Link> {
            $client::new(self.link.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES)
        }
    )+};
}

impl Client {
    /// Connects now, so that a server that is not there is told from a call that fails.
    pub(crate) async fn connect(config: &Config, out: &Out) -> Result<Self> {
        Self::over(connect(config).await?, config, out)
    }

    /// Connects at the first call, for those who wait for the server.
    pub(crate) fn connect_later(config: &Config, out: &Out) -> Result<Self> {
        Self::over(endpoint(config)?.connect_lazy(), config, out)
    }

    fn over(channel: Channel, config: &Config, out: &Out) -> Result<Self> {
        let token = token(config, &channel)?;
        Ok(Self {
            link: Link::remote(channel, token),
            config: config.clone(),
            retry: Retry::never(out),
        })
    }

    /// To a server that knows no call.
    #[cfg(test)]
    pub(crate) fn of_nothing(out: &Out) -> Self {
        use granary_runtime::{
            auth::{AuthLayer, Issuer, Role},
            server,
        };
        let issuer = Issuer::ephemeral().unwrap();
        let auth = AuthLayer::inside(issuer.verifier(), None);
        let served = server::protect(tonic::service::Routes::default(), &auth);
        let token = TokenSource::renewed(issuer, "test", Role::Administrator);
        Self {
            link: Link::local(served, token),
            config: crate::config::Flags::default()
                .settle(crate::settings::File::default())
                .unwrap(),
            retry: Retry::never(out),
        }
    }

    /// Goes on for 60 s while the server is away.
    #[must_use]
    pub(crate) fn patient(self, out: &Out) -> Self {
        Self {
            retry: Retry::within(PATIENCE, out),
            ..self
        }
    }

    /// The project.
    pub(crate) fn project(&self) -> &ProjectName {
        &self.config.project
    }

    /// The way itself, for what makes its own clients.
    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    /// How long this client tries.
    pub(crate) fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Makes a call that is safe to repeat. See [`call!`].
    pub(crate) async fn attempt<T>(
        &self,
        mut call: impl AsyncFnMut() -> Result<Response<T>, Status>,
    ) -> Result<T> {
        self.retry.call(async || self.answer(call().await)).await
    }

    /// What the server answered, or what stands in the way.
    pub(crate) fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T> {
        answer
            .map(Response::into_inner)
            .map_err(|status| self.error(status))
    }

    /// The next message of a stream; nothing at its end.
    pub(crate) async fn next<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>> {
        stream
            .message()
            .await
            .map_err(|status| match status.code() {
                // Whoever opens it again sends a new token, or is told then that there is none.
                Code::Unauthenticated => Error::Unavailable {
                    reason: "the token ended while the server answered: try again".into(),
                    cause: None,
                },
                _ => self.error(status),
            })
    }

    // A connection that broke has a cause on this side; what the server says has none.
    fn error(&self, status: Status) -> Error {
        let broke = status.source().is_some()
            && matches!(
                status.code(),
                Code::Unknown | Code::Internal | Code::Unavailable | Code::Cancelled
            );
        match broke {
            true => unreachable(&self.config, &status),
            false if status.code() == Code::Unimplemented => Error::Internal {
                context: format!(
                    "calling {}: it does not know this call, and is older than this command or no Granary server",
                    self.config.shown()
                ),
                cause: None,
            },
            false => told(&self.config, from_status(status)),
        }
    }

    services! {
        /// Projects.
        projects: ProjectServiceClient,
        /// Datasets.
        datasets: DatasetServiceClient,
        /// Sessions.
        sessions: SessionServiceClient,
        /// Assets.
        assets: AssetServiceClient,
        /// Labels.
        labels: LabelServiceClient,
        /// Snapshots.
        snapshots: SnapshotServiceClient,
        /// Events.
        events: EventServiceClient,
        /// Tokens.
        tokens: TokenServiceClient,
        /// Members.
        members: MemberServiceClient,
        /// API keys.
        api_keys: ApiKeyServiceClient,
        /// The audit log.
        audit: AuditServiceClient,
        /// Usage and quotas.
        usage: UsageServiceClient,
        /// Pipelines.
        pipelines: PipelineServiceClient,
        /// Runs.
        runs: RunServiceClient,
        /// The catalogue.
        applications: ApplicationServiceClient,
        /// Jobs.
        jobs: JobServiceClient,
        /// Workers.
        workers: WorkerServiceClient,
    }
}

/// The same configuration in the project of its API key, if it has a key and nobody named a project.
pub(crate) async fn in_project_of_key(mut config: Config, retry: &Retry) -> Result<Config> {
    // What is wrong with the identity is told by the call that needs it.
    let Ok(Identity::ApiKey(key, _)) = config.identity() else {
        return Ok(config);
    };
    if !config.names_project {
        let known = || Store::of(&config.shown(), &key)?.project();
        config.project = match known() {
            Some(project) => project,
            None => retry.call(async || project_of(&config, &key).await).await?,
        };
    }
    Ok(config)
}

async fn project_of(config: &Config, key: &Secret) -> Result<ProjectName> {
    let channel = connect(config).await?;
    let store = Store::of(&config.shown(), key);
    let project = key::source(key.clone(), store, &channel).project().await;
    project.map_err(|error| match error {
        // The connection may have broken at the first word.
        Error::Unavailable { .. } => reach::of_other_kind(config).unwrap_or(error),
        error => told(config, error),
    })
}

fn token(config: &Config, channel: &Channel) -> Result<TokenSource> {
    match config.identity()? {
        Identity::Token(token) | Identity::Local(token) => TokenSource::fixed(token.reveal()),
        Identity::ApiKey(key, _) => {
            let store = Store::of(&config.shown(), &key);
            let source = key::source(key, store, channel);
            Ok(TokenSource::exchanged(source))
        }
        Identity::Login(store) => Ok(TokenSource::exchanged(LoginSource::new(store))),
    }
}

fn endpoint(config: &Config) -> Result<Endpoint> {
    granary_runtime::install_tls();
    let wrong = |error: tonic::transport::Error| {
        Error::invalid("endpoint", format!("{}: {error}", config.shown()))
    };
    let endpoint = Endpoint::from_shared(config.endpoint.to_string()).map_err(wrong)?;
    let endpoint = match config.endpoint.scheme() {
        "https" => endpoint.tls_config(tls(config)?).map_err(wrong)?,
        _ => endpoint,
    };
    Ok(endpoint
        .user_agent(concat!("granary/", env!("CARGO_PKG_VERSION")))
        .map_err(wrong)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true))
}

fn tls(config: &Config) -> Result<ClientTlsConfig> {
    let tls = ClientTlsConfig::new().with_native_roots();
    let Some(file) = &config.ca_file else {
        return Ok(tls);
    };
    let wrong = |why: String| Error::invalid("ca_file", format!("{}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(crate::human::io_error(&error)))?;
    if !pem
        .windows(27)
        .any(|part| part == b"-----BEGIN CERTIFICATE-----")
    {
        return Err(wrong("there is no certificate in it: expected PEM".into()));
    }
    Ok(tls.ca_certificate(Certificate::from_pem(pem)))
}

/// A channel on which nobody is named.
pub(crate) async fn connect(config: &Config) -> Result<Channel> {
    let connected = endpoint(config)?.connect().await;
    connected.map_err(|error| unreachable(config, &error))
}

// What the server says, in the words of who called.
fn told(config: &Config, error: Error) -> Error {
    match error {
        Error::Unauthenticated { .. } => config.refused(),
        other => other,
    }
}

/// An id that makes a repeated request answer like the first one.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
