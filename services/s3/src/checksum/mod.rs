//! Checksums: which ones a request asks for, computing them while bytes pass, and those of a whole made from its parts.

mod wanted;
mod whole;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::CrcAlgorithm;
use s3s::{S3ErrorCode, S3Result, dto::ChecksumType};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    wanted::{Digests, Hashes, Wanted},
    whole::{combined, composite},
};
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

/// How an answer says what its checksums are of: the parts' checksums, or all bytes.
pub(crate) fn type_of(composite: bool) -> ChecksumType {
    ChecksumType::from_static(if composite {
        ChecksumType::COMPOSITE
    } else {
        ChecksumType::FULL_OBJECT
    })
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    pub(super) fn sum_of(algorithm: Algorithm, text: &'static str) -> String {
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
}
