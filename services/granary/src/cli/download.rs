//! `granary download`: assets become files.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Instant,
};

use granary_core::{
    Error,
    name::{AssetName, SessionName},
    path,
    units::human_bytes,
};
use granary_proto::metadata::v1::{Asset, AssetState, BatchGetAssetsRequest, SnapshotAsset};
use granary_transfer::{DownloadOptions, Downloaded, Downloader, Wanted};
use serde_json::json;

use super::{context::Context, query::matching, snapshot::held};
use crate::{
    client::{Client, call},
    failure::{Failure, Outcome},
    human, names,
};

const BATCH: usize = 1000;

/// Fetches assets
///
/// They go into DIR/SESSION/PATH, or DIR/DATASET/SESSION/PATH if they are of several datasets. What is there already with the same content is
/// not fetched again, and after an interruption the same command goes on where it ended.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub(crate) struct Download {
    /// Assets: DATASET/SESSION/PATH, DATASET/ASSET or full names
    #[arg(value_name = "ASSET", group = "what")]
    assets: Vec<String>,
    /// All of a session
    #[arg(long, value_name = "DATASET/SESSION", group = "what")]
    session: Option<String>,
    /// All of a snapshot
    #[arg(long, value_name = "DATASET/SNAPSHOT", group = "what")]
    snapshot: Option<String>,
    /// What matches and is READY, as in granary query
    #[arg(long, value_name = "FILTER", group = "what")]
    filter: Option<String>,
    /// With --filter: only of this dataset
    #[arg(long, value_name = "DATASET", requires = "filter")]
    dataset: Option<String>,
    /// With --filter: also what was rejected, or is not checked yet
    #[arg(long, requires = "filter")]
    include_rejected: bool,
    /// Where to; made if it is missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How many files are on their way at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: Option<u8>,
    /// No progress and no notes
    #[arg(long, short = 'q')]
    quiet: bool,
}

struct Found {
    asset: AssetName,
    session: SessionName,
    path: String,
    size: u64,
    sha256: String,
    rejected: bool,
}

impl Download {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out.clone().quiet(self.quiet);
        let mut client = context.patient_client().await?;
        let found = self.find(context, &mut client).await?;
        if found.is_empty() {
            out.note("nothing to fetch");
        }
        let rejected = found.iter().filter(|file| file.rejected).count();
        let bytes = found.iter().map(|file| file.size).sum();
        let progress = out.bytes_bar("download", bytes);
        let default = DownloadOptions::default();
        let concurrency = self.concurrency.map_or(default.concurrency, usize::from);
        let downloader = Downloader::new(
            client.link(),
            DownloadOptions {
                concurrency,
                ..default
            },
        );
        let started = Instant::now();
        let mut total = Downloaded::default();
        for (project, wanted) in place(&self.to, found)? {
            let project = names::project(&project)?;
            let done = downloader.download(&project, wanted, &progress).await?;
            total = Downloaded {
                files: total.files + done.files,
                bytes: total.bytes + done.bytes,
                skipped: total.skipped + done.skipped,
            };
        }
        drop(progress);
        let seconds = started.elapsed();
        let line = || {
            let there = if total.skipped > 0 {
                format!(", {} there already", total.skipped)
            } else {
                String::new()
            };
            let to = human::shown(&self.to.display().to_string());
            format!(
                "{}{there}, {} fetched into {to} in {}",
                human::count(total.files, "file"),
                human_bytes(total.bytes),
                human::duration(seconds)
            )
        };
        let json = || {
            Ok(
                json!({ "files": total.files, "bytes": total.bytes, "skipped": total.skipped, "rejected": rejected, "seconds": seconds.as_secs_f64() }),
            )
        };
        context.out.record(json, line)?;
        if rejected > 0 {
            let count = human::count(u64::try_from(rejected).unwrap_or_default(), "file");
            out.note(&format!(
                "rejected by checks: {count} of these; granary asset list --filter 'state = REJECTED' names them"
            ));
        }
        Ok(())
    }

    async fn find(&self, context: &Context, client: &mut Client) -> Outcome<Vec<Found>> {
        let mut found = Vec::new();
        if let Some(snapshot) = &self.snapshot {
            let name = names::snapshot(context.project(), snapshot).map_err(Failure::usage)?;
            held(client, &name, None, |assets| {
                collect(&mut found, assets.iter().map(of_snapshot))
            })
            .await?;
        } else if let Some(session) = &self.session {
            let name = names::session(context.project(), session).map_err(Failure::usage)?;
            call!(
                client
                    .sessions()
                    .get_session(granary_proto::metadata::v1::GetSessionRequest {
                        name: name.to_string()
                    })
            )?;
            let filter = format!("session = \"{}\" AND NOT state = PENDING", name.session);
            matching(
                client,
                &name.parent().to_string(),
                &filter,
                None,
                |assets| collect(&mut found, assets.iter().map(of_asset)),
            )
            .await?;
        } else if let Some(filter) = &self.filter {
            let parent = names::dataset_scope(context.project(), self.dataset.as_deref())
                .map_err(Failure::usage)?;
            let wanted = |asset: &&Asset| match asset.state() {
                AssetState::Ready => true,
                AssetState::Pending => false,
                _ => self.include_rejected,
            };
            matching(client, &parent, filter, None, |assets| {
                collect(&mut found, assets.iter().filter(wanted).map(of_asset))
            })
            .await?;
        } else {
            self.named(context, client, &mut found).await?;
        }
        Ok(found)
    }

    async fn named(&self, context: &Context, client: &Client, found: &mut Vec<Found>) -> Outcome {
        // As they were written, by name.
        let mut by_project: BTreeMap<String, BTreeMap<AssetName, &str>> = BTreeMap::new();
        for asset in &self.assets {
            let name = names::asset(context.project(), asset).map_err(Failure::usage)?;
            by_project
                .entry(format!("projects/{}", name.project))
                .or_default()
                .insert(name, asset);
        }
        for (parent, written) in by_project {
            let names: Vec<String> = written.keys().map(ToString::to_string).collect();
            let as_written = |error| {
                written.iter().fold(error, |error, (name, written)| {
                    names::asset_as_written(error, name, written)
                })
            };
            for names in names.chunks(BATCH) {
                let request = BatchGetAssetsRequest {
                    parent: parent.clone(),
                    names: names.to_vec(),
                };
                let answer =
                    call!(client.assets().batch_get_assets(request)).map_err(as_written)?;
                collect(found, answer.assets.iter().map(of_asset))?;
            }
        }
        Ok(())
    }
}

