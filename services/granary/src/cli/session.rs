//! `granary session`: folders that arrived together.

use std::time::Duration;

use granary_core::units::Span;
use granary_proto::metadata::v1::{GetSessionRequest, ListSessionsRequest, Session as Message};

use super::{
    context::{Context, Limit},
    nothing,
};
use crate::{
    client::call,
    failure::{Failure, Outcome, with_caret},
    human, names,
    output::{Listing, Table},
    page, show,
    wait::{self, Settled},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Session {
    /// Lists sessions, the newest first
    List {
        /// Only of this dataset
        #[arg(long, value_name = "DATASET")]
        dataset: Option<String>,
        /// Only what matches (AIP-160), such as 'attributes.fatigue > 3 AND state = PROCESSED'
        #[arg(
            long,
            value_name = "FILTER",
            default_value = "",
            hide_default_value = true
        )]
        filter: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows a session
    Get {
        /// DATASET/SESSION or its full name
        session: String,
    },
    /// Waits until pipelines have processed a session; exits with 1 if it failed, and says why
    Wait {
        /// DATASET/SESSION or its full name
        session: String,
        /// Gives up after this long, such as 10m
        #[arg(long, value_name = "DURATION")]
        timeout: Option<Span>,
    },
}

impl Session {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List {
                dataset,
                filter,
                limit,
            } => {
                let parent = names::dataset_scope(context.project(), dataset.as_deref())
                    .map_err(Failure::usage)?;
                list(context, parent, filter, limit).await
            }
            Self::Get { session } => {
                let name = names::session(context.project(), &session).map_err(Failure::usage)?;
                let client = context.client().await?;
                let session = call!(client.sessions().get_session(GetSessionRequest {
                    name: name.to_string()
                }))?;
                context.out.item(&session, details)
            }
            Self::Wait { session, timeout } => {
                let name = names::session(context.project(), &session).map_err(Failure::usage)?;
                let client = context.patient_client().await?;
                let timeout = timeout.map(|Span(timeout)| timeout);
                let settled = limited(
                    timeout,
                    &name.to_string(),
                    wait::settled(&client, &name, &context.out),
                )
                .await?;
                print(context, &settled)?;
                if settled.succeeded() {
                    Ok(())
                } else {
                    Err(Failure::reported())
                }
            }
        }
    }
}

/// Waits no longer than wanted.
pub(crate) async fn limited<T>(
    timeout: Option<Duration>,
    what: &str,
    wait: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    let Some(timeout) = timeout else {
        return wait.await;
    };
    tokio::time::timeout(timeout, wait)
        .await
        .unwrap_or_else(|_| {
            let reason = format!(
                "{} is not done after {}",
                human::short(what),
                human::duration(timeout)
            );
            Err(granary_core::Error::DeadlineExceeded { reason }.into())
        })
}

async fn list(context: &Context, parent: String, filter: String, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let headers = [
        "SESSION", "STATE", "ASSETS", "READY", "REJECTED", "SIZE", "CREATED",
    ];
    let mut listing = Listing::new(&context.out, "sessions", headers);
    let get = async |page_size, page_token| {
        let request = ListSessionsRequest {
            parent: parent.clone(),
            page_size,
            page_token,
            filter: filter.clone(),
        };
        let response = call!(client.sessions().list_sessions(request))
            .map_err(|error| with_caret(&filter, error))?;
        Ok::<_, Failure>((response.sessions, response.next_page_token))
    };
    page::each(limit.limit, get, |sessions| listing.page(&sessions, row)).await?;
    let found = !listing.is_empty();
    listing.finish()?;
    if !found {
        nothing::explain(&client, &context.out, &parent, &filter).await;
    }
    Ok(())
}

fn row(session: &Message) -> [String; 7] {
    [
        human::short(&session.name),
        state(session).to_owned(),
        session.asset_count.to_string(),
        session.ready_count.to_string(),
        session.rejected_count.to_string(),
        human::bytes(session.size_bytes),
        human::time(session.create_time.as_ref()),
    ]
}

/// A session's state, such as `PROCESSED`.
pub(crate) fn state(session: &Message) -> &'static str {
    human::state(session.state().as_str_name(), "SESSION_STATE")
}

fn details(session: &Message) -> Table {
    let table = Table::fields()
        .field("Name", &session.name)
        .field("State", state(session))
        .field("Assets", counts(session))
        .field("Size", human::bytes(session.size_bytes))
        .field("Metadata file", &session.metadata_path)
        .field("URI", &session.uri)
        .field("Producer", &session.producer)
        .field("Derived from", session.derived_from.join(", "))
        .field("Created", human::time(session.create_time.as_ref()))
        .field("Completed", human::time(session.complete_time.as_ref()))
        .field("Finished", human::time(session.finish_time.as_ref()));
    show::errors(
        show::attributes(table, &session.attributes),
        &session.errors,
    )
}

fn counts(session: &Message) -> String {
    format!(
        "{}, {} ready, {} rejected",
        session.asset_count, session.ready_count, session.rejected_count
    )
}

/// Prints how one of several sessions ended, with what was rejected.
pub(crate) fn print_one(context: &Context, settled: &Settled) -> Outcome {
    if context.out.is_table() {
        return context.out.print(&settled.text());
    }
    context.out.record(|| settled.json(), String::new)
}

fn print(context: &Context, settled: &Settled) -> Outcome {
    if !context.out.is_table() {
        return context.out.document(&settled.json()?);
    }
    context.out.print(&settled.text())
}
