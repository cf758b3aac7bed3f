//! AssetService.

mod parse;

use granary_core::{
    Error, Result,
    name::{AssetName, DatasetScope},
};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    convert::{wire_attributes, wire_report},
    metadata::v1::{
        Asset as WireAsset, AssetState as WireState, AssetStateResult, BatchCreateAssetsRequest,
        BatchCreateAssetsResponse, BatchGetAssetsRequest, BatchGetAssetsResponse,
        BatchUpdateAssetStatesRequest, BatchUpdateAssetStatesResponse, GetAssetRequest,
        ListAssetsRequest, ListAssetsResponse, asset_service_server::AssetService,
    },
};
use granary_runtime::rpc::to_item;
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{name, paged, paging, reply, time};
use crate::{
    Context,
    asset::Assets,
    state::asset::State,
    store::{
        asset::Asset,
        filter::{self, ASSETS},
    },
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub assets: Assets,
}

fn wire_state(state: State) -> WireState {
    match state {
        State::Pending => WireState::Pending,
        State::Uploaded => WireState::Uploaded,
        State::Validating => WireState::Validating,
        State::Ready => WireState::Ready,
        State::Rejected => WireState::Rejected,
    }
}

fn wire_result(result: Result<State>) -> AssetStateResult {
    match result {
        Ok(state) => AssetStateResult {
            state: wire_state(state).into(),
            error: None,
        },
        Err(error) => AssetStateResult {
            state: WireState::Unspecified.into(),
            error: Some(to_item(error)),
        },
    }
}

impl Handler {
    fn wire(&self, asset: Asset) -> WireAsset {
        let session = asset.session_name();
        WireAsset {
            name: asset.name.to_string(),
            session: session.to_string(),
            uri: self
                .context
                .layout
                .asset_uri(asset.kind, &session, &asset.path),
            path: asset.path,
            media_type: asset.media_type,
            size_bytes: asset.size_bytes,
            sha256: asset.sha256,
            state: wire_state(asset.state).into(),
            attributes: wire_attributes(asset.attributes),
            errors: wire_report(asset.errors),
            derived_from: asset.derived_from,
            producer: asset.producer,
            create_time: time(asset.created),
            update_time: time(asset.updated),
        }
    }

    /// All of them, if one message can hold them.
    fn wire_all(&self, assets: Vec<Asset>) -> Result<Vec<WireAsset>> {
        let assets: Vec<_> = assets.into_iter().map(|asset| self.wire(asset)).collect();
        // A few bytes go to the frame of each.
        let bytes: usize = assets.iter().map(|asset| asset.encoded_len() + 8).sum();
        if bytes > MAX_MESSAGE_BYTES {
            return Err(Error::Exhausted {
                reason: "the answer is too large: ask for fewer assets at once".into(),
                retry_after: None,
                quota_of: None,
            });
        }
        Ok(assets)
    }
}

#[tonic::async_trait]
impl AssetService for Handler {
    async fn get_asset(
        &self,
        request: Request<GetAssetRequest>,
    ) -> Result<Response<WireAsset>, Status> {
        let get = |name: AssetName| self.assets.get(name);
        reply(async { Ok(self.wire(get(name("name", &request.get_ref().name)?).await?)) }).await
    }

    async fn batch_get_assets(
        &self,
        request: Request<BatchGetAssetsRequest>,
    ) -> Result<Response<BatchGetAssetsResponse>, Status> {
        reply(async {
            let assets = self
                .assets
                .get_all(parse::names(request.get_ref())?)
                .await?;
            Ok(BatchGetAssetsResponse {
                assets: self.wire_all(assets)?,
            })
        })
        .await
    }

    async fn list_assets(
        &self,
        request: Request<ListAssetsRequest>,
    ) -> Result<Response<ListAssetsResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let scope =
                DatasetScope::parse(&request.parent).map_err(|error| error.within("parent"))?;
            let filter = filter::parse(&request.filter, &ASSETS)?;
            let question = ["ListAssets", &request.parent, &request.filter];
            let start = paging(&question, request.page_size, &request.page_token)?;
            let page = self
                .assets
                .list(scope, filter, start, |asset| self.wire(asset))
                .await?;
            let (assets, next_page_token) = paged(&question, page)?;
            Ok(ListAssetsResponse {
                assets,
                next_page_token,
            })
        })
        .await
    }

    async fn batch_create_assets(
        &self,
        request: Request<BatchCreateAssetsRequest>,
    ) -> Result<Response<BatchCreateAssetsResponse>, Status> {
        reply(async {
            let assets = self
                .assets
                .register(parse::registration(request.into_inner())?)
                .await?;
            Ok(BatchCreateAssetsResponse {
                assets: self.wire_all(assets)?,
            })
        })
        .await
    }

    async fn batch_update_asset_states(
        &self,
        request: Request<BatchUpdateAssetStatesRequest>,
    ) -> Result<Response<BatchUpdateAssetStatesResponse>, Status> {
        reply(async {
            let results = self
                .assets
                .update(parse::update(request.into_inner())?)
                .await?;
            Ok(BatchUpdateAssetStatesResponse {
                results: results.into_iter().map(wire_result).collect(),
            })
        })
        .await
    }
}
