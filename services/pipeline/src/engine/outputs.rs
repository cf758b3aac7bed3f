//! The sessions that take results: opened with the first result, completed with the run.

use std::collections::{BTreeMap, HashMap};

use granary_core::{Error, Result, name::SessionName, value::Value};
use granary_proto::{
    convert,
    metadata::v1::{Session, SessionState},
};

use super::{Engine, failure::is_infrastructure, subject::Subject};

/// What was learned about outputs while a session is worked on.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// Output sessions that are ready to take files, or why they are not.
    opened: HashMap<String, std::result::Result<SessionName, String>>,
    /// Attributes for output sessions, beside those of the source.
    pub(crate) attributes: BTreeMap<String, Value>,
    /// Plans that could not do their work, with the first reason.
    pub(crate) failures: BTreeMap<usize, String>,
}

impl Outputs {
    pub(super) fn new(
        attributes: BTreeMap<String, Value>,
        failures: BTreeMap<usize, String>,
    ) -> Self {
        Self {
            opened: HashMap::new(),
            attributes,
            failures,
        }
    }

    /// Opens the session of the same id in the dataset that takes results, once; or says why it cannot be used.
    pub(super) async fn open(
        &mut self,
        engine: &Engine,
        subject: &Subject,
        plan: usize,
        into: &str,
    ) -> Result<std::result::Result<SessionName, String>> {
        if let Some(known) = self.opened.get(into) {
            return Ok(known.clone());
        }
        let source = &subject.session;
        let mut dataset = source.name.parent();
        into.clone_into(&mut dataset.dataset);
        let name = dataset.session(&source.name.session)?;
        engine.remote.ensure_dataset(&dataset).await?;
        let mut attributes = source.attributes.clone();
        attributes.extend(self.attributes.clone());
        let session = Session {
            attributes: convert::wire_attributes(attributes),
            derived_from: vec![source.name.to_string()],
            producer: subject
                .plans
                .get(plan)
                .map(|plan| plan.run.to_string())
                .unwrap_or_default(),
            ..Session::default()
        };
        let opened = match engine.remote.open_session(&name, session).await {
            Ok(found) if is_ours(&found, &source.name) => Ok(name),
            Ok(_) => Err(format!(
                "the session {name} belongs to somebody else: use another dataset in `into`"
            )),
            Err(error) if is_infrastructure(&error) => return Err(error),
            Err(error) => Err(format!(
                "the session {name} cannot take the results: {error}"
            )),
        };
        self.opened.insert(into.to_owned(), opened.clone());
        Ok(opened)
    }
}

/// Completes the output session of `source` in a dataset, if there is one, whichever attempt opened it.
pub(super) async fn complete(engine: &Engine, source: &SessionName, dataset: &str) -> Result<()> {
    let name = SessionName {
        dataset: dataset.to_owned(),
        ..source.clone()
    };
    let found = match engine.remote.session(&name).await {
        Err(Error::NotFound { .. }) => return Ok(()),
        other => other?,
    };
    if is_ours(&found, source) && found.state() == SessionState::Open {
        engine.remote.complete_session(&name).await?;
    }
    Ok(())
}

fn is_ours(session: &Session, source: &SessionName) -> bool {
    session
        .derived_from
        .iter()
        .any(|from| *from == source.to_string())
}
