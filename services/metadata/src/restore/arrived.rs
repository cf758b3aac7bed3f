//! Sessions that the database knows files of, for whoever looks whether anything of them is left.

use granary_core::{
    Result,
    layout::DatasetKind,
    name::{ProjectName, SessionName},
};
use granary_runtime::db::sql::{Sql, values};

use super::Restorer;
use crate::store::dataset as store;

/// How many come at once.
const PAGE: i64 = 1000;
const ARRIVED: &str = "SELECT s.project, s.dataset, s.session, d.kind FROM sessions s \
    JOIN datasets d ON d.project = s.project AND d.dataset = s.dataset WHERE s.asset_count > s.pending_count";

impl Restorer {
    /// The next sessions after `last` of which files have arrived, in the order of their names, with the kinds of their datasets; of one project or of
    /// all. None are left if none come.
    pub async fn arrived(
        &self,
        project: Option<&ProjectName>,
        last: Option<&SessionName>,
    ) -> Result<Vec<(SessionName, DatasetKind)>> {
        let mut sql = Sql::new(self.db.backend(), ARRIVED);
        if let Some(project) = project {
            sql.push(" AND s.project = ").bind(project.project.as_str());
        }
        if let Some(last) = last {
            sql.push(" AND (s.project, s.dataset, s.session) > ")
                .tuple(values![
                    last.project.as_str(),
                    last.dataset.as_str(),
                    last.session.as_str()
                ]);
        }
        sql.push(" ORDER BY s.project, s.dataset, s.session LIMIT ")
            .bind(PAGE);
        let read = sql.all(self.db.reader(), |row| {
            let name = SessionName {
                project: row.get()?,
                dataset: row.get()?,
                session: row.get()?,
            };
            Ok((name, row.get::<String>()?.parse()?))
        });
        read.await
    }

    /// Whether the database knows a project.
    pub async fn knows(&self, project: &ProjectName) -> Result<bool> {
        let found = store::project(self.db.reader(), project).await?;
        Ok(found.is_some())
    }
}
