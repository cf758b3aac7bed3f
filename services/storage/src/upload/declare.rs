//! What a client says about a file before it sends it.

use std::collections::HashSet;

use granary_core::{
    Error, Result,
    error::Violations,
    id, lineage, media,
    name::{AssetName, SessionName, quote},
    path,
};
use granary_proto::{metadata::v1::Asset, storage::v1::UploadRequest};
use granary_runtime::rpc;

/// The largest object of S3.
const MAX_SIZE: u64 = 5 << 40;
const MAX_SOURCES: usize = 100;

/// A file to send; every field is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// In lower case.
    pub(crate) sha256: String,
    pub(crate) media_type: String,
    pub(crate) derived_from: Vec<AssetName>,
    pub(crate) producer: String,
}

impl Declared {
    /// Checks a batch for a session; the error names every field that is wrong.
    pub(crate) fn all(into: &SessionName, requests: Vec<UploadRequest>) -> Result<Vec<Self>> {
        rpc::batch_size("requests", requests.len())?;
        let (mut violations, mut paths) = (Violations::default(), HashSet::new());
        let mut all = Vec::with_capacity(requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            let field = format!("requests[{index}]");
            if !paths.insert(request.path.clone()) {
                violations.add(format!("{field}.path"), twice(&request.path));
            }
            all.extend(
                violations.check(Self::one(into, request).map_err(|error| error.within(&field)))?,
            );
        }
        violations.finish()?;
        Ok(all)
    }

    fn one(into: &SessionName, request: UploadRequest) -> Result<Self> {
        let mut violations = Violations::default();
        violations.check(path::check(&request.path))?;
        let size = u64::try_from(request.size_bytes)
            .ok()
            .filter(|size| *size <= MAX_SIZE);
        if size.is_none() {
            violations.add(
                "size_bytes",
                format!(
                    "expected 0 to {MAX_SIZE} (5 TiB), got {}",
                    request.size_bytes
                ),
            );
        }
        let sha256 = request.sha256.to_ascii_lowercase();
        if !id::is_sha256(&sha256) {
            violations.add(
                "sha256",
                format!(
                    "expected 64 hexadecimal digits, got {}",
                    quote(&request.sha256)
                ),
            );
        }
        let media_type = media_type(request.media_type, &request.path, &mut violations);
        let derived_from = sources(into, &request.derived_from, &mut violations)?;
        violations.check(producer(into, &request.producer))?;
        violations.finish()?;
        Ok(Self {
            path: request.path,
            size: size.unwrap_or_default(),
            sha256,
            media_type,
            derived_from,
            producer: request.producer,
        })
    }

    /// As the metadata service registers it.
    pub(crate) fn asset(&self) -> Asset {
        Asset {
            path: self.path.clone(),
            size_bytes: i64::try_from(self.size).unwrap_or(i64::MAX),
            sha256: self.sha256.clone(),
            media_type: self.media_type.clone(),
            derived_from: self.derived_from.iter().map(ToString::to_string).collect(),
            producer: self.producer.clone(),
            ..Asset::default()
        }
    }
}

/// What is wrong with a path that an earlier request has.
pub(super) fn twice(path: &str) -> String {
    format!("expected each path once, got {} again", quote(path))
}

/// Checks what made it.
pub(super) fn producer(into: &SessionName, text: &str) -> Result<()> {
    lineage::producer(text, &into.project).map_err(|error| error.within("producer"))
}

// It becomes a header of a request, so it must be fit to be one.
fn media_type(declared: String, path: &str, violations: &mut Violations) -> String {
    if declared.is_empty() {
        return media::from_path(path).to_owned();
    }
    let fit = declared.len() <= 255
        && declared.contains('/')
        && declared.bytes().all(|b| matches!(b, b' '..=b'~'))
        && declared.trim() == declared;
    if !fit {
        violations.add(
            "media_type",
            format!(
                "expected a media type such as image/jpeg, got {}",
                quote(&declared)
            ),
        );
    }
    declared
}

fn sources(
    into: &SessionName,
    names: &[String],
    violations: &mut Violations,
) -> Result<Vec<AssetName>> {
    if names.len() > MAX_SOURCES {
        violations.add(
            "derived_from",
            format!("expected at most {MAX_SOURCES} names, got {}", names.len()),
        );
        return Ok(vec![]);
    }
    let mut sources = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let parsed = lineage::source(name, &into.project)
            .map_err(|error: Error| error.within(&format!("derived_from[{index}]")));
        sources.extend(violations.check(parsed)?);
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> UploadRequest {
        UploadRequest {
            path: path.into(),
            size_bytes: 3,
            sha256: "A".repeat(64),
            ..UploadRequest::default()
        }
    }

    fn session() -> SessionName {
        SessionName::new("p", "d", "s").unwrap()
    }

    #[test]
    fn a_good_file_is_completed_with_what_can_be_guessed() {
        let all = Declared::all(&session(), vec![request("camera/1.JPG")]).unwrap();
        assert_eq!(all[0].media_type, "image/jpeg");
        assert_eq!(all[0].sha256, "a".repeat(64));
    }

    #[test]
    fn every_wrong_field_is_named_with_its_place() {
        let wrong = UploadRequest {
            path: "../x".into(),
            size_bytes: -1,
            sha256: "zz".into(),
            media_type: "a/b\r\nx-amz-acl: public-read".into(),
            derived_from: vec![
                "nothing".into(),
                "projects/p/datasets/d/assets/a".into(),
                "projects/q/datasets/d/assets/a".into(),
            ],
            producer: "projects/q/jobs/j".into(),
        };
        let Err(Error::Invalid(violations)) =
            Declared::all(&session(), vec![request("a"), wrong, request("a")])
        else {
            panic!("accepted")
        };
        let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "requests[1].path",
                "requests[1].size_bytes",
                "requests[1].sha256",
                "requests[1].media_type",
                "requests[1].derived_from[0]",
                "requests[1].derived_from[2]",
                "requests[1].producer",
                "requests[2].path",
            ]
        );
    }

    #[test]
    fn batches_are_bounded() {
        assert!(Declared::all(&session(), vec![]).is_err());
        assert!(
            Declared::all(
                &session(),
                (0..1001).map(|i| request(&i.to_string())).collect()
            )
            .is_err()
        );
    }
}
