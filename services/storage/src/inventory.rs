//! What lies in the buckets, for whoever makes the index anew from it. It only reads, and needs neither a database nor another service.

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use granary_core::{
    Error, Result,
    layout::{DatasetKind, Layout, dataset_manifest_key, manifest_key, project_manifest_key},
    media,
    name::{DatasetName, ProjectName, SessionName},
};
use granary_proto::{
    json::from_json,
    metadata::v1::{Dataset, Project},
};
use granary_runtime::objects::{ObjectReader, ObjectsConfig};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{
    manifest::read::{whole, wrong},
    s3::{Client, Listed, Page, Place},
};

pub use crate::manifest::read::Manifest;

/// More than the manifest of a project or a dataset can have.
const MAX_WHOLE: u64 = 64 * 1024;

/// The buckets of a store.
#[derive(Debug)]
pub struct Inventory {
    s3: Client,
    reader: ObjectReader,
    layout: Layout,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub modified: OffsetDateTime,
}

impl From<Listed> for Object {
    fn from(listed: Listed) -> Self {
        Self {
            key: listed.key,
            size: listed.size,
            modified: listed.modified,
        }
    }
}

/// What lies directly below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object.
    Object(Object),
    /// A folder, by its prefix, which ends with `/`.
    Folder(String),
}

/// What is known of the content of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its media type.
    pub media_type: String,
}

impl Inventory {
    /// Those of this store. Makes no request.
    pub fn open(objects: &ObjectsConfig) -> Result<Self> {
        Ok(Self {
            s3: Client::new(objects)?,
            reader: ObjectReader::new(objects.clone())?,
            layout: objects.layout.clone(),
        })
    }

    /// What lies directly below a prefix, which is empty or ends with `/`.
    pub fn entries(&self, bucket: &str, prefix: &str) -> impl Stream<Item = Result<Entry>> + use<> {
        self.pages(bucket, prefix, true)
            .map_ok(|page| {
                let folders = page.folders.into_iter().map(Entry::Folder);
                let objects = page.objects.into_iter().map(Object::from);
                let entries = folders.chain(objects.map(Entry::Object));
                stream::iter(entries.map(Ok).collect::<Vec<_>>())
            })
            .try_flatten()
    }

