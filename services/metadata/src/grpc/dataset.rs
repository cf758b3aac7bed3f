//! DatasetService.

use granary_core::{
    Error, Result,
    layout::DatasetKind,
    name::{DatasetName, ProjectName, quote},
};
use granary_proto::metadata::v1::{
    CreateDatasetRequest, Dataset as WireDataset, DatasetKind as WireKind, GetDatasetRequest,
    ListDatasetsRequest, ListDatasetsResponse, UpdateDatasetRequest,
    dataset_service_server::DatasetService,
};
use granary_runtime::rpc::required;
use tonic::{Request, Response, Status};

use super::{name, paged, paging, reply, time, with_id};
use crate::{
    Context, check,
    dataset::{self, Change, NewDataset},
    lane::Lane,
    store::{dataset::Dataset, request},
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub lane: Lane,
}

fn parse_kind(kind: i32) -> Result<Option<DatasetKind>> {
    Ok(Some(match WireKind::try_from(kind) {
        Ok(WireKind::Unspecified) => return Ok(None),
        Ok(WireKind::Raw) => DatasetKind::Raw,
        Ok(WireKind::Processed) => DatasetKind::Processed,
        Ok(WireKind::Config) => DatasetKind::Config,
        Ok(WireKind::Artifact) => DatasetKind::Artifact,
        Ok(WireKind::Output) => DatasetKind::Output,
        Ok(WireKind::Log) => DatasetKind::Log,
        Err(_) => {
            return Err(Error::invalid(
                "dataset.kind",
                format!("expected a kind of dataset, got {kind}"),
            ));
        }
    }))
}

fn wire_kind(kind: DatasetKind) -> WireKind {
    match kind {
        DatasetKind::Raw => WireKind::Raw,
        DatasetKind::Processed => WireKind::Processed,
        DatasetKind::Config => WireKind::Config,
        DatasetKind::Artifact => WireKind::Artifact,
        DatasetKind::Output => WireKind::Output,
        DatasetKind::Log => WireKind::Log,
    }
}

fn parse(request: CreateDatasetRequest) -> Result<NewDataset> {
    let parent: ProjectName = name("parent", &request.parent)?;
    let dataset = request.dataset.unwrap_or_default();
    check::text("dataset.display_name", &dataset.display_name, 256)?;
    Ok(NewDataset {
        name: with_id(
            "dataset_id",
            DatasetName::new(parent.project, request.dataset_id),
        )?,
        kind: parse_kind(dataset.kind)?.unwrap_or(DatasetKind::Raw),
        display_name: dataset.display_name,
        request: request::parse(&request.request_id)?,
    })
}

fn parse_change(request: UpdateDatasetRequest) -> Result<Change> {
    let dataset = required("dataset", request.dataset)?;
    check::text("dataset.display_name", &dataset.display_name, 256)?;
    let mask = request.update_mask.unwrap_or_default().paths;
    if let Some(path) = mask
        .iter()
        .find(|path| !matches!(path.as_str(), "display_name" | "*"))
    {
        return Err(Error::invalid(
            "update_mask",
            format!(
                "expected display_name, which is all that can change, got {}",
                quote(path)
            ),
        ));
    }
    let named = !mask.is_empty() || !dataset.display_name.is_empty();
    Ok(Change {
        name: name("dataset.name", &dataset.name)?,
        display_name: named.then_some(dataset.display_name),
        kind: parse_kind(dataset.kind)?.filter(|_| mask.is_empty()),
        etag: dataset.etag,
    })
}

impl Handler {
    fn wire(&self, dataset: Dataset) -> WireDataset {
        WireDataset {
            name: dataset.name.to_string(),
            kind: wire_kind(dataset.kind).into(),
            uri: self.context.layout.dataset_uri(
                dataset.kind,
                &dataset.name.project,
                &dataset.name.dataset,
            ),
            create_time: time(dataset.created),
            update_time: time(dataset.updated),
            etag: dataset.etag(),
            display_name: dataset.display_name,
        }
    }
}

#[tonic::async_trait]
impl DatasetService for Handler {
    async fn create_dataset(
        &self,
        request: Request<CreateDatasetRequest>,
    ) -> Result<Response<WireDataset>, Status> {
        reply(async {
            Ok(self.wire(dataset::create(&self.lane, parse(request.into_inner())?).await?))
        })
        .await
    }

    async fn get_dataset(
        &self,
        request: Request<GetDatasetRequest>,
    ) -> Result<Response<WireDataset>, Status> {
        reply(async {
            Ok(self
                .wire(dataset::get(&self.context, &name("name", &request.get_ref().name)?).await?))
        })
        .await
    }

    async fn list_datasets(
        &self,
        request: Request<ListDatasetsRequest>,
    ) -> Result<Response<ListDatasetsResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let parent = name("parent", &request.parent)?;
            let question = ["ListDatasets", &request.parent];
            let (size, last) = paging(&question, request.page_size, &request.page_token)?;
            let page = dataset::list(&self.context, &parent, size, last, |dataset| {
                self.wire(dataset)
            })
            .await?;
            let (datasets, next_page_token) = paged(&question, page)?;
            Ok(ListDatasetsResponse {
                datasets,
                next_page_token,
            })
        })
        .await
    }

    async fn update_dataset(
        &self,
        request: Request<UpdateDatasetRequest>,
    ) -> Result<Response<WireDataset>, Status> {
        reply(async {
            Ok(self.wire(dataset::update(&self.lane, parse_change(request.into_inner())?).await?))
        })
        .await
    }
}
