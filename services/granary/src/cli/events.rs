//! `granary events`: what happens.

use granary_core::Result;
use granary_proto::{json::to_json, metadata::v1::WatchEventsRequest};

use super::context::Context;
use crate::{client::Client, failure::Outcome, retry::Away, wait::event_line};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Events {
    /// Prints the project's events as they happen, until it is interrupted
    Watch {
        /// Only these types, such as session.completed
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Only of this resource and what is below it, by its full name
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        resource: String,
        /// Goes on after this resume token; 0 starts with the oldest event that is kept [default: from now on]
        #[arg(
            long,
            value_name = "TOKEN",
            default_value = "",
            hide_default_value = true
        )]
        after: String,
    },
}

impl Events {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Self::Watch {
            types,
            resource,
            after,
        } = self;
        let client = context.patient_client().await?;
        let mut request = WatchEventsRequest {
            parent: client.project().to_string(),
            resume_token: after,
            types,
            resource,
        };
        client
            .retry()
            .follow(async |away| copy(context, &client, &mut request, away).await)
            .await
    }
}

// Prints one stream to its end.
async fn copy(
    context: &Context,
    client: &Client,
    request: &mut WatchEventsRequest,
    away: &mut Away,
) -> Outcome<Result<Option<()>>> {
    let mut stream = match client.answer(client.events().watch_events(request.clone()).await) {
        Ok(stream) => stream,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let response = match client.next(&mut stream).await {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        *away = Away::default();
        for event in &response.events {
            context
                .out
                .record(|| to_json(event), || event_line(event))?;
        }
        request.resume_token = response.resume_token;
    }
}
