//! Streams: a job as it changes, and what it writes.

use futures::{Stream, stream};
use granary_core::{Error, Result, name::JobName};
use granary_proto::job::v1::{Job, StreamJobLogsResponse};

use crate::{Inner, job, store::logs};
use std::{collections::VecDeque, sync::Arc};

/// The most bytes in one message.
const MESSAGE_BYTES: usize = 64 * 1024;

/// A job: as it is, then each change, until it has ended.
pub(crate) async fn watch(
    inner: Arc<Inner>,
    name: JobName,
) -> Result<impl Stream<Item = Result<Job>> + Send + 'static> {
    let row = job::row(&inner.core, &name).await?;
    let wait = inner.core.hub.job(row.seq);
    let start = (inner, name, wait, None::<Job>, false);
    Ok(stream::try_unfold(
        start,
        |(inner, name, mut wait, last, ended)| async move {
            if ended {
                return Ok(None);
            }
            loop {
                let job = job::get(&inner.core, &name).await?;
                if last.as_ref() != Some(&job) {
                    let ended = job.finish_time.is_some();
                    return Ok(Some((job.clone(), (inner, name, wait, Some(job), ended))));
                }
                change(&inner, &mut wait).await?;
            }
        },
    ))
}

async fn change(inner: &Inner, wait: &mut crate::hub::Wait) -> Result<()> {
    tokio::select! {
        () = wait.changed() => Ok(()),
        () = inner.core.stopping.cancelled() => Err(Error::Unavailable { reason: "the server stops: ask again".into(), cause: None }),
    }
}

/// Where to read, and how far.
pub(crate) struct Follow {
    pub name: JobName,
    /// 0 is the newest, and then those that come after it.
    pub attempt: i64,
    pub offset: i64,
    pub follow: bool,
}

struct Reader {
    inner: Arc<Inner>,
    wait: crate::hub::Wait,
    follow: Follow,
    /// The attempt that is read now.
    attempt: i64,
    offset: i64,
    ready: VecDeque<StreamJobLogsResponse>,
}

/// What a job wrote.
pub(crate) async fn read(
    inner: Arc<Inner>,
    follow: Follow,
) -> Result<impl Stream<Item = Result<StreamJobLogsResponse>> + Send + 'static> {
    let row = job::row(&inner.core, &follow.name).await?;
    if follow.attempt < 0 || follow.attempt > row.attempt {
        let reason = format!(
            "expected 0 to {}, the number of attempts, got {}",
            row.attempt, follow.attempt
        );
        return Err(Error::invalid("attempt", reason));
    }
    if follow.offset < 0 {
        return Err(Error::invalid(
            "offset",
            format!("expected 0 or more, got {}", follow.offset),
        ));
    }
    let wait = inner.core.hub.job(row.seq);
    let attempt = if follow.attempt == 0 {
        row.attempt
    } else {
        follow.attempt
    };
    let reader = Reader {
        inner,
        wait,
        attempt,
        offset: follow.offset,
        follow,
        ready: VecDeque::new(),
    };
    Ok(stream::try_unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Ok(next.map(|message| (message, reader)))
    }))
}

impl Reader {
    async fn next(&mut self) -> Result<Option<StreamJobLogsResponse>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            // The job is read before its log: what was written before it ended is then there.
            let row = job::row(&self.inner.core, &self.follow.name).await?;
            let pieces = logs::read(
                self.inner.core.db.reader(),
                row.seq,
                self.attempt,
                self.offset,
            )
            .await?;
            for piece in pieces {
                self.add(piece);
            }
            if !self.ready.is_empty() {
                continue;
            }
            if self.follow.attempt == 0 && row.attempt > self.attempt {
                (self.attempt, self.offset) = (self.attempt + 1, 0);
                continue;
            }
            let over = row.state.has_ended()
                || row.attempt > self.attempt
                || (self.follow.attempt != 0 && !row.state.is_held());
            if over || !self.follow.follow {
                return Ok(None);
            }
            change(&self.inner, &mut self.wait).await?;
        }
    }

    fn add(&mut self, piece: logs::Piece) {
        let skip = usize::try_from(self.offset.saturating_sub(piece.start)).unwrap_or(0);
        let mut offset = piece.start.max(self.offset);
        for data in piece
            .data
            .get(skip..)
            .unwrap_or_default()
            .chunks(MESSAGE_BYTES)
        {
            let attempt = i32::try_from(self.attempt).unwrap_or(i32::MAX);
            self.ready.push_back(StreamJobLogsResponse {
                attempt,
                offset,
                data: data.to_vec(),
            });
            offset += i64::try_from(data.len()).unwrap_or(0);
        }
        self.offset = offset;
    }
}
