//! Pages: read in parts, so that large rows end a page early and never fill the memory.

use std::future::Future;

use granary_core::Result;
use prost::Message;

/// A page ends when it holds this many encoded bytes, well below what a message may hold.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How many rows are read at once.
const PART: u32 = 200;

/// A page of messages.
#[derive(Debug)]
pub(crate) struct Page<M, K> {
    /// What the page holds.
    pub items: Vec<M>,
    /// The key of the last item, if more follow.
    pub next: Option<K>,
}

/// Reads a page of `size` messages. `part` reads up to a number of rows after a key, each with its own key.
pub(crate) async fn read<M: Message, K: Clone, F>(
    size: u32,
    mut last: Option<K>,
    part: impl Fn(Option<K>, u32) -> F,
) -> Result<Page<M, K>>
where
    F: Future<Output = Result<Vec<(K, M)>>>,
{
    let (mut items, mut bytes) = (Vec::new(), 0);
    let size = size as usize;
    loop {
        let wanted = u32::try_from(size + 1 - items.len())
            .unwrap_or(PART)
            .min(PART);
        let rows = part(last.clone(), wanted).await?;
        let end = rows.len() < wanted as usize;
        for (key, message) in rows {
            bytes += message.encoded_len();
            if items.len() == size || (bytes > MAX_BYTES && !items.is_empty()) {
                return Ok(Page { items, next: last });
            }
            items.push(message);
            last = Some(key);
        }
        if end {
            return Ok(Page { items, next: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(rows: usize, text: usize, size: u32) -> Page<String, usize> {
        let part = async |last: Option<usize>, wanted: u32| {
            let first = last.map_or(0, |last| last + 1);
            Ok((first..rows)
                .take(wanted as usize)
                .map(|i| (i, "x".repeat(text)))
                .collect())
        };
        read(size, None, part).await.unwrap()
    }

    #[tokio::test]
    async fn a_page_says_whether_more_follow() {
        assert_eq!(page(3, 1, 3).await.next, None);
        assert_eq!(page(4, 1, 3).await.next, Some(2));
        assert_eq!(page(0, 1, 3).await.next, None);
        assert_eq!(page(1000, 1, 1000).await.items.len(), 1000);
        assert_eq!(page(1001, 1, 1000).await.next, Some(999));
    }

    #[tokio::test]
    async fn large_rows_end_a_page_early_but_never_empty() {
        let full = page(100, 1024 * 1024, 50).await;
        assert_eq!((full.items.len(), full.next), (3, Some(2)));
        let one = page(2, 5 * 1024 * 1024, 50).await;
        assert_eq!((one.items.len(), one.next), (1, Some(0)));
    }
}
