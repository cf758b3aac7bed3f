//! Following a job: what it writes, and how it ends.

use granary_core::Result;
use granary_proto::job::v1::{Job, JobState, StreamJobLogsRequest, WatchJobRequest};

use super::{Context, table};
use crate::{
    client::Client,
    failure::{Failure, Outcome},
    output::{Out, Progress},
    retry::Away,
};

/// Prints the log of a job, beside the document if there is one to come; with `follow` until it has ended, whatever restarts in between.
pub(super) async fn logs(
    client: &Client,
    out: &Out,
    name: &str,
    attempt: i32,
    follow: bool,
) -> Outcome {
    let mut request = StreamJobLogsRequest {
        name: name.to_owned(),
        attempt,
        offset: 0,
        follow,
    };
    let mut away = Away::default();
    loop {
        let opened = client.answer(client.jobs().stream_job_logs(request.clone()).await);
        let failed = match opened {
            Err(error) => error,
            Ok(mut stream) => loop {
                match client.next(&mut stream).await {
                    Err(error) => break error,
                    Ok(None) => return Ok(()),
                    Ok(Some(piece)) => {
                        away = Away::default();
                        out.write_beside(&piece.data)?;
                        // After an interruption, go on where this ended.
                        request.attempt = piece.attempt;
                        request.offset =
                            piece.offset + i64::try_from(piece.data.len()).unwrap_or_default();
                    }
                }
            },
        };
        client.retry().pause(&mut away, failed).await?;
    }
}

/// Waits until a job has ended, whatever restarts in between.
pub(super) async fn ended(client: &Client, out: &Out, name: &str) -> Outcome<Job> {
    let progress = out.count_bar(crate::human::last(name), 0);
    let mut away = Away::default();
    loop {
        match until_end(client, name, &progress, &mut away).await {
            Ok(Some(job)) => return Ok(job),
            Ok(None) => {}
            Err(error) => client.retry().pause(&mut away, error).await?,
        }
    }
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
