//! `granary query`: finds assets.

use granary_proto::metadata::v1::{Asset, ListAssetsRequest};

use super::{asset, context::Context, nothing};
use crate::{
    client::{Client, call},
    failure::{Failure, Outcome, with_caret},
    names,
    output::Listing,
    page,
};

/// Finds assets
///
/// The filter (AIP-160) is over dataset, session, path, media_type, size_bytes, sha256, state, create_time, update_time,
/// producer, attributes.NAME (the asset's, or else its session's), session.attributes.NAME, session.state and labels.class.
///
/// For example: granary query 'attributes.fatigue > 3 AND attributes.hardware_model = "X2" AND media_type = "image/*"'
#[derive(Debug, clap::Args)]
pub(crate) struct Query {
    /// What to look for; all if empty
    #[arg(default_value = "", hide_default_value = true)]
    filter: String,
    /// Only in this dataset
    #[arg(long, value_name = "DATASET")]
    dataset: Option<String>,
    /// At most this many; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Prints only how many there are
    #[arg(long, conflicts_with = "limit")]
    count: bool,
    /// Prints only where the bytes lie, one s3:// address a line
    #[arg(long, conflicts_with = "count")]
    uris: bool,
    /// With --uris: ends each address with a NUL instead of a line break, for xargs -0
    #[arg(long, short = '0', requires = "uris")]
    null: bool,
}

impl Query {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let parent = names::dataset_scope(context.project(), self.dataset.as_deref())
            .map_err(Failure::usage)?;
        let client = context.client().await?;
        let out = &context.out;
        if self.count {
            let mut total = 0_usize;
            matching(&client, &parent, &self.filter, None, |assets| {
                total += assets.len();
                Ok(())
            })
            .await?;
            if total == 0 {
                nothing::explain(&client, out, &parent, &self.filter).await;
            }
            return match out.is_table() {
                true => out.line(&total.to_string()),
                false => out.document(&serde_json::json!({ "count": total })),
            };
        }
        if self.uris {
            let end = if self.null { "\0" } else { "\n" };
            let text = |assets: Vec<Asset>| {
                assets
                    .iter()
                    .map(|asset| format!("{}{end}", asset.uri))
                    .collect::<String>()
            };
            let mut found = false;
            matching(&client, &parent, &self.filter, self.limit, |assets| {
                found |= !assets.is_empty();
                out.print(&text(assets))
            })
            .await?;
            if !found {
                nothing::explain(&client, out, &parent, &self.filter).await;
            }
            return Ok(());
        }
        let mut listing = Listing::new(out, "assets", asset::HEADERS);
        matching(&client, &parent, &self.filter, self.limit, |assets| {
            listing.page(&assets, asset::row)
        })
        .await?;
        let found = !listing.is_empty();
        listing.finish()?;
        if !found {
            nothing::explain(&client, out, &parent, &self.filter).await;
        }
        Ok(())
    }
}

/// Goes through the assets that match a filter, page by page.
pub(crate) async fn matching(
    client: &Client,
    parent: &str,
    filter: &str,
    limit: Option<usize>,
    each: impl FnMut(Vec<Asset>) -> Outcome,
) -> Outcome {
    let get = async |page_size, page_token| {
        let request = ListAssetsRequest {
            parent: parent.to_owned(),
            page_size,
            page_token,
            filter: filter.to_owned(),
        };
        let response = call!(client.assets().list_assets(request))
            .map_err(|error| with_caret(filter, error))?;
        Ok((response.assets, response.next_page_token))
    };
    page::each(limit, get, each).await
}
