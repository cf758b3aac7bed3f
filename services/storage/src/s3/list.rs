//! Listing what lies in a bucket, a page at a time, in the order of the bytes of the keys.

use granary_core::{Error, Result};
use http::StatusCode;
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;

use super::{Client, xml};

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified: OffsetDateTime,
}

/// A page of a listing.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    /// What all further keys below one folder have in common, `/` at its end included.
    pub(crate) folders: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<String>,
}

impl Client {
    /// Up to 1,000 of the keys that begin with a prefix; with `grouped`, those below further folders only as these folders.
    pub(crate) async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        grouped: bool,
        token: Option<&str>,
    ) -> Result<Page> {
        let store = self.bucket(bucket)?;
        let mut action = store.list_objects_v2(Some(self.credentials()));
        action.with_prefix(prefix);
        if grouped {
            action.with_delimiter("/");
        }
        if let Some(token) = token {
            action.with_continuation_token(token);
        }
        let answer = self
            .send(&self.call("list objects", action, vec![]))
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(Error::precondition(
                "the object store",
                format!("no bucket named {bucket} is there: check the prefix in --object-store"),
            ));
        }
        if !answer.status.is_success() {
            return Err(answer.refused("list objects"));
        }
        page(xml::parse("list objects", &answer.body)?)
    }
}

fn page(listed: xml::ListBucketResult) -> Result<Page> {
    let objects = listed.contents.into_iter().map(|object| {
        Ok(Listed {
            key: decoded(&object.key)?,
            size: object.size,
            modified: object.last_modified,
        })
    });
    let folders = listed
        .common_prefixes
        .iter()
        .map(|folder| decoded(&folder.prefix));
    Ok(Page {
        objects: objects.collect::<Result<_>>()?,
        folders: folders.collect::<Result<_>>()?,
        next: listed
            .next_continuation_token
            .filter(|token| listed.is_truncated && !token.is_empty()),
    })
}

// Asked to encode names, servers do so as HTML forms do, or by percent signs alone.
fn decoded(name: &str) -> Result<String> {
    percent_decode_str(&name.replace('+', " "))
        .decode_utf8()
        .map(|name| name.into_owned())
        .map_err(|error| Error::internal("reading a listing of the object store", error))
}

#[cfg(test)]
mod tests {
    use crate::{s3::Place, testing::Bench};

    #[tokio::test]
    async fn odd_keys_come_back_as_they_are_and_folders_are_grouped() {
        let bench = Bench::start().await;
        let s3 = &bench.core.s3;
        let keys = ["p/a b+c%20/x", "p/a&<b", "p/é\n", "q/r/s"];
        for key in keys {
            let place = Place {
                bucket: "granary-raw".into(),
                key: key.into(),
            };
            assert!(s3.put(&place, "1".into(), "a/b", None).await.unwrap());
        }
        let all = s3.list("granary-raw", "", false, None).await.unwrap();
        let found: Vec<_> = all
            .objects
            .iter()
            .map(|object| object.key.as_str())
            .collect();
        let mut sorted = keys;
        sorted.sort_unstable();
        assert_eq!(found, sorted);
        assert!(all.next.is_none() && all.objects.iter().all(|object| object.size == 1));
        let top = s3.list("granary-raw", "p/", true, None).await.unwrap();
        assert_eq!(top.folders, ["p/a b+c%20/"]);
        assert_eq!(top.objects.len(), 2);
        let missing = s3.list("nowhere-raw", "", true, None).await.unwrap_err();
        let missing = missing.to_string();
        assert!(
            missing.contains("no bucket named nowhere-raw is there"),
            "{missing}"
        );
    }
}
