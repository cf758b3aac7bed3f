//! How a file is cut on its way to the store: by whoever sends it, and by the service that signs for it.

/// Files up to this size in bytes are one PUT, and the smallest parts are as large. S3 takes no parts below 5 MiB.
pub const SINGLE: u64 = 8 << 20;
/// The most parts that S3 takes.
const MAX_PARTS: u64 = 10_000;

/// The size of the parts of a file, in bytes; `None` if it is one PUT.
pub fn part_size(size: u64) -> Option<u64> {
    if size <= SINGLE {
        return None;
    }
    let mut part = SINGLE;
    while size.div_ceil(part) > MAX_PARTS {
        part *= 2;
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_cut_into_at_most_10000_parts_of_what_s3_takes() {
        assert_eq!(part_size(0), None);
        assert_eq!(part_size(SINGLE), None);
        assert_eq!(part_size(SINGLE + 1), Some(SINGLE));
        assert_eq!(part_size(SINGLE * 10_000), Some(SINGLE));
        assert_eq!(part_size(SINGLE * 10_000 + 1), Some(SINGLE * 2));
        let five_tib = 5 << 40;
        let part = part_size(five_tib).unwrap();
        assert!(five_tib.div_ceil(part) <= 10_000 && part <= 5 << 30);
    }
}
