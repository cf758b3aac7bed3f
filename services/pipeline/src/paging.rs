//! Cutting what there is into pages and batches.

use granary_core::{Result, page};
use serde::Serialize;

/// A page of rows, of which one more than `size` was asked for, and the token of the next page; empty if there is none.
pub(crate) fn page<T, K: Serialize>(
    mut rows: Vec<T>,
    size: u32,
    question: &[&str],
    key: impl Fn(&T) -> &K,
) -> Result<(Vec<T>, String)> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = match rows.last() {
        Some(last) if more => page::encode(question, key(last))?,
        _ => String::new(),
    };
    Ok((rows, next))
}

/// Batches of at most `most` items and `bytes` bytes, in order. An item that is larger by itself stands alone.
pub(crate) fn batches<T>(
    items: Vec<T>,
    most: usize,
    bytes: usize,
    size: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut left = 0;
    for item in items {
        let size = size(&item);
        match batches.last_mut() {
            Some(batch) if batch.len() < most && size <= left => {
                left -= size;
                batch.push(item);
            }
            _ => {
                left = bytes.saturating_sub(size);
                batches.push(vec![item]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_next_one_only_if_there_is_more() {
        let rows = |count: u32| (0..count).collect::<Vec<u32>>();
        let (full, next) = page(rows(3), 2, &["q"], |row| row).unwrap();
        assert_eq!(full, [0, 1]);
        assert_eq!(page::decode(&["q"], &next).unwrap(), Some(1));
        for count in 0..=2 {
            let (all, next) = page(rows(count), 2, &["q"], |row| row).unwrap();
            assert_eq!((all, next), (rows(count), String::new()));
        }
    }

    #[test]
    fn batches_are_bounded_by_count_and_by_bytes() {
        let sizes = |sizes: &[usize]| batches(sizes.to_vec(), 3, 10, |size| *size);
        assert_eq!(sizes(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(&[1, 1, 1, 1]), [vec![1, 1, 1], vec![1]]);
        assert_eq!(sizes(&[5, 5, 5]), [vec![5, 5], vec![5]]);
        assert_eq!(sizes(&[1, 30, 1, 1]), [vec![1], vec![30], vec![1, 1]]);
    }
}
