//! Opening sessions, many at once.

use std::collections::{BTreeSet, HashMap};

use granary_core::{
    Error, Result, id,
    layout::DatasetKind,
    name::{DatasetName, SessionName},
};
use granary_proto::convert::Report;

use crate::{
    Context,
    state::session::State,
    store::{
        attributes::{self, Attributes},
        dataset, json,
        request::{self, Key},
        session::{self as store, Session},
        unit::Unit,
    },
};

const METHOD: &str = "CreateSession";

/// A session to open.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub name: SessionName,
    pub attributes: Attributes,
    pub metadata_path: String,
    pub derived_from: Vec<String>,
    pub producer: String,
    pub request: Option<String>,
}

/// What is there, and what becomes of it.
struct Desk {
    kinds: HashMap<DatasetName, DatasetKind>,
    answered: HashMap<Key, String>,
    sessions: HashMap<SessionName, Session>,
    opened: BTreeSet<SessionName>,
    changed: BTreeSet<SessionName>,
    requests: Vec<(Key, String)>,
    now: i64,
}

/// Opens sessions in one transaction, with a result for each.
pub(super) async fn open(context: Context, new: Vec<NewSession>) -> Result<Vec<Result<Session>>> {
    let unit = Unit::begin(&context).await?;
    let mut desk = Desk::read(&unit, &new).await?;
    let results: Vec<_> = new.into_iter().map(|new| desk.open(new)).collect();
    let of = |names: &BTreeSet<SessionName>| {
        names
            .iter()
            .filter_map(|name| desk.sessions.get(name))
            .collect::<Vec<_>>()
    };
    store::add(&unit.tx, &of(&desk.opened)).await?;
    store::update(&unit.tx, &of(&desk.changed)).await?;
    store::index(&unit.tx, &of(&desk.changed)).await?;
    request::remember(&unit, &desk.requests).await?;
    for name in &desk.opened {
        unit.emit(&name.project, "session.created", name);
    }
    unit.commit(&context).await?;
    Ok(results)
}

impl Desk {
    async fn read(unit: &Unit, new: &[NewSession]) -> Result<Self> {
        let names: Vec<_> = new.iter().map(|new| new.name.clone()).collect();
        let mut parents: Vec<_> = names.iter().map(SessionName::parent).collect();
        parents.sort();
        parents.dedup();
        let keys: Vec<_> = new.iter().filter_map(NewSession::key).collect();
        let found = store::lock(&unit.tx, &names).await?;
        Ok(Self {
            kinds: dataset::kinds(&unit.tx, &parents).await?,
            answered: request::answered(&unit.tx, &keys).await?,
            sessions: found
                .into_iter()
                .map(|session| (session.name.clone(), session))
                .collect(),
            opened: BTreeSet::new(),
            changed: BTreeSet::new(),
            requests: Vec::new(),
            now: unit.now,
        })
    }

    fn open(&mut self, new: NewSession) -> Result<Session> {
        let parent = new.name.parent();
        let kind = *self
            .kinds
            .get(&parent)
            .ok_or_else(|| Error::not_found(&parent))?;
        let key = new.key();
        let (name, earlier) = (
            new.name.clone(),
            key.as_ref().and_then(|key| self.answered.get(key)),
        );
        if let Some((key, resource)) = key.as_ref().zip(earlier) {
            if *resource != name.to_string() {
                return Err(request::reused(&key.2, resource));
            }
            return self
                .sessions
                .get(&name)
                .cloned()
                .ok_or_else(|| Error::not_found(&name));
        }
        let session = match self.sessions.get(&name) {
            Some(found) => self.again(found.clone(), new)?,
            None => {
                let session = new.into_session(kind, self.now)?;
                self.opened.insert(name.clone());
                session
            }
        };
        if let Some(key) = key {
            self.answered.insert(key.clone(), name.to_string());
            self.requests.push((key, name.to_string()));
        }
        self.sessions.insert(name, session.clone());
        Ok(session)
    }

    /// A session that is there: open ones take what is new, others must have been opened alike.
    fn again(&mut self, mut session: Session, new: NewSession) -> Result<Session> {
        let opened_with = new.content()?;
        if session.state != State::Open {
            let alike = session.opened_with == opened_with || session.holds(&new);
            return if alike {
                Ok(session)
            } else {
                Err(Error::already_exists(
                    &session.name,
                    session.difference(&new),
                ))
            };
        }
        if session.holds(&new) && session.opened_with == opened_with {
            return Ok(session);
        }
        attributes::merge(
            "session.attributes",
            &mut session.attributes,
            new.attributes,
        )?;
        let replace = |old: &mut String, new: String| {
            if !new.is_empty() {
                *old = new
            }
        };
        replace(&mut session.metadata_path, new.metadata_path);
        replace(&mut session.producer, new.producer);
        if !new.derived_from.is_empty() {
            session.derived_from = new.derived_from;
        }
        session.opened_with = opened_with;
        if !self.opened.contains(&session.name) {
            self.changed.insert(session.name.clone());
        }
        Ok(session)
    }
}

impl NewSession {
    fn key(&self) -> Option<Key> {
        self.request
            .clone()
            .map(|id| (self.name.project.clone(), METHOD, id))
    }

    /// A digest of what makes two openings alike.
    fn content(&self) -> Result<String> {
        Ok(id::digest(&[
            &json::encode("session.attributes", &self.attributes)?,
            &self.metadata_path,
        ]))
    }

    fn into_session(self, kind: DatasetKind, now: i64) -> Result<Session> {
        let opened_with = self.content()?;
        json::encode("session.derived_from", &self.derived_from)?;
        Ok(Session {
            opened_with,
            name: self.name,
            kind,
            state: State::Open,
            attributes: self.attributes,
            metadata_path: self.metadata_path,
            derived_from: self.derived_from,
            producer: self.producer,
            errors: Report::new(),
            asset_count: 0,
            pending_count: 0,
            ready_count: 0,
            rejected_count: 0,
            size_bytes: 0,
            created: now,
            completed: None,
            finished: None,
        })
    }
}

impl Session {
    /// Whether it has everything that is asked for.
    fn holds(&self, new: &NewSession) -> bool {
        let attributes = new
            .attributes
            .iter()
            .all(|(key, value)| self.attributes.get(key) == Some(value));
        attributes && (new.metadata_path.is_empty() || new.metadata_path == self.metadata_path)
    }

    fn difference(&self, new: &NewSession) -> String {
        let other = new
            .attributes
            .iter()
            .find(|(key, value)| self.attributes.get(*key) != Some(value));
        match other {
            Some((key, _)) => format!(
                "it was completed with another value of the attribute {key:?}: choose another session id"
            ),
            None => "it was completed with another metadata_path: choose another session id".into(),
        }
    }
}
