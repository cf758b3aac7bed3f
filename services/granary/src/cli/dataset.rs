//! `granary dataset`: collections of sessions.

use granary_core::layout::DatasetKind;
use granary_proto::metadata::v1::{
    CreateDatasetRequest, Dataset as Message, DatasetKind as WireKind, GetDatasetRequest,
    ListDatasetsRequest, UpdateDatasetRequest,
};

use super::context::{Context, Limit};
use crate::{
    client::{Client, call, request_id},
    failure::{Failure, Outcome},
    human, names,
    output::{Listing, Table},
    page,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Dataset {
    /// Lists datasets
    List(Limit),
    /// Shows a dataset
    Get {
        /// DATASET or its full name
        dataset: String,
    },
    /// Creates a dataset
    Create {
        /// Its id: 1 to 63 of a-z, 0-9 and `-`, starting with a letter
        dataset: String,
        /// What it holds: raw, processed, config, artifact, output or log
        #[arg(long, value_name = "KIND", default_value = "raw")]
        kind: DatasetKind,
        /// A name for people
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        display_name: String,
    },
    /// Changes a dataset
    Update {
        /// DATASET or its full name
        dataset: String,
        /// A name for people
        #[arg(long, value_name = "TEXT")]
        display_name: String,
        /// Only if its etag is still this one
        #[arg(
            long,
            value_name = "ETAG",
            default_value = "",
            hide_default_value = true
        )]
        etag: String,
    },
}

impl Dataset {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List(limit) => list(context, limit).await,
            Self::Get { dataset } => {
                let name = names::dataset(context.project(), &dataset).map_err(Failure::usage)?;
                let client = context.client().await?;
                let dataset = call!(client.datasets().get_dataset(GetDatasetRequest {
                    name: name.to_string()
                }))?;
                context.out.item(&dataset, details)
            }
            Self::Create {
                dataset,
                kind,
                display_name,
            } => {
                let name = names::dataset(context.project(), &dataset).map_err(Failure::usage)?;
                let client = context.client().await?;
                let request = CreateDatasetRequest {
                    parent: name.parent().to_string(),
                    dataset: Some(Message {
                        kind: wire(kind).into(),
                        display_name,
                        ..Message::default()
                    }),
                    dataset_id: name.dataset,
                    request_id: request_id(),
                };
                context
                    .out
                    .item(&call!(client.datasets().create_dataset(request))?, details)
            }
            Self::Update {
                dataset,
                display_name,
                etag,
            } => {
                let name = names::dataset(context.project(), &dataset)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                let request = UpdateDatasetRequest {
                    dataset: Some(Message {
                        name,
                        display_name,
                        etag,
                        ..Message::default()
                    }),
                    update_mask: Some(prost_types::FieldMask {
                        paths: vec!["display_name".into()],
                    }),
                };
                context
                    .out
                    .item(&call!(client.datasets().update_dataset(request))?, details)
            }
        }
    }
}

async fn list(context: &Context, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let parent = client.project().to_string();
    let mut listing = Listing::new(
        &context.out,
        "datasets",
        ["DATASET", "KIND", "DISPLAY NAME", "CREATED", "URI"],
    );
    let get = async |page_size, page_token| {
        let response = call!(client.datasets().list_datasets(ListDatasetsRequest {
            parent: parent.clone(),
            page_size,
            page_token
        }))?;
        Ok::<_, Failure>((response.datasets, response.next_page_token))
    };
    page::each(limit.limit, get, |datasets| {
        listing.page(&datasets, |d| {
            [
                human::short(&d.name),
                kind(d),
                d.display_name.clone(),
                human::time(d.create_time.as_ref()),
                d.uri.clone(),
            ]
        })
    })
    .await?;
    listing.finish()
}

/// Makes sure that a dataset is there; says whether it was made.
pub(crate) async fn ensure(
    client: &Client,
    name: &granary_core::name::DatasetName,
) -> granary_core::Result<bool> {
    match call!(client.datasets().get_dataset(GetDatasetRequest {
        name: name.to_string()
    })) {
        Ok(_) => Ok(false),
        Err(granary_core::Error::NotFound { .. }) => {
            let request = CreateDatasetRequest {
                parent: name.parent().to_string(),
                dataset: Some(Message {
                    kind: WireKind::Raw.into(),
                    ..Message::default()
                }),
                dataset_id: name.dataset.clone(),
                request_id: request_id(),
            };
            match call!(client.datasets().create_dataset(request)) {
                // Somebody else was faster.
                Err(granary_core::Error::AlreadyExists { .. }) => Ok(false),
                other => other.map(|_| true),
            }
        }
        Err(other) => Err(other),
    }
}

fn details(dataset: &Message) -> Table {
    Table::fields()
        .field("Name", &dataset.name)
        .field("Kind", kind(dataset))
        .field("Display name", &dataset.display_name)
        .field("URI", &dataset.uri)
        .field("Created", human::time(dataset.create_time.as_ref()))
        .field("Updated", human::time(dataset.update_time.as_ref()))
        .field("Etag", &dataset.etag)
}

fn kind(dataset: &Message) -> String {
    human::state(dataset.kind().as_str_name(), "DATASET_KIND").to_lowercase()
}

fn wire(kind: DatasetKind) -> WireKind {
    match kind {
        DatasetKind::Raw => WireKind::Raw,
        DatasetKind::Processed => WireKind::Processed,
        DatasetKind::Config => WireKind::Config,
        DatasetKind::Artifact => WireKind::Artifact,
        DatasetKind::Output => WireKind::Output,
        DatasetKind::Log => WireKind::Log,
    }
}
