//! Registering files, which also signs their URLs.

use granary_core::{Error, Result, Violation};
use granary_proto::storage::v1::{BatchCreateUploadsRequest, Upload, UploadRequest};

use super::{prepare::Prepared, run::Run};
use crate::retry;

impl Run<'_> {
    pub(super) async fn create(&self, files: Vec<Prepared>) -> Result<Vec<(Prepared, Upload)>> {
        let paths: Vec<&str> = files
            .iter()
            .map(|file| file.file.item.path.as_str())
            .collect();
        let uploads = self
            .register(files.iter().map(request).collect())
            .await
            .map_err(|error| by_path(error, &paths))?;
        if uploads.len() != files.len() {
            return Err(Error::internal(
                "registering files",
                "the server did not answer for each of them",
            ));
        }
        Ok(files.into_iter().zip(uploads).collect())
    }

    /// Registers one file once more, to have its URL signed anew.
    pub(super) async fn create_again(&self, file: &Prepared) -> Result<Upload> {
        let path = file.file.item.path.as_str();
        let uploads = self
            .register(vec![request(file)])
            .await
            .map_err(|error| by_path(error, &[path]))?;
        uploads.into_iter().next().ok_or_else(|| {
            Error::internal("registering a file", "the server did not answer for it")
        })
    }

    async fn register(&self, requests: Vec<UploadRequest>) -> Result<Vec<Upload>> {
        let request = BatchCreateUploadsRequest {
            parent: self.session.to_string(),
            requests,
        };
        let answer = retry::call(self.options.patience, || {
            let (mut client, request) = (self.uploads(), request.clone());
            async move { client.batch_create_uploads(request).await }
        });
        Ok(answer.await?.uploads)
    }
}

fn request(file: &Prepared) -> UploadRequest {
    let item = &file.file.item;
    UploadRequest {
        path: item.path.clone(),
        size_bytes: i64::try_from(file.file.size).unwrap_or(i64::MAX),
        sha256: file.sha256.clone(),
        media_type: item.media_type.clone(),
        derived_from: item.derived_from.clone(),
        producer: item.producer.clone(),
    }
}

/// `requests[3].path` means nothing to whoever uploads: the file's path does.
fn by_path(error: Error, paths: &[&str]) -> Error {
    let Error::Invalid(violations) = error else {
        return error;
    };
    let rename = |violation: Violation| {
        let place = violation
            .field
            .strip_prefix("requests[")
            .and_then(|rest| rest.split_once(']'));
        let path = place.and_then(|(index, _)| paths.get(index.parse::<usize>().ok()?));
        match (path, place) {
            (Some(path), Some((_, field))) => Violation {
                field: format!("{path:?}{}", field.replace('.', " ")),
                ..violation
            },
            _ => violation,
        }
    };
    Error::Invalid(violations.into_iter().map(rename).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_fields_are_named_by_the_file() {
        let error = by_path(Error::invalid("requests[1].path", "is bad"), &["a", "b\n"]);
        assert_eq!(error.to_string(), "\"b\\n\" path: is bad");
    }
}
