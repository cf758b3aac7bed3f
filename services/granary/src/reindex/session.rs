//! One session: what its manifest says beside what lies in the bucket, or that alone.

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use granary_core::{
    Result,
    clock::to_micros,
    layout::{DatasetKind, key, session_prefix},
    name::SessionName,
};
use granary_metadata::restore::{File, Outcome, Standing};
use granary_proto::metadata::v1::Asset;
use granary_storage::inventory::{Manifest, Object};

use super::{
    Trouble,
    find::{Kind, kind},
    report::{Finding, add, one},
    walk::Walk,
};

/// How many files are added at once, and how many of them the store is asked about.
const FILES: usize = 500;
const ASKED: usize = 16;

/// The files below the prefix of a session, in the order of their paths, one ahead.
struct Files<S> {
    objects: S,
    /// How long the prefix is.
    prefix: usize,
    next: Option<(String, u64)>,
}

impl Walk<'_> {
    /// Puts one session into the database.
    pub(super) async fn session(
        &self,
        bucket: &str,
        kind: DatasetKind,
        name: &SessionName,
    ) -> Result<(), Trouble> {
        let manifest = self.inventory.session(bucket, name).await;
        match manifest.map_err(Trouble::of_store)? {
            Some(manifest) => self.closed(bucket, kind, name, manifest).await,
            None => self.open(bucket, kind, name).await,
        }
    }

    /// A session that was completed: all of it is in its manifest.
    async fn closed(
        &self,
        bucket: &str,
        kind: DatasetKind,
        name: &SessionName,
        mut manifest: Manifest,
    ) -> Result<(), Trouble> {
        let begun = self.restorer.begin(kind, manifest.session().clone()).await;
        let mut restoring = begun.map_err(Trouble::of_index)?;
        let mut files = Files {
            objects: std::pin::pin!(self.files(bucket, name)),
            prefix: session_prefix(name).len(),
            next: None,
        };
        files.advance().await?;
        loop {
            let page = manifest.page().await.map_err(Trouble::of_store)?;
            if page.is_empty() {
                break;
            }
            for asset in &page {
                self.beside(bucket, name, asset, &mut files).await?;
            }
            restoring.add(page).await.map_err(Trouble::of_index)?;
        }
        while let Some((path, _)) = files.next.take() {
            self.stray(bucket, &key(name, &path));
            files.advance().await?;
        }
        let (assets, bytes) = restoring.size();
        let outcome = restoring.finish().await.map_err(Trouble::of_index)?;
        self.count(name, &outcome, assets, bytes);
        Ok(())
    }

    /// Compares an asset of a manifest with what lies in the bucket, which is not in the manifest if it comes before it.
    async fn beside<S: Stream<Item = Result<Object>> + Unpin>(
        &self,
        bucket: &str,
        name: &SessionName,
        asset: &Asset,
        files: &mut Files<S>,
    ) -> Result<(), Trouble> {
        let place = format!("s3://{bucket}/{}", key(name, &asset.path));
        while let Some((path, size)) = files.next.take() {
            if path > asset.path {
                files.next = Some((path, size));
                break;
            }
            files.advance().await?;
            if path < asset.path {
                self.stray(bucket, &key(name, &path));
                continue;
            }
            if i64::try_from(size) != Ok(asset.size_bytes) {
                let what = format!("{size} bytes where {} should be", asset.size_bytes);
                self.report.find(Finding::Missing, &place, &what);
            }
            return Ok(());
        }
        self.report.find(Finding::Missing, &place, "");
        Ok(())
    }

    fn count(&self, name: &SessionName, outcome: &Outcome, assets: u64, bytes: u64) {
        let sessions = &self.report.sessions;
        match outcome {
            Outcome::Made | Outcome::Newer => {
                let counted = match outcome {
                    Outcome::Made => &sessions.made,
                    _ => &sessions.newer,
                };
                one(counted);
                add(&self.report.assets, assets);
                add(&self.report.bytes, bytes);
            }
            Outcome::Known {
                differences,
                behind,
            } => {
                one(&sessions.known);
                if *behind {
                    one(&self.report.behind);
                }
                if !differences.is_empty() {
                    let mut what = differences.join("; ");
                    if *behind && !self.report.mode.take_newer {
                        what.push_str(": --take-newer takes it from there");
                    }
                    self.report.find(Finding::Differs, &name.to_string(), &what);
                }
            }
        }
    }

    /// A session without a manifest: what arrived of it.
    async fn open(
        &self,
        bucket: &str,
        kind: DatasetKind,
        name: &SessionName,
    ) -> Result<(), Trouble> {
        let standing = self.restorer.standing(name).await;
        let (standing, arrived) = standing.map_err(Trouble::of_index)?;
        let (mut there, mut assets, mut bytes) = (0, 0, 0);
        let mut chunks = std::pin::pin!(self.files(bucket, name).try_chunks(FILES));
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Trouble::Broken(error.1))?;
            let (new, known) = self.new_files(name, chunk).await?;
            there += known;
            if standing == Standing::Closed {
                new.iter()
                    .for_each(|object| self.stray(bucket, &object.key));
                continue;
            }
            let files = self.described(bucket, name, new).await?;
            let added = self.restorer.add_files(name, kind, files).await;
            let (more, size) = added.map_err(Trouble::of_index)?;
            assets += more;
            bytes += size;
        }
        add(&self.report.assets, assets);
        add(&self.report.bytes, bytes);
        self.count_open(name, standing, assets);
        if there < arrived {
            let what = format!(
                "{} of {arrived} files that have arrived do not lie in the bucket",
                arrived - there
            );
            self.report.find(Finding::Missing, &name.to_string(), &what);
        }
        Ok(())
    }

    fn count_open(&self, name: &SessionName, standing: Standing, assets: u64) {
        match standing {
            Standing::Unknown if assets > 0 => {
                one(&self.report.sessions.made);
                one(&self.report.open);
            }
            Standing::Unknown => {}
            Standing::Open => one(&self.report.sessions.known),
            Standing::Closed => {
                one(&self.report.sessions.known);
                let what = "it was completed, and has no manifest";
                self.report.find(Finding::Differs, &name.to_string(), what);
            }
        }
    }

    /// Those of some objects that the database does not know, and how many of the others have arrived.
    async fn new_files(
        &self,
        name: &SessionName,
        objects: Vec<Object>,
    ) -> Result<(Vec<Object>, u64), Trouble> {
        let path = |object: &Object| match kind(name, object) {
            Kind::File(path) => path.to_owned(),
            Kind::Manifest | Kind::Stray => String::new(),
        };
        let paths: Vec<String> = objects.iter().map(path).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let seen = self.restorer.seen(name, &paths).await;
        let seen = seen.map_err(Trouble::of_index)?;
        let both = objects.into_iter().zip(&paths);
        let new = both
            .filter(|(_, path)| seen.unknown.contains(&name.asset(path)))
            .map(|(object, _)| object)
            .collect();
        Ok((new, seen.arrived))
    }

    async fn described(
        &self,
        bucket: &str,
        name: &SessionName,
        objects: Vec<Object>,
    ) -> Result<Vec<File>, Trouble> {
        let asked: Vec<_> = objects
            .iter()
            .map(|object| self.described_one(bucket, name, object))
            .collect();
        let files = stream::iter(asked).buffered(ASKED);
        let files: Vec<Option<File>> = files.try_collect().await?;
        Ok(files.into_iter().flatten().collect())
    }

    async fn described_one(
        &self,
        bucket: &str,
        name: &SessionName,
        object: &Object,
    ) -> Result<Option<File>, Trouble> {
        let Kind::File(path) = kind(name, object) else {
            return Ok(None);
        };
        let content = self.inventory.content(bucket, &object.key).await;
        let place = format!("s3://{bucket}/{}", object.key);
        let content = self.settled(&place, content.map_err(Trouble::of_store))?;
        Ok(content.map(|content| File {
            path: path.to_owned(),
            size: object.size,
            sha256: content.sha256,
            media_type: content.media_type,
            arrived: to_micros(object.modified),
        }))
    }

    /// The files below the prefix of a session; what else is there is said on the way.
    fn files(&self, bucket: &str, name: &SessionName) -> impl Stream<Item = Result<Object>> {
        let objects = self.inventory.objects(bucket, &session_prefix(name));
        objects.try_filter(move |object| {
            let file = match kind(name, object) {
                Kind::File(_) => true,
                Kind::Manifest => false,
                Kind::Stray => {
                    self.stray(bucket, &object.key);
                    false
                }
            };
            futures::future::ready(file)
        })
    }
}

impl<S: Stream<Item = Result<Object>> + Unpin> Files<S> {
    async fn advance(&mut self) -> Result<(), Trouble> {
        let next = self.objects.try_next().await.map_err(Trouble::Broken)?;
        let prefix = self.prefix;
        self.next = next.map(|mut object| (object.key.split_off(prefix), object.size));
        Ok(())
    }
}