fn collect(
    found: &mut Vec<Found>,
    assets: impl Iterator<Item = granary_core::Result<Found>>,
) -> Outcome {
    for asset in assets {
        found.push(asset?);
    }
    Ok(())
}

fn of_asset(asset: &Asset) -> granary_core::Result<Found> {
    let found = found(
        &asset.name,
        &asset.session,
        &asset.path,
        asset.size_bytes,
        &asset.sha256,
    )?;
    Ok(Found {
        rejected: asset.state() == AssetState::Rejected,
        ..found
    })
}

fn of_snapshot(asset: &SnapshotAsset) -> granary_core::Result<Found> {
    found(
        &asset.asset,
        &asset.session,
        &asset.path,
        asset.size_bytes,
        &asset.sha256,
    )
}

fn found(
    asset: &str,
    session: &str,
    path: &str,
    size: i64,
    sha256: &str,
) -> granary_core::Result<Found> {
    Ok(Found {
        asset: AssetName::parse(asset)?,
        session: SessionName::parse(session)?,
        path: path.to_owned(),
        size: u64::try_from(size).unwrap_or_default(),
        sha256: sha256.to_owned(),
        rejected: false,
    })
}

// Paths become files of this machine here, so that they are checked here, whoever checked them before.
fn place(to: &Path, found: Vec<Found>) -> granary_core::Result<BTreeMap<String, Vec<Wanted>>> {
    let several = found
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.session.parent() != b.session.parent()));
    let mut by_project: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
    let mut taken: HashMap<PathBuf, AssetName> = HashMap::new();
    for Found {
        asset,
        session,
        path,
        size,
        sha256,
        rejected: _,
    } in found
    {
        path::check(&path)?;
        let mut target = to.to_owned();
        if several {
            target.push(&session.dataset);
        }
        target.push(&session.session);
        target.push(&path);
        match taken.insert(target.clone(), asset.clone()) {
            Some(same) if same == asset => continue,
            Some(_) => {
                return Err(Error::precondition(
                    target.display(),
                    "two assets would go there: fetch them one project at a time",
                ));
            }
            None => {}
        }
        by_project
            .entry(asset.project.clone())
            .or_default()
            .push(Wanted {
                asset,
                to: target,
                size_bytes: size,
                sha256,
            });
    }
    Ok(by_project)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(dataset: &str, session: &str, path: &str) -> Found {
        let session = SessionName::new("p", dataset, session).unwrap();
        Found {
            asset: session.asset(path),
            session,
            path: path.into(),
            size: 1,
            sha256: String::new(),
            rejected: false,
        }
    }

    fn targets(found: Vec<Found>) -> Vec<String> {
        let placed = place(Path::new("out"), found).unwrap();
        placed
            .into_values()
            .flatten()
            .map(|wanted| wanted.to.display().to_string())
            .collect()
    }

    #[test]
    fn the_dataset_is_part_of_the_path_only_if_there_are_several() {
        assert_eq!(
            targets(vec![one("d", "s", "a/b"), one("d", "t", "c")]),
            ["out/s/a/b", "out/t/c"]
        );
        assert_eq!(
            targets(vec![one("d", "s", "a"), one("e", "s", "a")]),
            ["out/d/s/a", "out/e/s/a"]
        );
        assert_eq!(
            targets(vec![one("d", "s", "a"), one("d", "s", "a")]),
            ["out/s/a"]
        );
    }

    #[test]
    fn no_file_is_written_outside_of_the_folder() {
        for path in ["../a", "/etc/passwd", "a/../../b", ""] {
            assert!(
                place(Path::new("out"), vec![one("d", "s", path)]).is_err(),
                "{path}"
            );
        }
    }
}
