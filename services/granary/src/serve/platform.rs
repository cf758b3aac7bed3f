//! Puts the four services together in one process: each gets its database and links to those that it may call.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use granary_core::{Error, Result, clock::SystemClock};
use granary_job::Jobs;
use granary_metadata::Metadata;
use granary_pipeline::Pipeline;
use granary_proto::job::v1::Resources;
use granary_runtime::{
    Link,
    auth::{AuthLayer, Directory, Issuer, Role, TokenSource, Verifier},
    db::DatabaseUrl,
    ledger::{self, Ledger},
    link::Served,
    objects::{ObjectReader, ObjectsConfig},
    server,
    task::Tasks,
};
use granary_storage::Storage;
use tonic::service::{Routes, RoutesBuilder};
use url::Url;

use super::{DataDir, Settings, health, store};

const PATIENCE: Duration = Duration::from_secs(25);
const LEASE: Duration = Duration::from_secs(30);
const WRITE_EXPIRY: Duration = Duration::from_secs(600);
const READ_EXPIRY: Duration = Duration::from_secs(3600);

/// A running platform.
#[derive(Debug)]
pub struct Platform {
    data: DataDir,
    address: SocketAddr,
    objects: Url,
    ledger: Ledger,
    // The embedded store goes last, so that what is in progress can still read and write; what calls came to is stored after the last of them.
    services: Tasks,
    recording: Tasks,
    store: Tasks,
}

impl Platform {
    /// Starts everything; returns once calls are answered.
    pub async fn start(settings: Settings) -> Result<Self> {
        granary_runtime::install_tls();
        let data = DataDir::open(&settings.data_dir)?;
        let listener = server::bind(settings.listen, "server", "--listen").await?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::internal("listening", error))?;
        let (services, recording, store_tasks) = (Tasks::new(), Tasks::new(), Tasks::new());
        let objects = store::open(&settings, &data, &store_tasks).await?;
        let endpoint = objects.public_endpoint.clone();
        let issuer = match &settings.signing_key_file {
            Some(file) => Issuer::read(file)?,
            None => data.issuer()?,
        };
        // Where tokens come from elsewhere, there is no local administrator.
        if settings.oidc.is_empty() {
            data.ensure_token(&issuer).await?;
        } else {
            data.remove_token()?;
        }
        let outside = Verifier::trusting(&issuer, &settings.oidc, settings.clock_skew, &services)?;
        let (routes, auth, ledger) = Composition {
            settings: &settings,
            data: &data,
            tasks: &services,
            recording: &recording,
            inside: issuer.verifier(),
            outside,
            issuer,
            objects,
        }
        .build()
        .await?;
        let stop = services.stopping();
        services.spawn("grpc", async move {
            if let Err(error) = server::run(listener, routes, auth, stop).await {
                tracing::error!(%error, "the gRPC server stopped");
            }
        });
        Ok(Self {
            data,
            address,
            objects: endpoint,
            ledger,
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

    /// Where the local administrator's token is.
    pub fn token_file(&self) -> PathBuf {
        self.data.token_file()
    }

    /// Waits until what calls came to by now is in the audit log and in the ledger of usage.
    pub async fn recorded(&self) {
        self.ledger.flush().await;
    }

    /// Lets calls and work in progress end, then stops.
    pub async fn stop(self) {
        if !self.services.drain(PATIENCE).await {
            tracing::warn!("some work did not end in time; it goes on at the next start");
        }
        if !self.recording.drain(Duration::from_secs(15)).await {
            tracing::warn!("not all of the audit log was stored in time: the rest is in the log");
        }
        self.store.drain(Duration::from_secs(5)).await;
    }
}

struct Composition<'a> {
    settings: &'a Settings,
    data: &'a DataDir,
    tasks: &'a Tasks,
    recording: &'a Tasks,
    issuer: Issuer,
    // Services among themselves have tokens of the bundled issuer.
    inside: Verifier,
    outside: Verifier,
    objects: ObjectsConfig,
}

/// What stands in front of the services.
struct Gate {
    directory: Directory,
    ledger: Ledger,
}

impl Composition<'_> {
    /// All services, the check in front of them, and what records their calls.
    async fn build(self) -> Result<(Routes, AuthLayer, Ledger)> {
        let metadata = self.metadata().await?;
        let gate = self.gate(&metadata);
        let served_metadata = self.served(Some(&gate), |routes| metadata.mount(routes));
        let storage = self.storage(&served_metadata).await?;
        let served_storage = self.served(Some(&gate), |routes| storage.mount(routes));
        let jobs = self.jobs(&served_metadata, &served_storage).await?;
        let served_jobs = self.served(Some(&gate), |routes| jobs.mount(routes));
        let pipeline = self.pipeline(&served_metadata, &served_storage).await?;
        self.start_worker(&served_jobs, &served_metadata, &served_storage);

        let mut all = RoutesBuilder::default();
        let reporter = server::common(&mut all)?;
        metadata.mount(&mut all);
        storage.mount(&mut all);
        jobs.mount(&mut all);
        pipeline.mount(&mut all);
        let ready = health::Services {
            metadata,
            storage,
            jobs,
            pipeline,
        };
        health::follow(self.tasks, reporter, move || ready.clone().check());
        let auth = AuthLayer::outside(self.outside.clone(), gate.directory);
        Ok((
            all.routes(),
            auth.recorded(gate.ledger.clone()),
            gate.ledger,
        ))
    }

