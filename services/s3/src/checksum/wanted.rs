//! The checksums that a request carries or asks for, computed while its bytes pass.

use bytes::Bytes;
use s3s::{
    S3ErrorCode, S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256},
};

use super::{Algorithm, Sums, decode, sums_of};
use crate::fault::fault;

/// What a request says and asks about the checksums of its body.
pub(crate) struct Wanted {
    given: Sums,
    asked: Vec<Algorithm>,
    md5: Option<Vec<u8>>,
}

impl Wanted {
    /// `asked` are algorithms to compute although no value was given.
    pub(crate) fn new(
        given: Sums,
        asked: &[Option<Algorithm>],
        md5: Option<&str>,
    ) -> S3Result<Self> {
        let bad = |algorithm: Algorithm| {
            given
                .get(algorithm)
                .is_some_and(|sum| decode(sum, algorithm.bytes()).is_none())
        };
        if Algorithm::ALL.into_iter().any(bad) {
            return Err(fault(
                S3ErrorCode::InvalidRequest,
                "the value of a checksum header is not the base64 of a checksum of its kind",
            ));
        }
        let md5 = match md5.map(|text| decode(text, 16)) {
            Some(None) => {
                return Err(fault(
                    S3ErrorCode::InvalidDigest,
                    "Content-MD5 is not the base64 of an MD5",
                ));
            }
            Some(digest) => digest,
            None => None,
        };
        Ok(Self {
            given,
            asked: asked.iter().flatten().copied().collect(),
            md5,
        })
    }

    /// Nothing to check, for bytes that do not come from a client; `asked` is computed.
    pub(crate) fn computed(asked: Option<Algorithm>) -> Self {
        Self {
            given: Sums::default(),
            asked: asked.into_iter().collect(),
            md5: None,
        }
    }

    /// Whether nobody asked for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.asked.is_empty() && self.md5.is_none()
    }

    /// What computes exactly the checksums that somebody asked for.
    pub(crate) fn hashes(&self) -> Hashes {
        let on = |algorithm| self.asked.contains(&algorithm) || self.given.get(algorithm).is_some();
        Hashes {
            sums: ChecksumHasher {
                sha256: on(Algorithm::Sha256).then(Sha256::new),
                sha1: on(Algorithm::Sha1).then(Sha1::new),
                crc32c: on(Algorithm::Crc32c).then(Crc32c::new),
                crc32: on(Algorithm::Crc32).then(Crc32::new),
                crc64nvme: on(Algorithm::Crc64Nvme).then(Crc64Nvme::new),
            },
            md5: self.md5.is_some().then(Md5::new),
        }
    }

    /// Compares what was computed with what the headers, and the trailers behind the body, say.
    pub(crate) fn verify(
        &self,
        hashes: Hashes,
        trailers: Option<&TrailingHeaders>,
    ) -> S3Result<Digests> {
        let mut computed = hashes.sums.finalize();
        let sums = sums_of!(computed);
        let trailing = trailers
            .and_then(|trailers| trailers.read(read_trailers))
            .unwrap_or_default();
        if !sums.agree_with(&self.given) || !sums.agree_with(&trailing) {
            return Err(fault(
                S3ErrorCode::BadDigest,
                "the checksum of the bytes is not the one that was sent: nothing was stored",
            ));
        }
        let md5 = hashes.md5.map(Md5::finalize);
        if md5.as_ref().map(|digest| digest.as_slice()) != self.md5.as_deref() {
            return Err(fault(
                S3ErrorCode::BadDigest,
                "the MD5 of the bytes is not the one in Content-MD5: nothing was stored",
            ));
        }
        Ok(Digests {
            sums,
            md5: md5.map(hex::encode),
        })
    }
}

fn read_trailers(headers: &http::HeaderMap) -> Sums {
    let mut sums = Sums::default();
    for algorithm in Algorithm::ALL {
        if let Some(value) = headers
            .get(algorithm.trailer())
            .and_then(|value| value.to_str().ok())
        {
            sums.set(algorithm, value.trim().to_owned());
        }
    }
    sums
}

/// Checksums in the making.
pub(crate) struct Hashes {
    sums: ChecksumHasher,
    md5: Option<Md5>,
}

impl Hashes {
    pub(crate) fn update(&mut self, frames: &[Bytes]) {
        for frame in frames {
            self.sums.update(frame);
            if let Some(md5) = &mut self.md5 {
                md5.update(frame);
            }
        }
    }
}

/// Verified checksums.
pub(crate) struct Digests {
    pub(crate) sums: Sums,
    /// In hex; only if the client sent it.
    pub(crate) md5: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_checksum_is_found() {
        let given = Sums {
            crc32c: Some("AAAAAA==".into()),
            ..Sums::default()
        };
        let wanted = Wanted::new(given, &[], None).unwrap();
        let mut hashes = wanted.hashes();
        hashes.update(&[Bytes::from("1")]);
        assert_eq!(
            wanted.verify(hashes, None).err().unwrap().code(),
            &S3ErrorCode::BadDigest
        );
    }

    #[test]
    fn a_checksum_that_is_none_is_refused_before_the_bytes() {
        for bad in ["", "AAAA", "zz", "AAAAAAA="] {
            let given = Sums {
                crc32c: Some(bad.into()),
                ..Sums::default()
            };
            assert!(Wanted::new(given, &[], None).is_err(), "{bad}");
        }
        assert!(Wanted::new(Sums::default(), &[], Some("AAAA")).is_err());
    }
}
