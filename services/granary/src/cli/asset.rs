//! `granary asset`: files and what is known of them.

use granary_proto::metadata::v1::{Asset as Message, GetAssetRequest};

use super::{
    context::{Context, Limit},
    nothing,
    query::matching,
};
use crate::{
    client::call,
    failure::{Failure, Outcome},
    human, names,
    output::{Listing, Table},
    show,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Asset {
    /// Lists assets
    List {
        /// Only of this dataset
        #[arg(long, value_name = "DATASET", conflicts_with = "session")]
        dataset: Option<String>,
        /// Only of this session
        #[arg(long, value_name = "DATASET/SESSION")]
        session: Option<String>,
        /// Only what matches, as in granary query
        #[arg(
            long,
            value_name = "FILTER",
            default_value = "",
            hide_default_value = true
        )]
        filter: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows an asset
    Get {
        /// DATASET/SESSION/PATH, DATASET/ASSET or its full name
        asset: String,
    },
}

pub(crate) const HEADERS: [&str; 6] = ["DATASET", "SESSION", "PATH", "TYPE", "SIZE", "STATE"];

impl Asset {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List {
                dataset,
                session: Some(session),
                filter,
                limit,
            } => {
                let name = names::session(context.project(), &session).map_err(Failure::usage)?;
                let of_session = format!("session = \"{}\"", name.session);
                let filter = if filter.is_empty() {
                    of_session
                } else {
                    format!("({filter}) AND {of_session}")
                };
                debug_assert!(dataset.is_none());
                list(context, &name.parent().to_string(), &filter, limit).await
            }
            Self::List {
                dataset,
                session: None,
                filter,
                limit,
            } => {
                let parent = names::dataset_scope(context.project(), dataset.as_deref())
                    .map_err(Failure::usage)?;
                list(context, &parent, &filter, limit).await
            }
            Self::Get { asset: written } => {
                let name = names::asset(context.project(), &written).map_err(Failure::usage)?;
                let client = context.client().await?;
                let asset = call!(client.assets().get_asset(GetAssetRequest {
                    name: name.to_string()
                }))
                .map_err(|error| names::asset_as_written(error, &name, &written))?;
                context.out.item(&asset, details)
            }
        }
    }
}

async fn list(context: &Context, parent: &str, filter: &str, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(&context.out, "assets", HEADERS);
    matching(&client, parent, filter, limit.limit, |assets| {
        listing.page(&assets, row)
    })
    .await?;
    let found = !listing.is_empty();
    listing.finish()?;
    if !found {
        nothing::explain(&client, &context.out, parent, filter).await;
    }
    Ok(())
}

/// An asset as a row of a table.
pub(crate) fn row(asset: &Message) -> [String; 6] {
    let session = human::short(&asset.session);
    let (dataset, session) = session.split_once('/').unwrap_or_default();
    [
        dataset.to_owned(),
        session.to_owned(),
        asset.path.clone(),
        asset.media_type.clone(),
        human::bytes(asset.size_bytes),
        state(asset).to_owned(),
    ]
}

fn state(asset: &Message) -> &'static str {
    human::state(asset.state().as_str_name(), "ASSET_STATE")
}

fn details(asset: &Message) -> Table {
    let table = Table::fields()
        .field("Name", &asset.name)
        .field("Session", &asset.session)
        .field("Path", &asset.path)
        .field("State", state(asset))
        .field("Type", &asset.media_type)
        .field("Size", human::bytes(asset.size_bytes))
        .field("SHA-256", &asset.sha256)
        .field("URI", &asset.uri)
        .field("Producer", &asset.producer)
        .field("Derived from", asset.derived_from.join(", "))
        .field("Created", human::time(asset.create_time.as_ref()))
        .field("Updated", human::time(asset.update_time.as_ref()));
    show::errors(show::attributes(table, &asset.attributes), &asset.errors)
}
