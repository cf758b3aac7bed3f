//! Who may do what: one key pair, everything with it, nothing without. s3s verifies the signatures (Signature Version 4,
//! in constant time); here is what it leaves to the back end.

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use s3s::{
    S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
};

use crate::fault::fault;

/// Headers of the `x-amz-` family that need no signature: they can only make a request stricter, or describe the caller.
const HARMLESS: [&str; 4] = [
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-user-agent",
    "x-amz-sdk-checksum-algorithm",
];

/// The one key pair.
pub(crate) struct KeyPair {
    pub(crate) access_key: String,
    pub(crate) secret_key: SecretKey,
}

#[async_trait::async_trait]
impl S3Auth for KeyPair {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.clone());
        }
        Err(fault(
            S3ErrorCode::InvalidAccessKeyId,
            "the access key is not one of this store",
        ))
    }
}

/// Refuses what has no signature, and headers that a signature does not cover.
///
/// Without the second, whoever holds a presigned URL for writing one key could add `x-amz-copy-source` and read any object.
pub(crate) struct Signed;

#[async_trait::async_trait]
impl S3Access for Signed {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(fault(
                S3ErrorCode::AccessDenied,
                "the request needs a signature",
            ));
        }
        let signed = signed_headers(context.uri(), context.headers());
        let covered = |name: &str| {
            HARMLESS.contains(&name)
                || name.starts_with("x-amz-checksum-")
                || signed.iter().any(|header| header == name)
        };
        let bare = context
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("x-amz-") && !covered(name.as_str()));
        if bare {
            return Err(fault(
                S3ErrorCode::AccessDenied,
                "there are x-amz- headers in the request that are not signed",
            ));
        }
        Ok(())
    }
}

/// The headers that the verified signature covers: of the URL if that is presigned, otherwise of the header.
fn signed_headers(uri: &Uri, headers: &HeaderMap) -> Vec<String> {
    let query = |name: &str| {
        let pairs = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        pairs
            .map(|(key, value)| (decode(key), decode(value)))
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let list = if query("X-Amz-Signature").is_some() {
        query("X-Amz-SignedHeaders")
    } else {
        let header = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        header
            .split([',', ' '])
            .find_map(|field| field.strip_prefix("SignedHeaders="))
            .map(str::to_owned)
    };
    list.unwrap_or_default()
        .split(';')
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_headers_are_those_of_the_signature_that_is_verified() {
        let presigned: Uri = "/b/k?X-Amz-Signature=0&X-Amz-SignedHeaders=host%3Bif-none-match"
            .parse()
            .unwrap();
        let mut headers = HeaderMap::new();
        let value = "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=host;x-amz-date, Signature=0"
            .parse()
            .unwrap();
        headers.insert(http::header::AUTHORIZATION, value);
        assert_eq!(
            signed_headers(&presigned, &headers),
            ["host", "if-none-match"]
        );
        assert_eq!(
            signed_headers(&"/b/k".parse().unwrap(), &headers),
            ["host", "x-amz-date"]
        );
    }
}
