//! `granary label`: annotations of assets.

use std::collections::{BTreeMap, BTreeSet};

use granary_core::{Error, name::AssetName};
use granary_proto::metadata::v1::{
    BatchGetAssetsRequest, Box as Rectangle, CreateLabelRequest, DeleteLabelRequest,
    GetLabelRequest, Label as Message, ListLabelsRequest, UpdateLabelRequest,
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
pub(crate) enum Label {
    /// Lists the labels of an asset, or of all assets of a dataset
    List {
        /// DATASET, DATASET/SESSION/PATH, DATASET/ASSET or a full name
        #[arg(required_unless_present = "dataset")]
        of: Option<String>,
        /// All of this dataset
        #[arg(long, value_name = "DATASET", conflicts_with = "of")]
        dataset: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows a label
    Get {
        /// DATASET/SESSION/PATH/LABEL, DATASET/ASSET/LABEL or its full name
        label: String,
    },
    /// Labels an asset with a class, of the whole or of a box in it
    Create {
        /// DATASET/SESSION/PATH, DATASET/ASSET or its full name
        asset: String,
        #[command(flatten)]
        says: Says,
        /// The label's id; made by the server if not given
        #[arg(
            long,
            value_name = "LABEL",
            default_value = "",
            hide_default_value = true
        )]
        id: String,
    },
    /// Changes a label; snapshots keep what they froze
    Update {
        /// DATASET/SESSION/PATH/LABEL, DATASET/ASSET/LABEL or its full name
        label: String,
        /// The class that it states
        #[arg(long, value_name = "CLASS", required_unless_present = "area")]
        class: Option<String>,
        /// Where in the image, in pixels from the upper left corner
        #[arg(long = "box", id = "area", value_name = "X,Y,WIDTH,HEIGHT", value_parser = rectangle)]
        area: Option<Rectangle>,
        /// Only if this is still the newest revision
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        revision: i64,
    },
    /// Removes a label; snapshots keep it
    Delete {
        /// DATASET/SESSION/PATH/LABEL, DATASET/ASSET/LABEL or its full name
        label: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Says {
    /// The class that it states
    #[arg(long, value_name = "CLASS")]
    class: String,
    /// Where in the image, in pixels from the upper left corner; without it the class is of the whole asset
    #[arg(long = "box", id = "area", value_name = "X,Y,WIDTH,HEIGHT", value_parser = rectangle)]
    area: Option<Rectangle>,
}

fn rectangle(text: &str) -> Result<Rectangle, String> {
    let numbers: Result<Vec<f64>, _> = text
        .split(',')
        .map(|number| number.trim().parse())
        .collect();
    match numbers.as_deref() {
        Ok(&[x, y, width, height]) => Ok(Rectangle {
            x,
            y,
            width,
            height,
        }),
        _ => Err("expected four numbers such as 10,20,64,48".into()),
    }
}

impl Label {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List { of, dataset, limit } => {
                let parent = match dataset {
                    Some(dataset) => of_dataset(context, &dataset),
                    None => parent(context, &of.unwrap_or_default()),
                };
                list(context, parent.map_err(Failure::usage)?, limit).await
            }
            Self::Get { label } => {
                let name = names::label(context.project(), &label)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                context.out.item(
                    &call!(client.labels().get_label(GetLabelRequest { name }))?,
                    details,
                )
            }
            Self::Create { asset, says, id } => create(context, &asset, says, id).await,
            Self::Update {
                label,
                class,
                area,
                revision,
            } => {
                let name = names::label(context.project(), &label)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                let set = [("class", class.is_some()), ("box", area.is_some())];
                let paths = set
                    .into_iter()
                    .filter(|(_, set)| *set)
                    .map(|(path, _)| path.to_owned())
                    .collect();
                let label = Message {
                    name,
                    class: class.unwrap_or_default(),
                    r#box: area,
                    revision,
                    ..Message::default()
                };
                let request = UpdateLabelRequest {
                    label: Some(label),
                    update_mask: Some(prost_types::FieldMask { paths }),
                };
                context
                    .out
                    .item(&call!(client.labels().update_label(request))?, details)
            }
            Self::Delete { label } => {
                let name = names::label(context.project(), &label)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                call!(client.labels().delete_label(DeleteLabelRequest { name }))?;
                context.out.note(&format!("{label} deleted"));
                Ok(())
            }
        }
    }
}

