//! What the store says in XML, and the one document that is sent to it.

use bytes::Bytes;
use granary_core::{Error, Result};
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InitiateMultipartUploadResult {
    pub(super) upload_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListPartsResult {
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_part_number_marker: Option<u16>,
    #[serde(default, rename = "Part")]
    pub(super) parts: Vec<ListedPart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedPart {
    pub(super) part_number: u16,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
    #[serde(rename = "ChecksumCRC32C")]
    pub(super) crc32c: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListBucketResult {
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_continuation_token: Option<String>,
    #[serde(default)]
    pub(super) contents: Vec<ListedObject>,
    #[serde(default)]
    pub(super) common_prefixes: Vec<ListedPrefix>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedObject {
    pub(super) key: String,
    pub(super) size: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) last_modified: time::OffsetDateTime,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedPrefix {
    pub(super) prefix: String,
}

/// Reads an answer; `what` completes "internal error while having the object store …".
pub(super) fn parse<T: DeserializeOwned>(what: &str, body: &Bytes) -> Result<T> {
    quick_xml::de::from_reader(body.as_ref()).map_err(|error| {
        Error::internal(
            format!("reading what the object store said to {what}"),
            error,
        )
    })
}

/// `CompleteMultipartUpload`. A store that keeps checksums of parts wants to hear them again.
pub(super) fn complete<'a>(parts: impl Iterator<Item = (u16, &'a str, Option<&'a str>)>) -> String {
    let mut body =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (number, etag, crc32c) in parts {
        body.push_str("<Part>");
        if let Some(crc32c) = crc32c {
            body.push_str(&format!(
                "<ChecksumCRC32C>{}</ChecksumCRC32C>",
                quick_xml::escape::escape(crc32c)
            ));
        }
        body.push_str(&format!(
            "<ETag>\"{}\"</ETag><PartNumber>{number}</PartNumber></Part>",
            quick_xml::escape::escape(etag)
        ));
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_parts_are_read_with_and_without_checksums() {
        let body = Bytes::from_static(
            br#"<?xml version="1.0" encoding="UTF-8"?><ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket>
            <PartNumberMarker>0</PartNumberMarker><NextPartNumberMarker>2</NextPartNumberMarker><IsTruncated>true</IsTruncated>
            <Part><PartNumber>1</PartNumber><LastModified>2024-01-01T00:00:00Z</LastModified><ETag>&#34;abc&#34;</ETag><Size>8388608</Size>
            <ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part><Part><PartNumber>2</PartNumber><ETag>"def"</ETag><Size>5</Size></Part></ListPartsResult>"#,
        );
        let list: ListPartsResult = parse("list parts", &body).unwrap();
        assert!(list.is_truncated);
        assert_eq!(list.next_part_number_marker, Some(2));
        assert_eq!(list.parts[0].etag, "\"abc\"");
        assert_eq!(list.parts[0].crc32c.as_deref(), Some("AAAAAA=="));
        assert_eq!((list.parts[1].part_number, list.parts[1].size), (2, 5));
    }

    #[test]
    fn an_empty_list_of_parts_is_read() {
        let body = Bytes::from_static(
            b"<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>",
        );
        assert!(
            parse::<ListPartsResult>("list parts", &body)
                .unwrap()
                .parts
                .is_empty()
        );
    }

    #[test]
    fn completion_repeats_the_checksums() {
        let body = complete([(1, "a", Some("AAAAAA==")), (2, "b<", None)].into_iter());
        assert!(body.contains("<Part><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C><ETag>\"a\"</ETag><PartNumber>1</PartNumber></Part>"), "{body}");
        assert!(body.contains("<ETag>\"b&lt;\"</ETag>"), "{body}");
    }
}
