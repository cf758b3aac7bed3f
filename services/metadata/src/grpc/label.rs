//! LabelService.

use granary_core::{
    Error, Result,
    name::{AssetName, DatasetName, LabelName, quote},
};
use granary_proto::metadata::v1::{
    Box as WireBox, CreateLabelRequest, DeleteLabelRequest, GetLabelRequest, Label as WireLabel,
    ListLabelsRequest, ListLabelsResponse, UpdateLabelRequest, label_service_server::LabelService,
};
use granary_runtime::rpc::{principal, required};
use tonic::{Request, Response, Status};

use super::{name, paged, paging, reply, time, with_id};
use crate::{
    check,
    label::{Change, Labels, NewLabel},
    store::{
        label::{Area, Label},
        request,
    },
};

#[derive(Clone)]
pub(super) struct Handler {
    pub labels: Labels,
}

/// A label on the wire.
pub(super) fn wire(label: Label) -> WireLabel {
    WireLabel {
        name: label.name.to_string(),
        class: label.class,
        r#box: label.area.map(|a| WireBox {
            x: a.x,
            y: a.y,
            width: a.width,
            height: a.height,
        }),
        author: label.author,
        revision: label.revision,
        create_time: time(label.created),
        update_time: time(label.updated),
    }
}

fn parse_class(class: String) -> Result<String> {
    if class.is_empty() {
        return Err(Error::invalid(
            "label.class",
            "expected 1 to 256 bytes, got nothing",
        ));
    }
    check::text("label.class", &class, 256)?;
    Ok(class)
}

fn parse_box(area: Option<WireBox>) -> Result<Option<Area>> {
    let Some(WireBox {
        x,
        y,
        width,
        height,
    }) = area
    else {
        return Ok(None);
    };
    for (field, value, ok) in [
        ("x", x, x >= 0.0),
        ("y", y, y >= 0.0),
        ("width", width, width > 0.0),
        ("height", height, height > 0.0),
    ] {
        if !ok || !value.is_finite() {
            let least = if matches!(field, "x" | "y") {
                "0 or more"
            } else {
                "more than 0"
            };
            return Err(Error::invalid(
                format!("label.box.{field}"),
                format!("expected {least} pixels, got {value}"),
            ));
        }
    }
    Ok(Some(Area {
        x,
        y,
        width,
        height,
    }))
}

fn parse(request: CreateLabelRequest, author: String) -> Result<NewLabel> {
    let parent: AssetName = name("parent", &request.parent)?;
    let label = required("label", request.label)?;
    let chosen = (!request.label_id.is_empty())
        .then(|| {
            LabelName::new(
                &parent.project,
                &parent.dataset,
                &parent.asset,
                request.label_id,
            )
        })
        .transpose();
    Ok(NewLabel {
        parent,
        name: with_id("label_id", chosen)?,
        class: parse_class(label.class)?,
        area: parse_box(label.r#box)?,
        author,
        request: request::parse(&request.request_id)?,
    })
}

fn parse_change(request: UpdateLabelRequest, author: String) -> Result<Change> {
    let label = required("label", request.label)?;
    let mask = request.update_mask.unwrap_or_default().paths;
    if let Some(path) = mask
        .iter()
        .find(|path| !matches!(path.as_str(), "class" | "box" | "*"))
    {
        return Err(Error::invalid(
            "update_mask",
            format!(
                "expected class and box, which are all that can change, got {}",
                quote(path)
            ),
        ));
    }
    let named =
        |field: &str| mask.is_empty() || mask.iter().any(|path| path == field || path == "*");
    Ok(Change {
        name: name("label.name", &label.name)?,
        class: named("class")
            .then(|| parse_class(label.class))
            .transpose()?,
        area: named("box").then(|| parse_box(label.r#box)).transpose()?,
        revision: label.revision,
        author,
    })
}

/// The dataset, and one asset of it or all of them.
fn parse_parent(parent: &str) -> Result<(DatasetName, Option<AssetName>)> {
    if let Some(dataset) = parent.strip_suffix("/assets/-") {
        return Ok((name("parent", dataset)?, None));
    }
    let asset: AssetName = name("parent", parent)?;
    Ok((asset.parent(), Some(asset)))
}

#[tonic::async_trait]
impl LabelService for Handler {
    async fn create_label(
        &self,
        request: Request<CreateLabelRequest>,
    ) -> Result<Response<WireLabel>, Status> {
        let author = principal(&request)?.subject.to_string();
        reply(async {
            Ok(wire(
                self.labels
                    .create(parse(request.into_inner(), author)?)
                    .await?,
            ))
        })
        .await
    }

    async fn get_label(
        &self,
        request: Request<GetLabelRequest>,
    ) -> Result<Response<WireLabel>, Status> {
        reply(async {
            Ok(wire(
                self.labels
                    .get(&name("name", &request.get_ref().name)?)
                    .await?,
            ))
        })
        .await
    }

    async fn list_labels(
        &self,
        request: Request<ListLabelsRequest>,
    ) -> Result<Response<ListLabelsResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let (dataset, asset) = parse_parent(&request.parent)?;
            let question = ["ListLabels", &request.parent];
            let start = paging(&question, request.page_size, &request.page_token)?;
            let page = self
                .labels
                .list(&dataset, asset.as_ref(), start, wire)
                .await?;
            let (labels, next_page_token) = paged(&question, page)?;
            Ok(ListLabelsResponse {
                labels,
                next_page_token,
            })
        })
        .await
    }

    async fn update_label(
        &self,
        request: Request<UpdateLabelRequest>,
    ) -> Result<Response<WireLabel>, Status> {
        let author = principal(&request)?.subject.to_string();
        reply(async {
            Ok(wire(
                self.labels
                    .update(parse_change(request.into_inner(), author)?)
                    .await?,
            ))
        })
        .await
    }

    async fn delete_label(
        &self,
        request: Request<DeleteLabelRequest>,
    ) -> Result<Response<()>, Status> {
        reply(async {
            self.labels
                .delete(name("name", &request.get_ref().name)?)
                .await
        })
        .await
    }
}