    /// All objects below a prefix, in the order of the bytes of their keys.
    pub fn objects(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> impl Stream<Item = Result<Object>> + use<> {
        self.pages(bucket, prefix, false)
            .map_ok(|page| {
                let objects = page.objects.into_iter().map(Object::from);
                stream::iter(objects.map(Ok).collect::<Vec<_>>())
            })
            .try_flatten()
    }

    fn pages(
        &self,
        bucket: &str,
        prefix: &str,
        grouped: bool,
    ) -> impl Stream<Item = Result<Page>> + use<> {
        let (s3, bucket, prefix) = (self.s3.clone(), bucket.to_owned(), prefix.to_owned());
        stream::try_unfold(Some(None), move |token: Option<Option<String>>| {
            let (s3, bucket, prefix) = (s3.clone(), bucket.clone(), prefix.clone());
            async move {
                let Some(token) = token else {
                    return Ok(None);
                };
                let page = s3.list(&bucket, &prefix, grouped, token.as_deref()).await?;
                let next = page.next.clone().map(Some);
                Ok(Some((page, next)))
            }
        })
    }

    /// What the manifest of a project says, if it has one.
    pub async fn project(&self, name: &ProjectName) -> Result<Option<Project>> {
        let (bucket, key) = (
            self.layout.bucket(DatasetKind::Raw),
            project_manifest_key(name),
        );
        match self
            .whole(&bucket, &key, "project", from_json::<Project>)
            .await?
        {
            Some(found) if found.name != name.to_string() => {
                Err(wrong(&key, "it is of another project".into()))
            }
            found => Ok(found),
        }
    }

    /// What the manifest of a dataset in a bucket says, if it has one.
    pub async fn dataset(&self, bucket: &str, name: &DatasetName) -> Result<Option<Dataset>> {
        let key = dataset_manifest_key(name);
        match self
            .whole(bucket, &key, "dataset", from_json::<Dataset>)
            .await?
        {
            Some(found) if found.name != name.to_string() => {
                Err(wrong(&key, "it is of another dataset".into()))
            }
            found => Ok(found),
        }
    }

    async fn whole<M>(
        &self,
        bucket: &str,
        key: &str,
        noun: &str,
        message: impl Fn(Value) -> Result<M>,
    ) -> Result<Option<M>> {
        let uri = format!("s3://{bucket}/{key}");
        let bytes = match self.reader.read_start(&uri, MAX_WHOLE + 1).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        if bytes.len() as u64 > MAX_WHOLE {
            return Err(wrong(key, "it has more than 64 KiB".into()));
        }
        whole(key, noun, &bytes, message).map(Some)
    }

    /// The manifest of a session in a bucket, if it has one.
    pub async fn session(&self, bucket: &str, name: &SessionName) -> Result<Option<Manifest>> {
        let uri = format!("s3://{bucket}/{}", manifest_key(name));
        match self.reader.stream(&uri).await {
            Err(Error::NotFound { .. }) => Ok(None),
            bytes => Manifest::open(name, bytes?).await.map(Some),
        }
    }

    /// What is known of an object's content. Where neither the store nor whoever sent it says its checksum, all of it is read.
    pub async fn content(&self, bucket: &str, key: &str) -> Result<Content> {
        let place = Place {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        };
        let uri = format!("s3://{bucket}/{key}");
        let head = self.s3.head(&place).await?;
        let head = head.ok_or_else(|| Error::not_found(&uri))?;
        let sha256 = match head.sha256.or(head.declared) {
            Some(sha256) => sha256,
            None => self.digest(&uri).await?,
        };
        let media_type = head
            .media_type
            .filter(|text| !text.is_empty() && text.len() <= 255)
            .unwrap_or_else(|| media::from_path(key).to_owned());
        Ok(Content { sha256, media_type })
    }

    async fn digest(&self, uri: &str) -> Result<String> {
        let mut bytes = self.reader.stream(uri).await?;
        let mut hash = Sha256::new();
        while let Some(piece) = bytes.next().await {
            hash.update(&piece?);
        }
        Ok(hex::encode(hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[tokio::test]
    async fn folders_objects_and_their_content_are_found() {
        let bench = Bench::start().await;
        let s3 = &bench.core.s3;
        let inventory = Inventory::open(&bench.objects).unwrap();
        let at = |key: &str| Place {
            bucket: "granary-raw".into(),
            key: key.into(),
        };
        for key in ["p/d/s/a b", "p/d/s/c/d", "p/x"] {
            let place = at(key);
            let put = s3.put(&place, "1".into(), "image/jpeg", None);
            assert!(put.await.unwrap());
        }
        let entries: Vec<_> = inventory
            .entries("granary-raw", "p/")
            .try_collect()
            .await
            .unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0], Entry::Folder("p/d/".into()));
        assert!(matches!(&entries[1], Entry::Object(found) if found.key == "p/x"));
        let objects = inventory.objects("granary-raw", "p/d/");
        let objects: Vec<_> = objects.try_collect().await.unwrap();
        let keys: Vec<_> = objects.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(keys, ["p/d/s/a b", "p/d/s/c/d"]);
        let content = inventory.content("granary-raw", "p/x").await.unwrap();
        assert_eq!(content.sha256, hex::encode(Sha256::digest("1")));
        assert_eq!(content.media_type, "image/jpeg");
        let none = SessionName::new("p", "d", "s").unwrap();
        let none = inventory.session("granary-raw", &none).await.unwrap();
        assert!(none.is_none());
    }

    #[tokio::test]
    async fn what_was_declared_of_a_large_file_is_known_without_reading_it() {
        let bench = Bench::start().await;
        let s3 = &bench.core.s3;
        let place = Place {
            bucket: "granary-raw".into(),
            key: "p/d/s/large".into(),
        };
        let declared = "ab".repeat(32);
        let begun = s3.begin_multipart(&place, "a/b", Some(&declared));
        let upload = begun.await.unwrap();
        s3.put_part(&place, &upload, 1, "1".into()).await.unwrap();
        let parts = s3.list_parts(&place, &upload).await.unwrap().unwrap();
        s3.complete(&place, &upload, &parts, None).await.unwrap();
        let inventory = Inventory::open(&bench.objects).unwrap();
        let content = inventory.content("granary-raw", "p/d/s/large").await;
        assert_eq!(content.unwrap().sha256, declared);
    }
}
