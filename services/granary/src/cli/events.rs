//! `granary events`: what happens.

use granary_proto::{
    json::to_json,
    metadata::v1::{Event, WatchEventsRequest},
};

use super::context::Context;
use crate::{failure::Outcome, retry::Away, wait::event_line};

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
        let mut away = Away::default();
        loop {
            let failed = match client.answer(client.events().watch_events(request.clone()).await) {
                Err(error) => Some(error),
                Ok(mut stream) => loop {
                    match client.next(&mut stream).await {
                        Err(error) => break Some(error),
                        Ok(None) => break None,
                        Ok(Some(response)) => {
                            away = Away::default();
                            response
                                .events
                                .iter()
                                .try_for_each(|event| print(context, event))?;
                            request.resume_token = response.resume_token;
                        }
                    }
                },
            };
            if let Some(error) = failed {
                client.retry().pause(&mut away, error).await?;
            }
        }
    }
}

fn print(context: &Context, event: &Event) -> Outcome {
    context.out.record(|| to_json(event), || event_line(event))
}
