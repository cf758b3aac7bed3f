//! Puts the four services together in one process: each gets its database and links to those that it may call.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use granary_core::{Error, Result, clock::SystemClock};
use granary_proto::job::v1::Resources;
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    db::DatabaseUrl,
    objects::{ObjectReader, ObjectsConfig},
    server,
    task::Tasks,
};
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
    // The embedded store goes last, so that what is in progress can still read and write.
    services: Tasks,
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
        let (services, store_tasks) = (Tasks::new(), Tasks::new());
        let objects = store::open(&settings, &data, &store_tasks).await?;
        let endpoint = objects.public_endpoint.clone();
        let issuer = data.issuer()?;
        data.ensure_token(&issuer)?;
        let auth = AuthLayer::new(issuer.verifier());
        let routes = Composition {
            settings: &settings,
            data: &data,
            tasks: &services,
            issuer,
            auth: &auth,
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
            services,
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

    /// Lets calls and work in progress end, then stops.
    pub async fn stop(self) {
        if !self.services.drain(PATIENCE).await {
            tracing::warn!("some work did not end in time; it goes on at the next start");
        }
        self.store.drain(Duration::from_secs(5)).await;
    }
}

struct Composition<'a> {
    settings: &'a Settings,
    data: &'a DataDir,
    tasks: &'a Tasks,
    issuer: Issuer,
    auth: &'a AuthLayer,
    objects: ObjectsConfig,
}

impl Composition<'_> {
    async fn build(self) -> Result<Routes> {
        let clock = || Arc::new(SystemClock);
        let mut all = RoutesBuilder::default();
        let reporter = server::common(&mut all)?;

        let metadata = granary_metadata::Options {
            database: self.database()?,
            layout: self.objects.layout.clone(),
            clock: clock(),
            issuer: Some(self.issuer.clone()),
        }
        .build(self.tasks)
        .await?;
        metadata.mount(&mut all);
        let metadata_served = self.served(|routes| metadata.mount(routes));

        let storage = granary_storage::Options {
            database: self.database()?,
            objects: self.objects.clone(),
            clock: clock(),
            write_expiry: WRITE_EXPIRY,
            read_expiry: READ_EXPIRY,
        }
        .build(
            self.tasks,
            self.link(&metadata_served, "service:storage", Role::Service),
        )
        .await?;
        storage.mount(&mut all);
        let storage_served = self.served(|routes| storage.mount(routes));

        let jobs = granary_job::Options {
            database: self.database()?,
            clock: clock(),
            lease: LEASE,
        }
        .build(
            self.tasks,
            self.link(&metadata_served, "service:job", Role::Service),
            self.link(&storage_served, "service:job", Role::Service),
        )
        .await?;
        jobs.mount(&mut all);
        let jobs_served = self.served(|routes| jobs.mount(routes));

        let pipeline = granary_pipeline::Options {
            database: self.database()?,
            objects: ObjectReader::new(self.objects.clone())?,
            clock: clock(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        }
        .build(
            self.tasks,
            self.link(&metadata_served, "service:pipeline", Role::Service),
            self.link(&storage_served, "service:pipeline", Role::Service),
        )
        .await?;
        pipeline.mount(&mut all);

        self.start_worker(&jobs_served, &metadata_served, &storage_served);
        let ready = health::Services {
            metadata,
            storage,
            jobs,
            pipeline,
        };
        health::follow(self.tasks, reporter, move || ready.clone().check());
        Ok(all.routes())
    }

    fn database(&self) -> Result<DatabaseUrl> {
        match &self.settings.database_url {
            Some(url) => DatabaseUrl::parse(url.reveal()),
            None => Ok(DatabaseUrl::Sqlite(self.data.join("db"))),
        }
    }

    fn served(&self, mount: impl FnOnce(&mut RoutesBuilder)) -> granary_runtime::link::Served {
        let mut routes = RoutesBuilder::default();
        mount(&mut routes);
        server::protect(routes.routes(), self.auth)
    }

    fn link(&self, served: &granary_runtime::link::Served, subject: &str, role: Role) -> Link {
        Link::local(
            served.clone(),
            TokenSource::renewed(self.issuer.clone(), subject, role),
        )
    }

    fn start_worker(
        &self,
        jobs: &granary_runtime::link::Served,
        metadata: &granary_runtime::link::Served,
        storage: &granary_runtime::link::Served,
    ) {
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
