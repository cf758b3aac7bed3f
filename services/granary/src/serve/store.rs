//! The object store: the embedded one, or one outside.

use granary_core::{Result, layout::Layout};
use granary_runtime::{objects::ObjectsConfig, server, task::Tasks};
use url::Url;

use super::{DataDir, Settings};

const EMBEDDED_PREFIX: &str = "granary";

/// Where the store is; the embedded one is started first.
pub(super) async fn open(
    settings: &Settings,
    data: Option<&DataDir>,
    tasks: &Tasks,
) -> Result<ObjectsConfig> {
    match &settings.object_store {
        Some(store) => ObjectsConfig::parse(
            &store.url,
            store.access_key.clone(),
            store.secret_key.clone(),
        ),
        None => embedded(settings, DataDir::needed(data)?, tasks).await,
    }
}

async fn embedded(settings: &Settings, data: &DataDir, tasks: &Tasks) -> Result<ObjectsConfig> {
    let keys = data.store_keys()?;
    let layout = Layout::new(EMBEDDED_PREFIX)?;
    let root = data.join("objects");
    let server = granary_s3::Server::open(granary_s3::Options {
        root: root.clone(),
        access_key: keys.access_key.clone(),
        secret_key: keys.secret_key.reveal().to_owned(),
        buckets: layout.buckets().to_vec(),
        region: "us-east-1".into(),
    })
    .map_err(|error| {
        granary_core::Error::precondition("the embedded object store", error.to_string())
    })?;
    let listener = server::bind(settings.s3_listen, "object store", "--s3-listen").await?;
    let address = listener
        .local_addr()
        .map_err(|error| granary_core::Error::internal("listening", error))?;
    let endpoint = Url::parse(&format!("http://{address}"))
        .map_err(|error| granary_core::Error::internal("listening", error))?;
    let stop = tasks.stopping();
    tasks.spawn("object store", async move {
        if let Err(error) = server.run(listener, stop).await {
            tracing::error!(%error, "the embedded object store stopped");
        }
    });
    // The store takes any name that it is called by, as long as the request is signed with it.
    let public_endpoint = settings.s3_public_endpoint.clone();
    Ok(ObjectsConfig {
        public_endpoint: public_endpoint.unwrap_or_else(|| endpoint.clone()),
        endpoint,
        region: "us-east-1".into(),
        access_key: keys.access_key,
        secret_key: keys.secret_key,
        layout,
        local_root: Some(root),
    })
}
