//! Confirming what was sent.

use granary_core::{Error, Result};
use granary_proto::storage::v1::{
    BatchCompleteUploadsRequest, CompleteUploadRequest, CompleteUploadResult,
};
use granary_runtime::rpc::from_item;

use super::{
    File, named,
    run::{Lost, Run, Sent},
};
use crate::retry::{self, Patience};

impl Run<'_> {
    /// Has the store confirm files; those that it does not have come back.
    pub(super) async fn confirm(&self, batch: Vec<Sent>) -> Result<Lost> {
        let (mut lost, mut waiting) = (Vec::new(), Vec::new());
        for sent in batch {
            match sent {
                Sent::Arrived(file, name) => waiting.push((file, name)),
                Sent::Lost(file, error) => lost.push((file, error)),
            }
        }
        let mut patience = Patience::new(self.options.patience);
        while !waiting.is_empty() {
            let results = self.complete(&waiting).await?;
            let mut again = Vec::new();
            let mut last = None;
            for ((file, name), result) in waiting.into_iter().zip(results) {
                match result.error.map(from_item) {
                    None => self.count_file(&file.item.path),
                    Some(error) if error.is_transient() => {
                        last = Some(named(&file.item.path, error));
                        again.push((file, name));
                    }
                    Some(
                        error @ (Error::DataLoss { .. }
                        | Error::Precondition { .. }
                        | Error::NotFound { .. }),
                    ) => lost.push((file, error)),
                    Some(error) => return Err(named(&file.item.path, error)),
                }
            }
            if let Some(error) = last
                && !patience.wait().await
            {
                return Err(error);
            }
            waiting = again;
        }
        Ok(lost)
    }

    /// Has the store confirm files, each with its own result.
    pub(super) async fn complete(
        &self,
        files: &[(File, String)],
    ) -> Result<Vec<CompleteUploadResult>> {
        let requests = files
            .iter()
            .map(|(_, name)| CompleteUploadRequest { name: name.clone() })
            .collect();
        let request = BatchCompleteUploadsRequest {
            parent: self.session.parent().to_string(),
            requests,
        };
        let answer = retry::call(self.options.patience, || {
            let (mut client, request) = (self.uploads(), request.clone());
            async move { client.batch_complete_uploads(request).await }
        });
        let results = answer.await?.results;
        if results.len() == files.len() {
            Ok(results)
        } else {
            Err(Error::internal(
                "confirming files",
                "the server did not answer for each of them",
            ))
        }
    }
}
