//! Asking for URLs.

use granary_core::{Error, Result};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    storage::v1::{
        BatchCreateDownloadsRequest, SignedRequest, download_service_client::DownloadServiceClient,
    },
};

use super::{Run, Wanted};
use crate::retry;

impl Run<'_> {
    /// URLs for a batch of files.
    pub(super) async fn sign(
        &self,
        files: Vec<Result<Wanted>>,
    ) -> Result<Vec<(Wanted, SignedRequest)>> {
        let files = files.into_iter().collect::<Result<Vec<_>>>()?;
        let gets = self
            .urls(files.iter().map(|file| file.asset.to_string()).collect())
            .await?;
        Ok(files.into_iter().zip(gets).collect())
    }

    /// A new URL for a file whose URL ended.
    pub(super) async fn sign_again(&self, file: &Wanted) -> Result<SignedRequest> {
        let gets = self.urls(vec![file.asset.to_string()]).await?;
        gets.into_iter().next().ok_or_else(|| {
            Error::internal("signing a download", "the server did not answer for it")
        })
    }

    async fn urls(&self, assets: Vec<String>) -> Result<Vec<SignedRequest>> {
        let count = assets.len();
        let request = BatchCreateDownloadsRequest {
            parent: self.project.to_string(),
            assets,
        };
        let answer = retry::call(self.downloader.options.patience, || {
            let mut client = DownloadServiceClient::new(self.downloader.storage.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES);
            let request = request.clone();
            async move { client.batch_create_downloads(request).await }
        });
        let gets: Vec<SignedRequest> = answer
            .await?
            .downloads
            .into_iter()
            .filter_map(|download| download.get)
            .collect();
        if gets.len() == count {
            Ok(gets)
        } else {
            Err(Error::internal(
                "signing downloads",
                "the server did not answer for each of them",
            ))
        }
    }
}
