//! Puts the services of this process together: each gets its database, and ways to those that it may call, here or elsewhere.

use std::{sync::Arc, time::Duration};

use granary_core::{Error, Result, clock::SystemClock, name::WorkerName};
use granary_job::Jobs;
use granary_metadata::Metadata;
use granary_pipeline::Pipeline;
use granary_proto::job::v1::Resources;
use granary_runtime::{
    Link,
    auth::{AuthLayer, Directory, Issuer, LAUNCHER, Role, TokenSource, Verifier},
    db::{DatabaseUrl, Db},
    ledger::{self, Ledger},
    link::Way,
    objects::{ObjectReader, ObjectsConfig},
    replicas::Replicas,
    server,
    task::Tasks,
};
use granary_storage::Storage;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use super::{DataDir, Settings, health, service::Service};

const LEASE: Duration = Duration::from_secs(30);
const WRITE_EXPIRY: Duration = Duration::from_secs(600);
const READ_EXPIRY: Duration = Duration::from_secs(3600);

/// What is served, and what stands in front of it.
pub(super) struct Composed {
    pub(super) routes: Routes,
    /// For everybody.
    pub(super) outside: AuthLayer,
    /// For services in other processes.
    pub(super) inside: AuthLayer,
    pub(super) ledger: Ledger,
}

pub(super) struct Composition<'a> {
    pub(super) settings: &'a Settings,
    pub(super) data: Option<&'a DataDir>,
    pub(super) tasks: &'a Tasks,
    pub(super) recording: &'a Tasks,
    /// Cancelled when no more calls should come.
    pub(super) ready: &'a CancellationToken,
    pub(super) issuer: Issuer,
    // Services among themselves have tokens of the bundled issuer.
    pub(super) inside: Verifier,
    pub(super) outside: Verifier,
    pub(super) objects: ObjectsConfig,
}

/// What stands in front of the services.
struct Gate {
    directory: Directory,
    ledger: Ledger,
}

