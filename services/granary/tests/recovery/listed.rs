//! What the API says is there.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::World;

/// Everything that buckets can give back, each by its name within the project.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) projects: Vec<Json>,
    pub(crate) datasets: Vec<Json>,
    pub(crate) sessions: BTreeMap<String, Json>,
    pub(crate) assets: BTreeMap<String, Json>,
    /// How many bytes and assets the project holds.
    pub(crate) quota: (Json, Json),
}

fn short(name: &Json) -> String {
    let parts: Vec<&str> = name.as_str().unwrap().split('/').collect();
    format!("{}/{}", parts[3], parts[5])
}

impl World {
    pub(crate) async fn listed(&self) -> Listed {
        let list = async |noun: &str| {
            let listed = self.json(&[noun, "list"]).await;
            listed[format!("{noun}s")].as_array().unwrap().clone()
        };
        let datasets = list("dataset").await;
        let mut assets = BTreeMap::new();
        for dataset in &datasets {
            let id = dataset["name"].as_str().unwrap().rsplit('/').next();
            let of = ["asset", "list", "--dataset", id.unwrap()];
            for asset in self.json(&of).await["assets"].as_array().unwrap() {
                assets.insert(short(&asset["name"]), asset.clone());
            }
        }
        let quota = self.json(&["project", "quota", "get"]).await;
        let sessions = list("session").await.into_iter();
        // How often it was changed is of the database alone.
        let without_etag = |mut dataset: Json| {
            dataset.as_object_mut().unwrap().remove("etag");
            dataset
        };
        Listed {
            projects: list("project").await,
            datasets: datasets.into_iter().map(without_etag).collect(),
            sessions: sessions.map(|s| (short(&s["name"]), s)).collect(),
            assets,
            quota: (quota["used_bytes"].clone(), quota["used_objects"].clone()),
        }
    }
}

impl Listed {
    /// Those that were completed.
    pub(crate) fn closed_sessions(&self) -> BTreeMap<String, Json> {
        let closed = self.sessions.iter();
        closed
            .filter(|(_, session)| session["state"] != "SESSION_STATE_OPEN")
            .map(|(name, session)| (name.clone(), session.clone()))
            .collect()
    }

    fn is_open(&self, asset: &Json) -> bool {
        let session = &self.sessions[&short(&asset["session"])];
        session["state"] == "SESSION_STATE_OPEN"
    }

    /// The assets of sessions that were completed.
    pub(crate) fn closed_assets(&self) -> BTreeMap<String, Json> {
        let all = self.assets.iter();
        all.filter(|(_, asset)| !self.is_open(asset))
            .map(|(name, asset)| (name.clone(), asset.clone()))
            .collect()
    }

    /// What is known of the files of sessions that were not, but for when they came.
    pub(crate) fn open_files(&self) -> Vec<Json> {
        let of_asset = |asset: &Json| {
            let mut asset = asset.clone();
            let fields = asset.as_object_mut().unwrap();
            fields.remove("create_time");
            fields.remove("update_time");
            asset
        };
        let open: Vec<_> = self.assets.values().filter(|a| self.is_open(a)).collect();
        assert_eq!(open.len(), 2);
        open.into_iter().map(of_asset).collect()
    }
}
