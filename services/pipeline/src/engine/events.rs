//! Following the event stream: each session that completes is queued, once.

use std::{sync::Arc, time::Duration};

use granary_core::{Error, Result, clock::to_micros, name::SessionName};
use granary_proto::{convert, metadata::v1::Event};
use granary_runtime::{db::in_time, rpc::from_status, trace::Parent};
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::store::{
    cursor,
    works::{self, Completed},
};

/// The token of the oldest event that is kept: nothing that completed before the first start is missed.
const OLDEST: &str = "0";
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Follows the stream until `stop`, and takes it up again whenever it ends.
pub(super) async fn follow(engine: Arc<Engine>, stop: CancellationToken) {
    let mut pause = PAUSE;
    loop {
        let mut heard = false;
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = listen(&engine, &mut heard) => ended,
        };
        if heard {
            pause = PAUSE;
        }
        // What completes from now on is not heard of.
        engine.lag.behind(engine.now());
        match ended {
            Ok(()) => tracing::debug!("the event stream ended: opening it again"),
            // A stream lasts no longer than its token, and the next call sends a new one.
            Err(Error::Unauthenticated { .. }) if heard => {
                tracing::debug!("the event stream ended with its token: opening it again")
            }
            Err(error) => {
                tracing::warn!(%error, cause = error.cause().map(tracing::field::display), "the event stream broke: opening it again")
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn listen(engine: &Engine, heard: &mut bool) -> Result<()> {
    let token = in_time(cursor::load(engine.db.reader()))
        .await?
        .unwrap_or_else(|| OLDEST.to_owned());
    let mut events = match engine.remote.completed_sessions(token).await {
        // The events were made anew, as after a restore: sessions that are queued already stay as they are.
        Err(Error::Invalid(_)) => engine.remote.completed_sessions(OLDEST.to_owned()).await?,
        other => other?,
    };
    while let Some(batch) = events.message().await.map_err(from_status)? {
        *heard = true;
        let times = batch.events.iter().filter_map(|event| event.create_time);
        let times = times.filter_map(|time| convert::time("create_time", &time).ok());
        if let Some(oldest) = times.map(to_micros).min() {
            engine.lag.behind(oldest);
        }
        let completed = |event: &Event| {
            Some(Completed {
                session: SessionName::parse(&event.resource).ok()?,
                trace: Parent::parse(&event.trace_parent),
            })
        };
        let sessions: Vec<Completed> = batch
            .events
            .iter()
            .filter(|event| event.r#type == crate::definition::EVENT)
            .filter_map(completed)
            .collect();
        let queued = works::enqueue(&engine.db, &sessions, &batch.resume_token, engine.now());
        if in_time(queued).await? > 0 {
            engine.is_due();
        }
        engine.lag.none();
    }
    Ok(())
}
