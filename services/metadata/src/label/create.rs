//! Adding labels, many at once.

use std::collections::{HashMap, HashSet};

use granary_core::{
    Error, Result, id,
    name::{AssetName, LabelName},
};

use super::fits;
use crate::{
    Context,
    store::{
        asset::{self as assets, Asset},
        label::{self as store, Area, Label},
        request::{self, Key},
        unit::Unit,
    },
};

const METHOD: &str = "CreateLabel";

/// A label to add.
#[derive(Debug)]
pub(crate) struct NewLabel {
    pub parent: AssetName,
    /// The caller's choice, or none to have one made.
    pub name: Option<LabelName>,
    pub class: String,
    pub area: Option<Area>,
    pub author: String,
    pub request: Option<String>,
}

/// What is there, and what is added.
struct Desk {
    assets: HashMap<AssetName, Asset>,
    labels: HashMap<LabelName, Label>,
    answered: HashMap<Key, String>,
    added: Vec<LabelName>,
    requests: Vec<(Key, String)>,
    now: i64,
}

/// Adds labels in one transaction, with a result for each.
pub(super) async fn add(context: Context, new: Vec<NewLabel>) -> Result<Vec<Result<Label>>> {
    let unit = Unit::begin(&context).await?;
    let mut desk = Desk::read(&unit, &new).await?;
    let results: Vec<_> = new.into_iter().map(|new| desk.add(new)).collect();
    let added: Vec<_> = desk
        .added
        .iter()
        .filter_map(|name| desk.labels.get(name))
        .collect();
    store::add(&unit.tx, &added).await?;
    request::remember(&unit, &desk.requests).await?;
    for name in &desk.added {
        unit.emit(&name.project, "label.created", name);
    }
    unit.commit(&context).await?;
    Ok(results)
}

impl Desk {
    async fn read(unit: &Unit, new: &[NewLabel]) -> Result<Self> {
        let keys: Vec<_> = new.iter().filter_map(NewLabel::key).collect();
        let answered = request::answered(&unit.tx, &keys).await?;
        let parents: HashSet<_> = new.iter().map(|new| new.parent.clone()).collect();
        let parents: Vec<_> = parents.into_iter().collect();
        let mut names: Vec<_> = new.iter().filter_map(|new| new.name.clone()).collect();
        for resource in answered.values() {
            names.push(LabelName::parse(resource)?);
        }
        Ok(Self {
            assets: assets::get(&unit.tx, &parents)
                .await?
                .into_iter()
                .map(|a| (a.name.clone(), a))
                .collect(),
            labels: store::get(&unit.tx, &names)
                .await?
                .into_iter()
                .map(|l| (l.name.clone(), l))
                .collect(),
            answered,
            added: Vec::new(),
            requests: Vec::new(),
            now: unit.now,
        })
    }

    fn add(&mut self, new: NewLabel) -> Result<Label> {
        let key = new.key();
        if let Some((key, resource)) = key
            .as_ref()
            .and_then(|key| Some((key, self.answered.get(key)?)))
        {
            let name = LabelName::parse(resource)?;
            if name.parent() != new.parent || new.name.is_some_and(|wanted| wanted != name) {
                return Err(request::reused(&key.2, resource));
            }
            return self
                .labels
                .get(&name)
                .cloned()
                .ok_or_else(|| Error::not_found(&name));
        }
        let asset = self
            .assets
            .get(&new.parent)
            .ok_or_else(|| Error::not_found(&new.parent))?;
        new.area.map_or(Ok(()), |area| fits(area, asset))?;
        let name = match new.name {
            Some(name) => name,
            None => LabelName::new(
                &new.parent.project,
                &new.parent.dataset,
                &new.parent.asset,
                id::new("l"),
            )?,
        };
        if self.labels.contains_key(&name) {
            return Err(Error::already_exists(&name, ""));
        }
        if let Some(key) = key {
            self.answered.insert(key.clone(), name.to_string());
            self.requests.push((key, name.to_string()));
        }
        let label = Label {
            name: name.clone(),
            class: new.class,
            area: new.area,
            author: new.author,
            revision: 1,
            created: self.now,
            updated: self.now,
        };
        self.labels.insert(name.clone(), label.clone());
        self.added.push(name);
        Ok(label)
    }
}

impl NewLabel {
    fn key(&self) -> Option<Key> {
        self.request
            .clone()
            .map(|id| (self.parent.project.clone(), METHOD, id))
    }
}
