//! `granary snapshot`: frozen lists of assets and labels.

use granary_core::name::SnapshotName;
use granary_proto::metadata::v1::{
    CreateSnapshotRequest, GetSnapshotRequest, ListSnapshotAssetsRequest, ListSnapshotsRequest,
    Snapshot as Message, SnapshotAsset,
};

use super::context::{Context, Limit};
use crate::{
    client::{Client, call, request_id},
    failure::{Failure, Outcome, with_caret},
    human, names,
    output::{Listing, Table},
    page,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Snapshot {
    /// Lists snapshots, the newest first
    List {
        /// Only of this dataset
        #[arg(long, value_name = "DATASET")]
        dataset: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows a snapshot
    Get {
        /// DATASET/SNAPSHOT or its full name
        snapshot: String,
    },
    /// Freezes the READY assets of a dataset, with their labels
    Create {
        /// DATASET/SNAPSHOT; with --dataset its id alone, or nothing to have one made
        #[arg(required_unless_present = "dataset")]
        snapshot: Option<String>,
        /// What to freeze
        #[arg(long, value_name = "DATASET")]
        dataset: Option<String>,
        /// Only what matches, as in granary query
        #[arg(
            long,
            value_name = "FILTER",
            default_value = "",
            hide_default_value = true
        )]
        filter: String,
    },
    /// Lists what a snapshot holds
    Assets {
        /// DATASET/SNAPSHOT or its full name
        snapshot: String,
        #[command(flatten)]
        limit: Limit,
    },
}

impl Snapshot {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List { dataset, limit } => {
                let parent = names::dataset_scope(context.project(), dataset.as_deref())
                    .map_err(Failure::usage)?;
                list(context, parent, limit).await
            }
            Self::Get { snapshot } => {
                let name = names::snapshot(context.project(), &snapshot)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                context.out.item(
                    &call!(client.snapshots().get_snapshot(GetSnapshotRequest { name }))?,
                    details,
                )
            }
            Self::Create {
                snapshot,
                dataset,
                filter,
            } => create(context, snapshot, dataset.as_deref(), filter).await,
            Self::Assets { snapshot, limit } => {
                let name = names::snapshot(context.project(), &snapshot).map_err(Failure::usage)?;
                assets(context, &name, limit).await
            }
        }
    }
}

async fn create(
    context: &Context,
    snapshot: Option<String>,
    dataset: Option<&str>,
    filter: String,
) -> Outcome {
    let (dataset, snapshot_id) = match dataset {
        Some(dataset) => (
            names::dataset(context.project(), dataset).map_err(Failure::usage)?,
            snapshot.unwrap_or_default(),
        ),
        None => {
            let name = names::snapshot(context.project(), &snapshot.unwrap_or_default())
                .map_err(Failure::usage)?;
            (name.parent(), name.snapshot)
        }
    };
    let client = context.client().await?;
    let request = CreateSnapshotRequest {
        parent: dataset.to_string(),
        snapshot: Some(Message {
            filter: filter.clone(),
            ..Message::default()
        }),
        snapshot_id,
        request_id: request_id(),
    };
    let made = call!(client.snapshots().create_snapshot(request))
        .map_err(|error| with_caret(&filter, error))?;
    context.out.item(&made, details)
}

async fn list(context: &Context, parent: String, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "snapshots",
        ["SNAPSHOT", "ASSETS", "LABELS", "SIZE", "CREATED", "FILTER"],
    );
    let get = async |page_size, page_token| {
        let response = call!(client.snapshots().list_snapshots(ListSnapshotsRequest {
            parent: parent.clone(),
            page_size,
            page_token
        }))?;
        Ok::<_, Failure>((response.snapshots, response.next_page_token))
    };
    page::each(limit.limit, get, |snapshots| {
        listing.page(&snapshots, |s| {
            let (assets, labels) = (s.asset_count.to_string(), s.label_count.to_string());
            [
                human::short(&s.name),
                assets,
                labels,
                human::bytes(s.size_bytes),
                human::time(s.create_time.as_ref()),
                s.filter.clone(),
            ]
        })
    })
    .await?;
    listing.finish()
}

async fn assets(context: &Context, name: &SnapshotName, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "assets",
        ["SESSION", "PATH", "TYPE", "SIZE", "LABELS"],
    );
    held(&client, name, limit.limit, |assets| {
        listing.page(&assets, |asset| {
            let labels: Vec<&str> = asset
                .labels
                .iter()
                .map(|label| label.class.as_str())
                .collect();
            let session = human::last(&asset.session).to_owned();
            [
                session,
                asset.path.clone(),
                asset.media_type.clone(),
                human::bytes(asset.size_bytes),
                labels.join(", "),
            ]
        })
    })
    .await?;
    listing.finish()
}

/// Goes through what a snapshot holds, page by page.
pub(crate) async fn held(
    client: &Client,
    name: &SnapshotName,
    limit: Option<usize>,
    each: impl FnMut(Vec<SnapshotAsset>) -> Outcome,
) -> Outcome {
    let get = async |page_size, page_token| {
        let request = ListSnapshotAssetsRequest {
            parent: name.to_string(),
            page_size,
            page_token,
        };
        let response = call!(client.snapshots().list_snapshot_assets(request))?;
        Ok((response.assets, response.next_page_token))
    };
    page::each(limit, get, each).await
}

fn details(snapshot: &Message) -> Table {
    Table::fields()
        .field("Name", &snapshot.name)
        .field("Filter", &snapshot.filter)
        .field("Assets", snapshot.asset_count.to_string())
        .field("Labels", snapshot.label_count.to_string())
        .field("Size", human::bytes(snapshot.size_bytes))
        .field("Digest", &snapshot.digest)
        .field("Author", &snapshot.author)
        .field("Created", human::time(snapshot.create_time.as_ref()))
}
