//! SnapshotService.

use granary_core::{
    Result, id,
    layout::DatasetKind,
    name::{DatasetName, DatasetScope, SnapshotName},
};
use granary_proto::metadata::v1::{
    CreateSnapshotRequest, GetSnapshotRequest, ListSnapshotAssetsRequest,
    ListSnapshotAssetsResponse, ListSnapshotsRequest, ListSnapshotsResponse,
    Snapshot as WireSnapshot, SnapshotAsset, snapshot_service_server::SnapshotService,
};
use granary_runtime::{rpc::principal, task::Tasks};
use tonic::{Request, Response, Status};

use super::{label, name, paged, paging, reply, time, with_id};
use crate::{
    Context,
    snapshot::{self, NewSnapshot},
    store::{
        filter::{self, ASSETS},
        frozen::Frozen,
        label::Label,
        request,
        snapshot::Snapshot,
    },
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub tasks: Tasks,
}

fn parse(request: CreateSnapshotRequest, author: String) -> Result<NewSnapshot> {
    let parent: DatasetName = name("parent", &request.parent)?;
    let text = request.snapshot.unwrap_or_default().filter;
    let chosen = !request.snapshot_id.is_empty();
    let snapshot = if chosen {
        request.snapshot_id
    } else {
        id::new("s")
    };
    Ok(NewSnapshot {
        name: with_id(
            "snapshot_id",
            SnapshotName::new(parent.project, parent.dataset, snapshot),
        )?,
        chosen,
        filter: filter::parse(&text, &ASSETS).map_err(|error| error.within("snapshot"))?,
        text,
        author,
        request: request::parse(&request.request_id)?,
    })
}

fn wire(snapshot: Snapshot) -> WireSnapshot {
    WireSnapshot {
        name: snapshot.name.to_string(),
        filter: snapshot.filter,
        digest: snapshot.digest,
        asset_count: snapshot.asset_count,
        label_count: snapshot.label_count,
        size_bytes: snapshot.size_bytes,
        create_time: time(snapshot.created),
        author: snapshot.author,
    }
}

impl Handler {
    fn wire_asset(&self, asset: Frozen, kind: DatasetKind, labels: Vec<Label>) -> SnapshotAsset {
        let session = granary_core::name::SessionName {
            project: asset.name.project.clone(),
            dataset: asset.name.dataset.clone(),
            session: asset.session,
        };
        SnapshotAsset {
            asset: asset.name.to_string(),
            session: session.to_string(),
            uri: self.context.layout.asset_uri(kind, &session, &asset.path),
            path: asset.path,
            media_type: asset.media_type,
            size_bytes: asset.size_bytes,
            sha256: asset.sha256,
            labels: labels.into_iter().map(label::wire).collect(),
        }
    }
}

#[tonic::async_trait]
impl SnapshotService for Handler {
    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<WireSnapshot>, Status> {
        let author = principal(&request)?.subject.to_string();
        reply(async {
            let new = parse(request.into_inner(), author)?;
            Ok(wire(
                snapshot::create(&self.context, &self.tasks, new).await?,
            ))
        })
        .await
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<WireSnapshot>, Status> {
        reply(async {
            Ok(wire(
                snapshot::get(&self.context, &name("name", &request.get_ref().name)?).await?,
            ))
        })
        .await
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let scope =
                DatasetScope::parse(&request.parent).map_err(|error| error.within("parent"))?;
            let question = ["ListSnapshots", &request.parent];
            let start = paging(&question, request.page_size, &request.page_token)?;
            let (snapshots, next_page_token) = paged(
                &question,
                snapshot::list(&self.context, &scope, start, wire).await?,
            )?;
            Ok(ListSnapshotsResponse {
                snapshots,
                next_page_token,
            })
        })
        .await
    }

    async fn list_snapshot_assets(
        &self,
        request: Request<ListSnapshotAssetsRequest>,
    ) -> Result<Response<ListSnapshotAssetsResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let parent = name("parent", &request.parent)?;
            let question = ["ListSnapshotAssets", &request.parent];
            let start = paging(&question, request.page_size, &request.page_token)?;
            let wire = |asset, kind, labels| self.wire_asset(asset, kind, labels);
            let (assets, next_page_token) = paged(
                &question,
                snapshot::assets(&self.context, &parent, start, wire).await?,
            )?;
            Ok(ListSnapshotAssetsResponse {
                assets,
                next_page_token,
            })
        })
        .await
    }
}
