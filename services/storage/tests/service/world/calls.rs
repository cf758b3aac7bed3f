//! Calls that tests make often.

use granary_core::name::{AssetName, SessionName};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    metadata::v1::{
        Asset, BatchGetAssetsRequest, CompleteSessionRequest, CreateDatasetRequest,
        CreateSessionRequest, Dataset, DatasetKind, asset_service_client::AssetServiceClient,
        dataset_service_client::DatasetServiceClient, session_service_client::SessionServiceClient,
    },
    storage::v1::{
        BatchCompleteUploadsRequest, BatchCreateUploadsRequest, CompleteUploadRequest,
        CompleteUploadResult, Upload, UploadRequest,
        download_service_client::DownloadServiceClient, upload_service_client::UploadServiceClient,
    },
};
use granary_runtime::Link;
use granary_transfer::{Downloaded, Item, Uploaded, Wanted};
use tonic::{Code, Status};

use super::{World, project, session, sha256};

impl World {
    pub(crate) fn uploads(&self) -> UploadServiceClient<Link> {
        UploadServiceClient::new(self.link.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn downloads(&self) -> DownloadServiceClient<Link> {
        DownloadServiceClient::new(self.link.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn assets(&self) -> AssetServiceClient<Link> {
        AssetServiceClient::new(self.metadata.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Link> {
        SessionServiceClient::new(self.metadata.clone())
    }

    /// Makes the dataset and opens a session in it.
    pub(crate) async fn open(&self, id: &str) -> SessionName {
        let request = CreateDatasetRequest {
            parent: project().to_string(),
            dataset: Some(Dataset {
                kind: DatasetKind::Raw.into(),
                ..Dataset::default()
            }),
            dataset_id: "recordings".into(),
            ..CreateDatasetRequest::default()
        };
        let created = DatasetServiceClient::new(self.metadata.clone())
            .create_dataset(request)
            .await;
        assert!(
            created
                .as_ref()
                .err()
                .is_none_or(|status| status.code() == Code::AlreadyExists),
            "{created:?}"
        );
        let name = session(id);
        let request = CreateSessionRequest {
            parent: name.parent().to_string(),
            session_id: id.into(),
            ..CreateSessionRequest::default()
        };
        self.sessions().create_session(request).await.unwrap();
        name
    }

    pub(crate) async fn complete_session(&self, session: &SessionName) {
        let request = CompleteSessionRequest {
            name: session.to_string(),
            asset_count: 0,
        };
        self.sessions().complete_session(request).await.unwrap();
    }

    pub(crate) async fn create(
        &self,
        session: &SessionName,
        files: &[(&str, &[u8])],
    ) -> Result<Vec<Upload>, Status> {
        let requests = files
            .iter()
            .map(|(path, bytes)| request(path, bytes))
            .collect();
        let request = BatchCreateUploadsRequest {
            parent: session.to_string(),
            requests,
        };
        Ok(self
            .uploads()
            .batch_create_uploads(request)
            .await?
            .into_inner()
            .uploads)
    }

    pub(crate) async fn complete(
        &self,
        session: &SessionName,
        uploads: &[Upload],
    ) -> Vec<CompleteUploadResult> {
        let requests = uploads
            .iter()
            .map(|upload| CompleteUploadRequest {
                name: upload.name.clone(),
            })
            .collect();
        let request = BatchCompleteUploadsRequest {
            parent: session.parent().to_string(),
            requests,
        };
        self.uploads()
            .batch_complete_uploads(request)
            .await
            .unwrap()
            .into_inner()
            .results
    }

    pub(crate) async fn send(&self, session: &SessionName, items: Vec<Item>) -> Uploaded {
        self.uploader()
            .upload(session, items, &granary_transfer::NoProgress)
            .await
            .unwrap()
    }

    pub(crate) async fn asset(&self, session: &SessionName, path: &str) -> Asset {
        let request = BatchGetAssetsRequest {
            parent: project().to_string(),
            names: vec![session.asset(path).to_string()],
        };
        self.assets()
            .batch_get_assets(request)
            .await
            .unwrap()
            .into_inner()
            .assets
            .remove(0)
    }

    pub(crate) fn wanted(&self, asset: AssetName, name: &str, bytes: &[u8]) -> Wanted {
        Wanted {
            asset,
            to: self.folder.path().join("out").join(name),
            size_bytes: bytes.len() as u64,
            sha256: sha256(bytes),
        }
    }

    pub(crate) async fn fetch(&self, wanted: Vec<Wanted>) -> Downloaded {
        self.downloader()
            .download(&project(), wanted, &granary_transfer::NoProgress)
            .await
            .unwrap()
    }
}

pub(crate) fn request(path: &str, bytes: &[u8]) -> UploadRequest {
    UploadRequest {
        path: path.into(),
        size_bytes: i64::try_from(bytes.len()).unwrap(),
        sha256: sha256(bytes),
        ..UploadRequest::default()
    }
}
