//! The checksum of a whole from those of its parts.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Algorithm, Wanted, decode};

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
    let wanted = Wanted::computed(Some(algorithm));
    let mut hashes = wanted.hashes();
    hashes.update(&[all.into()]);
    let computed = wanted.verify(hashes, None).ok()?.sums;
    Some(format!("{}-{count}", computed.get(algorithm)?))
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
    use super::{super::tests::sum_of, *};

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
}
