//! One closed session, from its manifest, in one transaction.

use std::collections::HashMap;

use granary_core::{Error, Result, layout::DatasetKind, name::AssetName};
use granary_proto::metadata::v1::{Asset as WireAsset, Session as WireSession};

use super::{
    Restorer, Write, compare,
    held::{Held, size},
    parse,
};
use crate::{
    state::{asset, session::State},
    store::{
        asset::{self as assets, Asset},
        session::{self as store, Counts, Session},
    },
};

/// The most differences of one session that are said.
const MOST: usize = 10;

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there, and is now.
    Made,
    /// It was there at an earlier moment of its life, and is now as its manifest says.
    Newer,
    /// It is there, and stays as it is.
    Known {
        /// What its manifest says otherwise; not all of it if it is much.
        differences: Vec<String>,
        /// Whether the database knows it at an earlier moment of its life.
        behind: bool,
    },
}

enum Way {
    New,
    /// Over what is there.
    Newer(Box<Session>),
    /// Only compared; its assets only if both are of the same moment.
    Known(Box<Session>),
}

/// A session that is being put into the database. Nothing of it is there before [`Restoring::finish`].
pub struct Restoring<'a> {
    restorer: &'a Restorer,
    session: Session,
    way: Way,
    write: Option<Write<'a>>,
    counts: Counts,
    held: Held,
    differences: Vec<String>,
}

impl std::fmt::Debug for Restoring<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restoring")
            .field("session", &self.session.name)
            .finish_non_exhaustive()
    }
}

impl Restorer {
    /// Begins with a closed session, of a dataset of this kind. Nothing is locked before its first assets come.
    pub async fn begin(&self, kind: DatasetKind, session: WireSession) -> Result<Restoring<'_>> {
        let session = parse::session(kind, session)?;
        let names = std::slice::from_ref(&session.name);
        let known = store::get(self.db.reader(), names).await?.pop();
        let way = match known.map(Box::new) {
            None => Way::New,
            Some(known) => {
                let behind = compare::rank(known.state) < compare::rank(session.state);
                match behind && self.mode.take_newer {
                    true => Way::Newer(known),
                    false => Way::Known(known),
                }
            }
        };
        Ok(Restoring {
            restorer: self,
            session,
            way,
            write: None,
            counts: Counts::default(),
            held: Held::default(),
            differences: Vec::new(),
        })
    }
}

impl<'a> Restoring<'a> {
    /// Takes further assets. What cannot be one of this session is INVALID_ARGUMENT.
    pub async fn add(&mut self, page: Vec<WireAsset>) -> Result<()> {
        let parsed = page.into_iter().map(|wire| {
            let place = wire.path.clone();
            parse::asset(&self.session, wire).map_err(|error| error.within(&place))
        });
        let page: Vec<Asset> = parsed.collect::<Result<_>>()?;
        let all: Vec<&Asset> = page.iter().collect();
        self.count(&all);
        match &self.way {
            Way::New => {
                let write = self.open().await?;
                assets::add(&write.tx, &all).await?;
                self.write = Some(write);
            }
            Way::Newer(_) => self.replace(&all).await?,
            Way::Known(known)
                if compare::rank(known.state) == compare::rank(self.session.state) =>
            {
                self.compare(&all).await?;
            }
            Way::Known(_) => {}
        }
        Ok(())
    }

    /// How many assets it has so far, and of how many bytes.
    pub fn size(&self) -> (u64, u64) {
        size(&self.counts)
    }