    async fn metadata(&self) -> Result<Metadata> {
        let options = granary_metadata::Options {
            database: self.database()?,
            layout: self.objects.layout.clone(),
            clock: Arc::new(SystemClock),
            issuer: self.issuer.clone(),
            creates_tokens: self.settings.oidc.is_empty(),
            audit_kept: self.settings.audit_kept,
        };
        options.build(self.tasks).await
    }

    /// Metadata says who may do what, also to the check in front of itself, and records its own calls.
    fn gate(&self, metadata: &Metadata) -> Gate {
        let unchecked = self.served(None, |routes| metadata.mount(routes));
        let options = ledger::Options {
            clock: Arc::new(SystemClock),
            trusted_hops: self.settings.trusted_hops,
        };
        let way = self.link(&unchecked, "service:ledger", Role::Service);
        Gate {
            directory: Directory::new(self.link(&unchecked, "service:directory", Role::Service)),
            ledger: Ledger::start(self.recording, &way, options),
        }
    }

    async fn storage(&self, metadata: &Served) -> Result<Storage> {
        let options = granary_storage::Options {
            database: self.database()?,
            objects: self.objects.clone(),
            clock: Arc::new(SystemClock),
            write_expiry: WRITE_EXPIRY,
            read_expiry: READ_EXPIRY,
        };
        let metadata = self.link(metadata, "service:storage", Role::Service);
        options.build(self.tasks, metadata).await
    }

    async fn jobs(&self, metadata: &Served, storage: &Served) -> Result<Jobs> {
        let options = granary_job::Options {
            database: self.database()?,
            clock: Arc::new(SystemClock),
            lease: LEASE,
        };
        let link = |served| self.link(served, "service:job", Role::Service);
        let (metadata, storage) = (link(metadata), link(storage));
        options.build(self.tasks, metadata, storage).await
    }

    async fn pipeline(&self, metadata: &Served, storage: &Served) -> Result<Pipeline> {
        let options = granary_pipeline::Options {
            database: self.database()?,
            objects: ObjectReader::new(self.objects.clone())?,
            clock: Arc::new(SystemClock),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let link = |served| self.link(served, "service:pipeline", Role::Service);
        let (metadata, storage) = (link(metadata), link(storage));
        options.build(self.tasks, metadata, storage).await
    }

    fn database(&self) -> Result<DatabaseUrl> {
        match &self.settings.database_url {
            Some(url) => DatabaseUrl::parse(url.reveal()),
            None => Ok(DatabaseUrl::Sqlite(self.data.join("db"))),
        }
    }

    /// Services for calls from within.
    fn served(&self, gate: Option<&Gate>, mount: impl FnOnce(&mut RoutesBuilder)) -> Served {
        let mut routes = RoutesBuilder::default();
        mount(&mut routes);
        let directory = gate.map(|gate| gate.directory.clone());
        let auth = AuthLayer::inside(self.inside.clone(), directory);
        let auth = match gate {
            Some(gate) => auth.recorded(gate.ledger.clone()),
            None => auth,
        };
        server::protect(routes.routes(), &auth)
    }

    fn link(&self, served: &Served, subject: &str, role: Role) -> Link {
        Link::local(
            served.clone(),
            TokenSource::renewed(self.issuer.clone(), subject, role),
        )
    }

    fn start_worker(&self, jobs: &Served, metadata: &Served, storage: &Served) {
        if self.settings.job_slots == 0 {
            return;
        }
        let options = granary_worker::Options {
            name: "local".into(),
            folder: self.data.join("work"),
            resources: machine(),
            slots: self.settings.job_slots,
            max_output_bytes: granary_worker::MAX_OUTPUT_BYTES,
        };
        let link = |served| self.link(served, "worker:local", Role::Worker);
        let (jobs, metadata, storage) = (link(jobs), link(metadata), link(storage));
        let stop = self.tasks.stopping();
        self.tasks.spawn("worker", async move {
            if let Err(error) = options.run(jobs, metadata, storage, stop).await {
                tracing::error!(%error, "the worker stopped");
            }
        });
    }
}

// What this machine can give to jobs.
fn machine() -> Resources {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let memory_bytes = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            text.lines().find_map(|line| {
                line.strip_prefix("MemTotal:")?
                    .trim()
                    .strip_suffix("kB")?
                    .trim()
                    .parse::<i64>()
                    .ok()
            })
        })
        .map_or(2 << 30, |kib| kib * 1024);
    Resources {
        memory_bytes,
        cpus: u32::try_from(cpus).unwrap_or(1).into(),
        gpus: 0,
        timeout: None,
    }
}