fn parent(context: &Context, of: &str) -> Result<String, Error> {
    match of.strip_prefix("projects/") {
        Some(_) if AssetName::parse(of).is_err() => of_dataset(context, of),
        None if !of.contains('/') => of_dataset(context, of),
        _ => Ok(names::asset(context.project(), of)?.to_string()),
    }
}

fn of_dataset(context: &Context, dataset: &str) -> Result<String, Error> {
    let dataset = names::dataset(context.project(), dataset)?;
    Ok(format!("{dataset}/assets/-"))
}

async fn create(context: &Context, asset: &str, says: Says, label_id: String) -> Outcome {
    let name = names::asset(context.project(), asset).map_err(Failure::usage)?;
    let client = context.client().await?;
    let request = CreateLabelRequest {
        parent: name.to_string(),
        label: Some(Message {
            class: says.class,
            r#box: says.area,
            ..Message::default()
        }),
        label_id,
        request_id: request_id(),
    };
    let label = call!(client.labels().create_label(request))
        .map_err(|error| names::asset_as_written(error, &name, asset))?;
    context.out.item(&label, details)
}

async fn list(context: &Context, parent: String, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "labels",
        ["LABEL", "CLASS", "BOX", "REVISION", "AUTHOR", "UPDATED"],
    );
    let get = async |page_size, page_token| {
        let response = call!(client.labels().list_labels(ListLabelsRequest {
            parent: parent.clone(),
            page_size,
            page_token
        }))?;
        let paths = match context.out.is_table() {
            true => paths(&client, &response.labels).await?,
            false => Paths::new(),
        };
        let labels = response.labels.into_iter();
        let labels = labels.map(|label| (path_of(&label, &paths), label));
        Ok::<_, Failure>((labels.collect(), response.next_page_token))
    };
    page::each(limit.limit, get, |labels: Vec<(String, Message)>| {
        let (shown, labels): (Vec<_>, Vec<_>) = labels.into_iter().unzip();
        let mut shown = shown.into_iter();
        listing.page(&labels, |label| {
            let updated = human::time(label.update_time.as_ref());
            [
                shown.next().unwrap_or_default(),
                label.class.clone(),
                area(label),
                label.revision.to_string(),
                label.author.clone(),
                updated,
            ]
        })
    })
    .await?;
    listing.finish()
}

/// Where assets are, by their names.
type Paths = BTreeMap<String, String>;

async fn paths(client: &Client, labels: &[Message]) -> Outcome<Paths> {
    let names: BTreeSet<String> = labels
        .iter()
        .filter_map(|label| Some(label.name.split_once("/labels/")?.0.to_owned()))
        .collect();
    if names.is_empty() {
        return Ok(Paths::new());
    }
    let request = BatchGetAssetsRequest {
        parent: client.project().to_string(),
        names: names.into_iter().collect(),
    };
    let answer = call!(client.assets().batch_get_assets(request))?;
    let assets = answer.assets.into_iter();
    Ok(assets
        .map(|asset| {
            let path = format!("{}/{}", human::short(&asset.session), asset.path);
            (asset.name, path)
        })
        .collect())
}

// As the other commands take it.
fn path_of(label: &Message, paths: &Paths) -> String {
    label
        .name
        .split_once("/labels/")
        .and_then(|(asset, label)| Some(format!("{}/{label}", paths.get(asset)?)))
        .unwrap_or_else(|| human::short(&label.name))
}

fn area(label: &Message) -> String {
    label
        .r#box
        .map(|b| format!("{},{},{},{}", b.x, b.y, b.width, b.height))
        .unwrap_or_default()
}

fn details(label: &Message) -> Table {
    Table::fields()
        .field("Name", &label.name)
        .field("Class", &label.class)
        .field("Box", area(label))
        .field("Revision", label.revision.to_string())
        .field("Author", &label.author)
        .field("Created", human::time(label.create_time.as_ref()))
        .field("Updated", human::time(label.update_time.as_ref()))
}
