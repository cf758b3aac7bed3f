//! A running process: listens, serves what was put together, and stops in order.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use granary_core::{Error, Result};
use granary_runtime::{
    auth::{AuthLayer, Issuer, Verifier},
    ledger::Ledger,
    metrics::Exporter,
    server,
    task::Tasks,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use url::Url;

use super::{
    DataDir, Settings,
    compose::{Composed, Composition},
    store,
};

const PATIENCE: Duration = Duration::from_secs(25);

/// A running process of the platform.
#[derive(Debug)]
pub struct Platform {
    data: Option<DataDir>,
    address: SocketAddr,
    objects: Url,
    metrics: Option<SocketAddr>,
    ledger: Ledger,
    drain_delay: Duration,
    // Told first, so that others send their calls elsewhere.
    ready: CancellationToken,
    // The embedded store goes last, so that what is in progress can still read and write; what calls came to is stored after the last of them.
    services: Tasks,
    recording: Tasks,
    store: Tasks,
}

impl Platform {
    /// Starts everything; returns once calls are answered.
    pub async fn start(settings: Settings) -> Result<Self> {
        granary_runtime::install_tls();
        let needed = settings.needs_folder();
        let data = needed.then(|| DataDir::open(&settings.data_dir));
        let data = data.transpose()?;
        // Before all that counts.
        let metrics = match settings.metrics_listen {
            Some(address) => Some(Exporter::open(address, &settings.component()).await?),
            None => None,
        };
        let outside = server::bind(settings.listen, "server", "--listen").await?;
        let inside = match &settings.apart {
            Some(apart) => {
                let flag = "--internal-listen";
                Some(server::bind(apart.internal_listen, "server", flag).await?)
            }
            None => None,
        };
        let address = outside
            .local_addr()
            .map_err(|error| Error::internal("listening", error))?;
        let (services, recording, store_tasks) = (Tasks::new(), Tasks::new(), Tasks::new());
        let ready = CancellationToken::new();
        let objects = store::open(&settings, data.as_ref(), &store_tasks).await?;
        let endpoint = objects.public_endpoint.clone();
        let issuer = issuer(&settings, data.as_ref()).await?;
        let verifier = Verifier::trusting(&issuer, &settings.oidc, settings.clock_skew, &services)?;
        let composed = Composition {
            settings: &settings,
            data: data.as_ref(),
            tasks: &services,
            recording: &recording,
            ready: &ready,
            inside: issuer.verifier(),
            outside: verifier,
            issuer,
            objects,
        };
        let composed = composed.build().await?;
        let ledger = composed.ledger.clone();
        serve(&services, outside, inside, composed);
        let told_at = metrics.as_ref().map(Exporter::address);
        // To the end, also while calls in progress end.
        metrics.into_iter().for_each(|it| it.start(&recording));
        Ok(Self {
            data,
            address,
            objects: endpoint,
            metrics: told_at,
            ledger,
            drain_delay: settings.drain_delay,
            ready,
            services,
            recording,
            store: store_tasks,
        })
    }

    /// Where gRPC calls are answered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where presigned URLs point to.
    pub fn object_endpoint(&self) -> &Url {
        &self.objects
    }

    /// Where metrics are asked for, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Where the local administrator's token is, if there is one.
    pub fn token_file(&self) -> Option<PathBuf> {
        let file = self.data.as_ref()?.token_file();
        file.exists().then_some(file)
    }

    /// Waits until what calls came to by now is in the audit log and in the ledger of usage.
    pub async fn recorded(&self) {
        self.ledger.flush().await;
    }

    /// Says that it is over, lets calls and work in progress end, then stops.
    pub async fn stop(self) {
        self.ready.cancel();
        tokio::time::sleep(self.drain_delay).await;
        if !self.services.drain(PATIENCE).await {
            tracing::warn!("some work did not end in time; it goes on at the next start");
        }
        if !self.recording.drain(Duration::from_secs(15)).await {
            tracing::warn!("not all of the audit log was stored in time: the rest is in the log");
        }
        self.store.drain(Duration::from_secs(5)).await;
    }
}

/// The bundled issuer. Where tokens come from elsewhere, there is no local administrator.
async fn issuer(settings: &Settings, data: Option<&DataDir>) -> Result<Issuer> {
    let issuer = match &settings.signing_key_file {
        Some(file) => Issuer::read(file)?,
        None => DataDir::needed(data)?.issuer()?,
    };
    match data {
        Some(data) if settings.oidc.is_empty() => data.ensure_token(&issuer).await?,
        Some(data) => data.remove_token()?,
        None => {}
    }
    Ok(issuer)
}

fn serve(tasks: &Tasks, outside: TcpListener, inside: Option<TcpListener>, composed: Composed) {
    let start = |name, listener, routes: Routes, auth: AuthLayer| {
        let stop = tasks.stopping();
        tasks.spawn(name, async move {
            if let Err(error) = server::run(listener, routes, auth, stop).await {
                tracing::error!(%error, "the gRPC server stopped");
            }
        });
    };
    if let Some(inside) = inside {
        start(
            "grpc inside",
            inside,
            composed.routes.clone(),
            composed.inside,
        );
    }
    start("grpc", outside, composed.routes, composed.outside);
}
