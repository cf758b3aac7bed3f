//! Completing and finishing sessions.

use granary_core::{
    Error, Result,
    name::{SessionName, quote},
};
use granary_proto::convert::Report;

use crate::{
    state::{
        asset,
        session::{Event, State, next},
    },
    store::{
        asset as assets,
        attributes::{self, Attributes},
        session::{self as store, Counts, Session},
        unit::Unit,
    },
};

/// Everything was uploaded.
pub(crate) struct Completion {
    pub name: SessionName,
    /// How many assets the caller sent, or 0.
    pub asset_count: i64,
}

/// Pipelines are done.
pub(crate) struct Finish {
    pub name: SessionName,
    pub errors: Report,
    pub attributes: Attributes,
}

async fn lock(unit: &Unit, name: &SessionName) -> Result<Session> {
    let found = store::lock(&unit.tx, std::slice::from_ref(name)).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Error::not_found(name))
}

pub(super) async fn complete(unit: &Unit, completion: Completion) -> Result<Session> {
    let mut session = lock(unit, &completion.name).await?;
    let end = next(session.state, Event::Complete).map_err(|wrong| wrong.of(&session.name))?;
    if end == session.state {
        return Ok(session);
    }
    if session.pending_count > 0 {
        let example = assets::example(&unit.tx, &session.name, asset::State::Pending)
            .await?
            .unwrap_or_default();
        let reason = format!(
            "{} of its assets are not uploaded yet, such as {}: finish their uploads, then complete it again",
            session.pending_count,
            quote(&example)
        );
        return Err(Error::precondition(&session.name, reason));
    }
    if completion.asset_count != 0 && completion.asset_count != session.asset_count {
        let reason = format!(
            "it has {} assets, not {}: upload those that are missing, or complete it with the number that is meant",
            session.asset_count, completion.asset_count
        );
        return Err(Error::precondition(&session.name, reason));
    }
    session.state = end;
    session.completed = Some(unit.now);
    store::update(&unit.tx, &[&session]).await?;
    unit.emit(&session.name.project, "session.completed", &session.name);
    Ok(session)
}

pub(super) async fn finish(unit: &Unit, finish: Finish) -> Result<Session> {
    let mut session = lock(unit, &finish.name).await?;
    let bad = !finish.errors.is_empty() || session.rejected_count > 0;
    let event = if bad { Event::Refuse } else { Event::Accept };
    let end = next(session.state, event).map_err(|wrong| wrong.of(&session.name))?;
    if end == session.state {
        return Ok(session);
    }
    let learned = !finish.attributes.is_empty();
    attributes::merge("attributes", &mut session.attributes, finish.attributes)?;
    session.errors = finish.errors;
    session.state = end;
    session.finished = Some(unit.now);
    accept_rest(unit, &mut session).await?;
    store::update(&unit.tx, &[&session]).await?;
    if learned {
        store::index(&unit.tx, &[&session]).await?;
    }
    let kind = if end == State::Failed {
        "session.failed"
    } else {
        "session.processed"
    };
    unit.emit(&session.name.project, kind, &session.name);
    Ok(session)
}

/// What no pipeline gave a verdict on is ready.
async fn accept_rest(unit: &Unit, session: &mut Session) -> Result<()> {
    let open: Vec<_> = asset::State::moved_by(asset::Event::Accepted).collect();
    let moved = assets::move_all(
        &unit.tx,
        &session.name,
        &open,
        asset::State::Ready,
        unit.now,
    )
    .await?;
    let counts = Counts {
        ready: i64::try_from(moved).unwrap_or(i64::MAX),
        ..Counts::default()
    };
    session.ready_count += counts.ready;
    store::count(&unit.tx, [(&session.name, &counts)]).await
}
