//! Listings.

use super::{Answer, Scratch, Target};

const KEYS: [&str; 8] = ["B", "a-b", "a.txt", "a/1", "a/2/x", "a/2/y", "a0", "b/1"];

async fn filled(target: &Target) -> Scratch {
    let bucket = target.scratch().await;
    for key in KEYS {
        bucket.put(key, key).await.expect_status(200);
    }
    bucket
}

fn next(answer: &Answer) -> Option<String> {
    let more = answer.tags("IsTruncated") == ["true"];
    let token = answer.tags("NextContinuationToken").pop();
    assert_eq!(more, token.is_some(), "{}", answer.text());
    token
}

/// The order is that of the bytes of whole keys, whatever the size of a page.
pub async fn keys_come_in_byte_order_and_pages(target: &Target) {
    let bucket = filled(target).await;
    for size in ["1", "3", "8", "1000"] {
        let (mut keys, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("max-keys", size)];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let page = bucket.list(&query).await;
            assert_eq!(page.tags("KeyCount"), [page.tags("Key").len().to_string()]);
            keys.extend(page.names("Key"));
            token = next(&page);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(keys, KEYS, "pages of {size}");
    }
}

/// Folders, as people see them.
pub async fn a_delimiter_groups(target: &Target) {
    let bucket = filled(target).await;
    let grouped = |answer: &Answer| {
        (
            answer.names("Key"),
            answer
                .tags("CommonPrefixes")
                .iter()
                .map(|text| text.replace("<Prefix>", "").replace("</Prefix>", ""))
                .collect::<Vec<_>>(),
        )
    };
    let top = bucket.list(&[("delimiter", "/")]).await;
    assert_eq!(
        grouped(&top),
        (
            vec!["B".into(), "a-b".into(), "a.txt".into(), "a0".into()],
            vec!["a/".into(), "b/".into()]
        )
    );
    let below = bucket.list(&[("delimiter", "/"), ("prefix", "a/")]).await;
    assert_eq!(grouped(&below), (vec!["a/1".into()], vec!["a/2/".into()]));
    let first = bucket
        .list(&[("delimiter", "/"), ("prefix", "a/"), ("max-keys", "1")])
        .await;
    let second = bucket
        .list(&[
            ("delimiter", "/"),
            ("prefix", "a/"),
            ("continuation-token", &next(&first).unwrap()),
        ])
        .await;
    assert_eq!(grouped(&second), (vec![], vec!["a/2/".into()]));
}

/// A prefix and a start that lie anywhere.
pub async fn a_listing_may_start_anywhere(target: &Target) {
    let bucket = filled(target).await;
    for (query, keys) in [
        (
            ("prefix", "a"),
            &["a-b", "a.txt", "a/1", "a/2/x", "a/2/y", "a0"][..],
        ),
        (("prefix", "a/2"), &["a/2/x", "a/2/y"]),
        (("prefix", "a/2/x"), &["a/2/x"]),
        (("prefix", "a/2/x/"), &[]),
        (("prefix", "zzz/"), &[]),
        (("start-after", "a/1"), &["a/2/x", "a/2/y", "a0", "b/1"]),
        (("start-after", "a/10"), &["a/2/x", "a/2/y", "a0", "b/1"]),
        (("start-after", "c"), &[]),
    ] {
        assert_eq!(bucket.list(&[query]).await.names("Key"), keys, "{query:?}");
    }
}

/// A listing says of each object what HEAD says.
pub async fn sizes_and_tags_are_listed(target: &Target) {
    let bucket = target.scratch().await;
    let put = bucket.put("a", "12345").await.checked(200);
    let list = bucket.list(&[]).await;
    assert_eq!(list.tags("Size"), ["5"]);
    assert_eq!(list.tags("ETag"), [put.header("etag")]);
    assert_eq!(list.tags("LastModified").len(), 1);
}