    async fn open(&mut self) -> Result<Write<'a>> {
        match self.write.take() {
            Some(write) => Ok(write),
            None => self.restorer.write().await,
        }
    }

    fn count(&mut self, page: &[&Asset]) {
        for asset in page {
            self.counts.add(Counts {
                assets: 1,
                pending: 0,
                ready: i64::from(asset.state == asset::State::Ready),
                rejected: i64::from(asset.state == asset::State::Rejected),
                bytes: asset.size_bytes,
            });
            self.held.add(asset.created, asset.size_bytes, 1);
        }
    }

    /// Puts assets over those that are there, unless their bytes are others.
    async fn replace(&mut self, page: &[&Asset]) -> Result<()> {
        let write = self.open().await?;
        let names: Vec<AssetName> = page.iter().map(|asset| asset.name.clone()).collect();
        let known = by_name(assets::get(&write.tx, &names).await?);
        for asset in page {
            let other = known.get(&asset.name).is_some_and(|known| {
                known.state != asset::State::Pending && known.sha256 != asset.sha256
            });
            if other {
                self.differs(format!("{}: sha256", asset.path));
            }
        }
        assets::remove(&write.tx, &names).await?;
        assets::add(&write.tx, page).await?;
        self.write = Some(write);
        Ok(())
    }

    async fn compare(&mut self, page: &[&Asset]) -> Result<()> {
        let names: Vec<AssetName> = page.iter().map(|asset| asset.name.clone()).collect();
        let known = by_name(assets::get(self.restorer.db.reader(), &names).await?);
        for asset in page {
            match known.get(&asset.name) {
                None => self.differs(format!("{}: only in the manifest", asset.path)),
                Some(known) => {
                    let difference = compare::assets(known, asset);
                    difference.into_iter().for_each(|text| self.differs(text));
                }
            }
        }
        Ok(())
    }

    fn differs(&mut self, text: String) {
        match self.differences.len() {
            0..MOST => self.differences.push(text),
            MOST => self.differences.push("and more".into()),
            _ => {}
        }
    }

    /// Ends it: all of its assets have come.
    pub async fn finish(mut self) -> Result<Outcome> {
        let announced = self.session.asset_count;
        if announced != self.counts.assets {
            let what = format!(
                "expected {announced} assets, as the session says, got {}",
                self.counts.assets
            );
            return Err(Error::invalid("asset_count", what));
        }
        self.session.ready_count = self.counts.ready;
        self.session.rejected_count = self.counts.rejected;
        self.session.size_bytes = self.counts.bytes;
        match std::mem::replace(&mut self.way, Way::New) {
            Way::New => self.finish_new().await,
            Way::Newer(known) => self.finish_newer(&known).await,
            Way::Known(known) => Ok(self.finish_known(&known)),
        }
    }

    async fn finish_new(mut self) -> Result<Outcome> {
        let write = self.open().await?;
        store::add(&write.tx, &[&self.session]).await?;
        let held = std::mem::take(&mut self.held);
        self.settle(write, held).await?;
        Ok(Outcome::Made)
    }

    async fn finish_newer(mut self, known: &Session) -> Result<Outcome> {
        let write = self.open().await?;
        let there = assets::of_session(&write.tx, &self.session.name).await?;
        if there != self.counts.assets {
            self.differs(format!(
                "{} assets that its manifest does not list",
                there - self.counts.assets
            ));
        }
        if !self.differences.is_empty() {
            // Undone.
            drop(write);
            return Ok(Outcome::Known {
                differences: self.differences,
                behind: true,
            });
        }
        store::remove(&write.tx, &self.session.name).await?;
        store::add(&write.tx, &[&self.session]).await?;
        let mut more = Held::default();
        more.add(
            self.session.completed.unwrap_or(known.created),
            self.counts.bytes - known.size_bytes,
            self.counts.assets - known.asset_count,
        );
        self.settle(write, more).await?;
        Ok(Outcome::Newer)
    }

    fn finish_known(mut self, known: &Session) -> Outcome {
        let (here, there) = (
            compare::rank(known.state),
            compare::rank(self.session.state),
        );
        if here != there {
            let (here, there) = (known.state.as_str(), self.session.state.as_str());
            self.differs(format!("{here} in the database, {there} in its manifest"));
        } else {
            let fields = compare::sessions(known, &self.session);
            fields.into_iter().for_each(|fields| self.differs(fields));
            if known.asset_count != self.counts.assets {
                self.differs("asset_count".into());
            }
        }
        Outcome::Known {
            differences: self.differences,
            behind: here < there,
        }
    }

    /// Adds to what its project holds, has pipelines hear of what they have not worked on, and commits.
    async fn settle(&self, write: Write<'_>, held: Held) -> Result<()> {
        let name = &self.session.name;
        let project = name.project.as_str();
        held.settle(&write.tx, project).await?;
        if self.session.state == State::Completed {
            let now = self.restorer.now();
            write
                .emit(project, "session.completed", name.to_string(), now)
                .await?;
        }
        write.commit().await
    }
}

fn by_name(found: Vec<Asset>) -> HashMap<AssetName, Asset> {
    found
        .into_iter()
        .map(|asset| (asset.name.clone(), asset))
        .collect()
}