impl Composition<'_> {
    /// The services of this process, the checks in front of them, and what records their calls.
    pub(super) async fn build(self) -> Result<Composed> {
        // In a cluster all start at the same time.
        if self.settings.apart.is_some() {
            Db::wait_for(&self.database()?).await;
        }
        let metadata = match self.has(Service::Metadata) {
            true => Some(self.metadata().await?),
            false => None,
        };
        let unchecked = match &metadata {
            Some(metadata) => self.served(None, |routes| metadata.mount(routes)),
            None => self.elsewhere(Service::Metadata)?,
        };
        let gate = self.gate(&unchecked);
        let to_metadata = match &metadata {
            Some(metadata) => self.served(Some(&gate), |routes| metadata.mount(routes)),
            None => unchecked,
        };
        let storage = match self.has(Service::Storage) {
            true => Some(self.storage(&to_metadata).await?),
            false => None,
        };
        let (mut jobs, mut pipeline) = (None, None);
        if self.has(Service::Job) || self.has(Service::Pipeline) {
            let to_storage = match &storage {
                Some(storage) => self.served(Some(&gate), |routes| storage.mount(routes)),
                None => self.elsewhere(Service::Storage)?,
            };
            if self.has(Service::Job) {
                let built = self.jobs(&to_metadata, &to_storage).await?;
                let to_jobs = self.served(Some(&gate), |routes| built.mount(routes));
                self.start_worker(&to_jobs, &to_metadata, &to_storage)?;
                self.start_launcher(&built, &to_jobs)?;
                jobs = Some(built);
            }
            if self.has(Service::Pipeline) {
                pipeline = Some(self.pipeline(&to_metadata, &to_storage).await?);
            }
        }
        self.mount(
            gate,
            health::Services {
                metadata,
                storage,
                jobs,
                pipeline,
            },
        )
    }

    fn mount(&self, gate: Gate, services: health::Services) -> Result<Composed> {
        let mut all = RoutesBuilder::default();
        let reporter = server::common(&mut all)?;
        services.mount(&mut all);
        health::follow(self.tasks, self.ready.clone(), reporter, move || {
            services.clone().check()
        });
        let outside = AuthLayer::outside(self.outside.clone(), gate.directory.clone());
        let inside = AuthLayer::inside(self.inside.clone(), Some(gate.directory));
        Ok(Composed {
            routes: all.routes(),
            outside: outside.recorded(gate.ledger.clone()),
            inside: inside.recorded(gate.ledger.clone()),
            ledger: gate.ledger,
        })
    }

    fn has(&self, service: Service) -> bool {
        self.settings.has(service)
    }

    /// The way to a service that is not in this process.
    fn elsewhere(&self, service: Service) -> Result<Way> {
        let apart = self.settings.apart.as_ref();
        let urls = apart.map_or(&[][..], |apart| match service {
            Service::Metadata => &apart.metadata,
            Service::Storage => &apart.storage,
            Service::Pipeline | Service::Job => &[],
        });
        if urls.is_empty() {
            let what = "it is neither here nor known where it is";
            return Err(Error::precondition(service.name(), what));
        }
        Replicas::find(urls, self.tasks).map(Way::Replicas)
    }

    async fn metadata(&self) -> Result<Metadata> {
        let options = granary_metadata::Options {
            database: self.database()?,
            layout: self.objects.layout.clone(),
            clock: Arc::new(SystemClock),
            issuer: self.issuer.clone(),
            creates_tokens: self.settings.oidc.is_empty(),
            issuers: self.settings.issuers_of_people(&self.issuer),
            audit_kept: self.settings.audit_kept,
        };
        options.build(self.tasks).await
    }

    /// Metadata says who may do what, also to the check in front of itself, and records its own calls.
    fn gate(&self, metadata: &Way) -> Gate {
        let options = ledger::Options {
            clock: Arc::new(SystemClock),
            trusted_hops: self.settings.trusted_hops,
        };
        let link = |subject| self.link(metadata, subject, Role::Service);
        Gate {
            directory: Directory::new(link("service:directory")),
            ledger: Ledger::start(self.recording, &link("service:ledger"), options),
        }
    }

    async fn storage(&self, metadata: &Way) -> Result<Storage> {
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

    async fn jobs(&self, metadata: &Way, storage: &Way) -> Result<Jobs> {
        let options = granary_job::Options {
            database: self.database()?,
            clock: Arc::new(SystemClock),
            lease: LEASE,
        };
        let link = |way| self.link(way, "service:job", Role::Service);
        let (metadata, storage) = (link(metadata), link(storage));
        options.build(self.tasks, metadata, storage).await
    }

    async fn pipeline(&self, metadata: &Way, storage: &Way) -> Result<Pipeline> {
        let options = granary_pipeline::Options {
            database: self.database()?,
            objects: ObjectReader::new(self.objects.clone())?,
            clock: Arc::new(SystemClock),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let link = |way| self.link(way, "service:pipeline", Role::Service);
        let (metadata, storage) = (link(metadata), link(storage));
        options.build(self.tasks, metadata, storage).await
    }

    fn database(&self) -> Result<DatabaseUrl> {
        match &self.settings.database_url {
            Some(url) => DatabaseUrl::parse(url.reveal()),
            None => Ok(DatabaseUrl::Sqlite(DataDir::needed(self.data)?.join("db"))),
        }
    }

    /// Services for calls from within.
    fn served(&self, gate: Option<&Gate>, mount: impl FnOnce(&mut RoutesBuilder)) -> Way {
        let mut routes = RoutesBuilder::default();
        mount(&mut routes);
        let directory = gate.map(|gate| gate.directory.clone());
        let auth = AuthLayer::inside(self.inside.clone(), directory);
        let auth = match gate {
            Some(gate) => auth.recorded(gate.ledger.clone()),
            None => auth,
        };
        Way::Local(server::protect(routes.routes(), &auth))
    }

    fn link(&self, way: &Way, subject: &str, role: Role) -> Link {
        let token = TokenSource::renewed(self.issuer.clone(), subject, role);
        Link::over(way.clone(), token)
    }

    fn start_worker(&self, jobs: &Way, metadata: &Way, storage: &Way) -> Result<()> {
        if self.settings.job_slots == 0 {
            return Ok(());
        }
        let options = granary_worker::Options {
            name: "local".into(),
            folder: DataDir::needed(self.data)?.join("work"),
            resources: machine(),
            slots: self.settings.job_slots,
            max_output_bytes: granary_worker::MAX_OUTPUT_BYTES,
        };
        let link = |way| self.link(way, "worker:local", Role::Worker);
        let (jobs, metadata, storage) = (link(jobs), link(metadata), link(storage));
        let stop = self.tasks.stopping();
        self.tasks.spawn("worker", async move {
            if let Err(error) = options.run(jobs, metadata, storage, stop).await {
                tracing::error!(%error, "the worker stopped");
            }
        });
        Ok(())
    }
}

impl Composition<'_> {
    /// Jobs in a cluster, launched by one of all processes of this role.
    fn start_launcher(&self, jobs: &Jobs, way: &Way) -> Result<()> {
        let Some(settings) = self.settings.kubernetes.clone() else {
            return Ok(());
        };
        let issuer = self.issuer.clone();
        let tokens = move |lifetime| {
            let issued = issuer.issue(LAUNCHER, Role::Worker, lifetime);
            issued.map(|(token, _)| token)
        };
        let options = granary_kubernetes::Options {
            settings,
            worker: WorkerName::new("kubernetes")?,
            tokens: Arc::new(tokens),
            job: self.link(way, LAUNCHER, Role::Worker),
        };
        let (jobs, stop) = (jobs.clone(), self.tasks.stopping());
        self.tasks.spawn("launcher", async move {
            let launch = || async {
                if let Err(error) = options.clone().run(stop.clone()).await {
                    tracing::error!(%error, "jobs are not launched in the cluster: will try again");
                }
            };
            jobs.lead(stop.clone(), launch).await;
        });
        Ok(())
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
