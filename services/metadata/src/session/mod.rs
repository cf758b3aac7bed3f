//! Sessions.

mod create;
mod end;

use granary_core::{
    Result,
    filter::Filter,
    name::{DatasetScope, SessionName},
};
use granary_runtime::{
    batch::{Batcher, Limits},
    task::Tasks,
};

pub(crate) use create::NewSession;
pub(crate) use end::{Completion, Finish};

use crate::{
    Context, dataset,
    lane::Lane,
    store::{
        in_order,
        page::{self, Page},
        session::{self as store, Key, Session},
    },
};

/// What can be done with sessions.
#[derive(Clone)]
pub(crate) struct Sessions {
    context: Context,
    lane: Lane,
    openings: Batcher<NewSession, Session>,
    reads: Batcher<SessionName, Session>,
}

impl Sessions {
    pub(crate) fn start(context: &Context, tasks: &Tasks, lane: &Lane) -> Self {
        let (opening, reading) = (context.clone(), context.clone());
        Self {
            context: context.clone(),
            lane: lane.clone(),
            openings: Batcher::start(
                tasks,
                "metadata: open sessions",
                Limits::default(),
                move |new| create::open(opening.clone(), new),
            ),
            reads: Batcher::start(
                tasks,
                "metadata: read sessions",
                Limits::READS,
                move |names| read(reading.clone(), names),
            ),
        }
    }

    /// Opens a session, or returns the one that is there with the same content.
    pub(crate) async fn create(&self, new: NewSession) -> Result<Session> {
        self.openings.call(new).await
    }

    /// The session.
    pub(crate) async fn get(&self, name: SessionName) -> Result<Session> {
        self.reads.call(name).await
    }

    /// Closes a session.
    pub(crate) async fn complete(&self, completion: Completion) -> Result<Session> {
        self.lane
            .write(move |unit| Box::pin(end::complete(unit, completion)))
            .await
    }

    /// Ends a session.
    pub(crate) async fn finish(&self, finish: Finish) -> Result<Session> {
        self.lane
            .write(move |unit| Box::pin(end::finish(unit, finish)))
            .await
    }

    /// A page of the sessions that match, the newest first.
    pub(crate) async fn list<M: prost::Message>(
        &self,
        scope: &DatasetScope,
        filter: &Filter,
        (size, last): (u32, Option<Key>),
        wire: impl Fn(Session) -> M,
    ) -> Result<Page<M, Key>> {
        dataset::exists(&self.context, &scope.project, scope.dataset.as_deref()).await?;
        let wire = &wire;
        page::read(size, last, move |last: Option<Key>, limit| async move {
            let rows = store::list(
                self.context.db.reader(),
                scope,
                filter,
                last.as_ref(),
                limit,
            )
            .await?;
            Ok(rows
                .into_iter()
                .map(|s| {
                    (
                        (s.created, s.name.dataset.clone(), s.name.session.clone()),
                        wire(s),
                    )
                })
                .collect())
        })
        .await
    }
}

async fn read(context: Context, names: Vec<SessionName>) -> Result<Vec<Result<Session>>> {
    let found = store::get(context.db.reader(), &names).await?;
    Ok(in_order(names, found, |session| &session.name))
}
