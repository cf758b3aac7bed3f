//! All pages of a list, or as many as are wanted.

use granary_core::Result;

/// The largest page that services give.
const PAGE: usize = 1000;

/// Goes through a list. `get` fetches the page of a size and token and gives its items and the next token, `each` takes the items of a page.
/// Ends after `limit` items, if there is one.
pub(crate) async fn each<T, E, Get>(
    limit: Option<usize>,
    mut get: Get,
    mut each: impl FnMut(Vec<T>) -> Result<(), E>,
) -> Result<(), E>
where
    Get: AsyncFnMut(i32, String) -> Result<(Vec<T>, String), E>,
{
    let mut left = limit.unwrap_or(usize::MAX);
    let mut token = String::new();
    while left > 0 {
        let size = i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX);
        let (mut items, next) = get(size, token).await?;
        items.truncate(left);
        left -= items.len();
        each(items)?;
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_core::Error;

    async fn listed(total: usize, limit: Option<usize>) -> (Vec<usize>, usize) {
        let (mut found, mut calls) = (Vec::new(), 0);
        let get = async |size: i32, token: String| {
            calls += 1;
            let start: usize = token.parse().unwrap_or(0);
            let end = total.min(start + usize::try_from(size).unwrap());
            let next = if end < total {
                end.to_string()
            } else {
                String::new()
            };
            Ok::<_, Error>(((start..end).collect(), next))
        };
        each(limit, get, |items| {
            found.extend(items);
            Ok(())
        })
        .await
        .unwrap();
        (found, calls)
    }

    #[tokio::test]
    async fn every_page_is_fetched_once() {
        assert_eq!(listed(2500, None).await, ((0..2500).collect(), 3));
        assert_eq!(listed(0, None).await, (vec![], 1));
    }

    #[tokio::test]
    async fn no_more_is_fetched_than_wanted() {
        assert_eq!(listed(2500, Some(7)).await, ((0..7).collect(), 1));
        assert_eq!(listed(2500, Some(1500)).await.0.len(), 1500);
        assert_eq!(listed(2500, Some(0)).await, (vec![], 0));
    }
}
