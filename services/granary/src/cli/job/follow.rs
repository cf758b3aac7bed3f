//! Following a job: what it writes, and how it ends.

use std::time::Duration;

use granary_core::Result;
use granary_proto::job::v1::{GetJobRequest, Job, JobState, StreamJobLogsRequest, WatchJobRequest};
use tokio::time::Instant;

use super::{Context, table};
use crate::{
    client::{Client, call},
    failure::{Failure, Outcome},
    output::{Out, Progress},
    retry::Away,
};

/// A stream that was open for so long was no failure of the server to be there.
const QUIET: Duration = Duration::from_secs(60);

/// How far a log is printed. Attempt 0 stands for the newest there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    attempt: i32,
    offset: i64,
}

/// Prints the log of a job, beside the document if there is one to come; with `follow` until it has ended, whatever restarts in between.
pub(super) async fn logs(
    client: &Client,
    out: &Out,
    name: &str,
    attempt: i32,
    follow: bool,
) -> Outcome {
    let mut at = Position { attempt, offset: 0 };
    let mut away = Away::default();
    loop {
        let newest = if attempt == 0 && at.attempt > 0 {
            newest(client, name).await?
        } else {
            0
        };
        // An attempt that was interrupted is read to its end before the next one.
        let one_of_several = newest > at.attempt;
        let from = if attempt == 0 && !one_of_several {
            0
        } else {
            at.attempt
        };
        let request = StreamJobLogsRequest {
            name: name.to_owned(),
            attempt: from,
            offset: at.offset,
            follow,
        };
        match copy(client, out, request, &mut at, &mut away).await? {
            Ok(true) if one_of_several => {
                at = Position {
                    attempt: at.attempt + 1,
                    offset: 0,
                }
            }
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => client.retry().pause(&mut away, error).await?,
        }
    }
}

async fn newest(client: &Client, name: &str) -> Result<i32> {
    let job = call!(client.jobs().get_job(GetJobRequest {
        name: name.to_owned()
    }))?;
    Ok(job.attempts.last().map_or(0, |attempt| attempt.number))
}

// Prints one stream. Says whether it came to its end; it did not if a new attempt began just before it, so that the offset was not meant for it.
async fn copy(
    client: &Client,
    out: &Out,
    request: StreamJobLogsRequest,
    at: &mut Position,
    away: &mut Away,
) -> Outcome<Result<bool>> {
    let mut stream = match client.answer(client.jobs().stream_job_logs(request.clone()).await) {
        Ok(stream) => stream,
        Err(error) => return Ok(Err(error)),
    };
    let opened = Instant::now();
    let mut first = true;
    loop {
        let piece = match client.next(&mut stream).await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(Ok(true)),
            Err(error) => {
                // A quiet job says nothing for long, and the server was there.
                if opened.elapsed() >= QUIET {
                    *away = Away::default();
                }
                return Ok(Err(error));
            }
        };
        *away = Away::default();
        if std::mem::take(&mut first) && request.offset > 0 && piece.attempt != at.attempt {
            *at = Position {
                attempt: piece.attempt,
                offset: 0,
            };
            return Ok(Ok(false));
        }
        out.write_beside(&piece.data)?;
        let end = piece.offset + i64::try_from(piece.data.len()).unwrap_or_default();
        *at = Position {
            attempt: piece.attempt,
            offset: end,
        };
    }
}

/// Waits until a job has ended, whatever restarts in between.
pub(super) async fn ended(client: &Client, out: &Out, name: &str) -> Outcome<Job> {
    let progress = out.count_bar(crate::human::last(name), 0);
    client
        .retry()
        .follow(async |away| Ok(until_end(client, name, &progress, away).await))
        .await
}

async fn until_end(
    client: &Client,
    name: &str,
    progress: &Progress,
    away: &mut Away,
) -> Result<Option<Job>> {
    let mut stream = client.answer(
        client
            .jobs()
            .watch_job(WatchJobRequest {
                name: name.to_owned(),
            })
            .await,
    )?;
    while let Some(job) = client.next(&mut stream).await? {
        *away = Away::default();
        progress.message(table::state(&job).to_lowercase());
        if table::has_ended(&job) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// Prints how a job ended; fails unless it succeeded.
pub(super) fn print_end(context: &Context, job: &Job) -> Outcome {
    if context.out.is_table() {
        context.out.print(&table::end(job))?;
    } else {
        context.out.item(job, table::details)?;
    }
    if job.state() == JobState::Succeeded {
        Ok(())
    } else {
        Err(Failure::reported())
    }
}
