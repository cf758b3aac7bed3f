//! What steps found for a content, so that nothing is worked out twice.

use std::collections::{BTreeMap, HashMap};

use granary_core::Result;
use sea_orm::{ConnectionTrait, DbBackend};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Column, all, get, rows, table};
use crate::steps::Finding;

/// What one kind of step found, or made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cached {
    #[serde(flatten)]
    pub(crate) finding: Finding,
    /// The name of the asset that it made; empty for a check.
    #[serde(default, rename = "o", skip_serializing_if = "String::is_empty")]
    pub(crate) output: String,
}

/// By the step's digest.
pub(crate) type Entry = BTreeMap<String, Cached>;

/// The most kinds of steps that are remembered for one content.
pub(crate) const MAX_STEPS: usize = 64;

/// What is known about contents of a project, by checksum.
pub(crate) async fn find<C: ConnectionTrait>(
    db: &C,
    project: &str,
    contents: &[&str],
) -> Result<HashMap<String, Entry>> {
    let sql = find_sql(db.get_database_backend());
    let wanted = rows(contents.iter().map(|content| json!([content])).collect());
    let mut known = HashMap::new();
    for row in all(db, sql, vec![wanted, project.into()]).await? {
        let steps: String = get(&row, "steps")?;
        // What an older or newer version wrote differently is worked out again.
        known.insert(
            get(&row, "sha256")?,
            serde_json::from_str(&steps).unwrap_or_default(),
        );
    }
    Ok(known)
}

// A list to search for, rather than a join: SQLite would go through the whole project for each content.
fn find_sql(backend: DbBackend) -> String {
    format!(
        "SELECT sha256, steps FROM cache WHERE project = $2 AND sha256 IN (SELECT sha256 FROM {} AS wanted)",
        table(backend, 1, &[("sha256", Column::Text)])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{database, plan};

    #[tokio::test]
    async fn a_look_up_costs_what_is_asked_for_and_not_what_is_stored() {
        let (_folder, db) = database().await;
        let plan = plan(&db, &find_sql(db.backend()), 2).await;
        assert!(plan.contains("project=? AND sha256=?"), "{plan}");
        assert!(!plan.contains("SCAN cache"), "{plan}");
    }
}
