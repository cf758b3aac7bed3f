//! Checksums: which ones a request asks for, computing them while bytes pass, and those of a whole made from its parts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use s3s::{
    S3ErrorCode, S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256},
};
use serde::{Deserialize, Serialize};

use crate::fault::fault;

/// The algorithms of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Algorithm {
    Sha256,
    Sha1,
    Crc32c,
    Crc32,
    Crc64Nvme,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [
        Self::Sha256,
        Self::Sha1,
        Self::Crc32c,
        Self::Crc32,
        Self::Crc64Nvme,
    ];

    pub(crate) fn parse(name: &str) -> S3Result<Self> {
        let found = Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            fault(
                S3ErrorCode::InvalidRequest,
                "the checksum algorithm is none of SHA256, SHA1, CRC32C, CRC32 and CRC64NVME",
            )
        })
    }

    /// As in requests and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA256",
            Self::Sha1 => "SHA1",
            Self::Crc32c => "CRC32C",
            Self::Crc32 => "CRC32",
            Self::Crc64Nvme => "CRC64NVME",
        }
    }

    fn trailer(self) -> &'static str {
        match self {
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
        }
    }

    /// The CRC of this kind, if it is one: only these can be computed for a whole from its parts.
    pub(crate) fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha256 | Self::Sha1 => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha1 => 20,
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
        }
    }
}

/// Checksums in base64, as they travel in headers. Those of multipart objects may end in `-` and the number of parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sums {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crc32: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crc64nvme: Option<String>,
}

/// Moves the checksum fields of a request out into [`Sums`].
macro_rules! sums_of {
    ($input:expr) => {
        $crate::checksum::Sums {
            sha256: $input.checksum_sha256.take(),
            sha1: $input.checksum_sha1.take(),
            crc32c: $input.checksum_crc32c.take(),
            crc32: $input.checksum_crc32.take(),
            crc64nvme: $input.checksum_crc64nvme.take(),
        }
    };
}

/// Sets the checksum fields of an answer from [`Sums`].
macro_rules! set_sums {
    ($output:expr, $sums:expr) => {{
        let sums: $crate::checksum::Sums = $sums;
        $output.checksum_sha256 = sums.sha256;
        $output.checksum_sha1 = sums.sha1;
        $output.checksum_crc32c = sums.crc32c;
        $output.checksum_crc32 = sums.crc32;
        $output.checksum_crc64nvme = sums.crc64nvme;
    }};
}

pub(crate) use {set_sums, sums_of};

impl Sums {
    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Sha256 => self.sha256.as_deref(),
            Algorithm::Sha1 => self.sha1.as_deref(),
            Algorithm::Crc32c => self.crc32c.as_deref(),
            Algorithm::Crc32 => self.crc32.as_deref(),
            Algorithm::Crc64Nvme => self.crc64nvme.as_deref(),
        }
    }

    pub(crate) fn set(&mut self, algorithm: Algorithm, sum: String) {
        let field = match algorithm {
            Algorithm::Sha256 => &mut self.sha256,
            Algorithm::Sha1 => &mut self.sha1,
            Algorithm::Crc32c => &mut self.crc32c,
            Algorithm::Crc32 => &mut self.crc32,
            Algorithm::Crc64Nvme => &mut self.crc64nvme,
        };
        *field = Some(sum);
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that are there.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        Algorithm::ALL
            .into_iter()
            .filter(|&algorithm| self.get(algorithm).is_some())
    }

    /// The SHA-256 itself, if there is one.
    pub(crate) fn sha256_bytes(&self) -> Option<Vec<u8>> {
        decode(self.sha256.as_deref()?, 32)
    }

    /// Whether every checksum of `given` that is also here has the same value.
    pub(crate) fn agree_with(&self, given: &Self) -> bool {
        given.algorithms().all(|algorithm| {
            self.get(algorithm)
                .is_none_or(|sum| Some(sum) == given.get(algorithm))
        })
    }
}

fn decode(text: &str, length: usize) -> Option<Vec<u8>> {
    STANDARD
        .decode(text)
        .ok()
        .filter(|bytes| bytes.len() == length)
}

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

/// The checksum of a whole as S3 defines it for multipart objects: that of the checksums of its parts, and their number.
pub(crate) fn composite<'a>(
    algorithm: Algorithm,
    parts: impl ExactSizeIterator<Item = &'a str>,
) -> Option<String> {
    let count = parts.len();
    let mut all = Vec::with_capacity(count * algorithm.bytes());
    for part in parts {
        all.extend(decode(part, algorithm.bytes())?);
    }
    let mut hashes = Wanted::computed(Some(algorithm)).hashes();
    hashes.update(&[all.into()]);
    let mut computed = hashes.sums.finalize();
    Some(format!("{}-{count}", sums_of!(computed).get(algorithm)?))
}

/// The CRC of a whole from those of its consecutive parts and their lengths in bytes, without reading them again.
pub(crate) fn combined<'a>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = (&'a str, u64)>,
) -> Option<String> {
    let crc = algorithm.crc()?;
    let mut whole: Option<u64> = None;
    for (part, length) in parts {
        let value = decode(part, algorithm.bytes())?
            .into_iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(byte));
        whole = Some(whole.map_or(value, |sum| {
            crc_fast::checksum_combine(crc, sum, value, length)
        }));
    }
    let bytes = whole?.to_be_bytes();
    Some(STANDARD.encode(bytes.get(bytes.len() - algorithm.bytes()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(algorithm: Algorithm, text: &'static str) -> String {
        let wanted = Wanted::computed(Some(algorithm));
        let mut hashes = wanted.hashes();
        hashes.update(&[Bytes::from(text)]);
        wanted
            .verify(hashes, None)
            .unwrap()
            .sums
            .get(algorithm)
            .unwrap()
            .to_owned()
    }

    #[test]
    fn known_values() {
        assert_eq!(
            sum_of(Algorithm::Sha256, ""),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
        assert_eq!(sum_of(Algorithm::Crc32c, "123456789"), "4waSgw==");
        assert_eq!(sum_of(Algorithm::Crc32, "123456789"), "y/Q5Jg==");
    }

    #[test]
    fn the_crc_of_a_whole_is_that_of_its_parts_combined() {
        for algorithm in [Algorithm::Crc32c, Algorithm::Crc32, Algorithm::Crc64Nvme] {
            let parts = [
                sum_of(algorithm, "1234"),
                sum_of(algorithm, "56"),
                sum_of(algorithm, "789"),
            ];
            let lengths = [4, 2, 3];
            let whole = combined(algorithm, parts.iter().map(String::as_str).zip(lengths));
            assert_eq!(whole, Some(sum_of(algorithm, "123456789")), "{algorithm:?}");
        }
        assert_eq!(combined(Algorithm::Sha256, [("x", 1)].into_iter()), None);
    }

    #[test]
    fn a_composite_checksum_counts_the_parts() {
        let part = sum_of(Algorithm::Crc32c, "1234");
        let whole = composite(
            Algorithm::Crc32c,
            [part.as_str(), part.as_str()].into_iter(),
        )
        .unwrap();
        assert!(whole.ends_with("==-2"), "{whole}");
    }

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
