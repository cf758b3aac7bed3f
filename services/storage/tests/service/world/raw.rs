//! The store without the service: what other clients, and accidents, do to it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use granary_core::layout::split_uri;
use granary_proto::storage::v1::{PartToSign, SignUploadPartsRequest, SignedRequest, Upload};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle, actions::CompleteMultipartUpload};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::World;

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The CRC32C of a part as the API wants it.
pub(crate) fn sum(bytes: &[u8]) -> String {
    STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

impl World {
    fn bucket(&self, uri: &str) -> (Bucket, Credentials, String) {
        let (bucket, key) = split_uri(uri).unwrap();
        let bucket = Bucket::new(
            self.objects.endpoint.clone(),
            UrlStyle::Path,
            bucket.to_owned(),
            self.objects.region.clone(),
        )
        .unwrap();
        (
            bucket,
            Credentials::new(&self.objects.access_key, self.objects.secret_key.reveal()),
            key.to_owned(),
        )
    }

    /// Writes an object, whatever is there.
    pub(crate) async fn overwrite(&self, uri: &str, bytes: Vec<u8>) {
        let (bucket, credentials, key) = self.bucket(uri);
        let url = bucket
            .put_object(Some(&credentials), &key)
            .sign(Duration::from_secs(60));
        assert!(
            reqwest::Client::new()
                .put(url)
                .body(bytes)
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }

    /// Makes a signed request as it is; the status.
    pub(crate) async fn make(&self, signed: &SignedRequest, body: Vec<u8>) -> u16 {
        let mut request = reqwest::Client::new()
            .request(signed.method.parse().unwrap(), &signed.url)
            .body(body);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// Sends one part; its signed request, for what can be learnt from it.
    pub(crate) async fn send_part(
        &self,
        upload: &Upload,
        number: i32,
        bytes: &[u8],
    ) -> SignedRequest {
        let parts = vec![PartToSign {
            number,
            crc32c: sum(bytes),
        }];
        let request = SignUploadPartsRequest {
            name: upload.name.clone(),
            parts,
        };
        let signed = self
            .uploads()
            .sign_upload_parts(request)
            .await
            .unwrap()
            .into_inner()
            .requests
            .remove(0);
        assert_eq!(self.make(&signed, bytes.to_vec()).await, 200);
        signed
    }

    /// Completes a multipart upload behind the service's back, as a call that dies right after it does.
    pub(crate) async fn complete_behind(
        &self,
        uri: &str,
        part: &SignedRequest,
        etags: Vec<(String, String)>,
    ) {
        let (bucket, credentials, key) = self.bucket(uri);
        let url = Url::parse(&part.url).unwrap();
        let id = url
            .query_pairs()
            .find(|(name, _)| name == "uploadId")
            .unwrap()
            .1
            .into_owned();
        let action = CompleteMultipartUpload::new(
            &bucket,
            Some(&credentials),
            &key,
            &id,
            std::iter::empty::<&str>(),
        );
        let parts = etags.iter().zip(1..).map(|((etag, crc), number)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag><ChecksumCRC32C>{crc}</ChecksumCRC32C></Part>")
        });
        let body = format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            parts.collect::<String>()
        );
        let response = reqwest::Client::new()
            .post(action.sign(Duration::from_secs(60)))
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(
            response.status().is_success(),
            "{}",
            response.text().await.unwrap()
        );
    }
}
