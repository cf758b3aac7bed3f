//! EventService.

use futures::{StreamExt as _, stream::BoxStream};
use granary_core::{Error, Result, name::ProjectName};
use granary_proto::metadata::v1::{
    Event as WireEvent, WatchEventsRequest, WatchEventsResponse, event_service_server::EventService,
};
use granary_runtime::rpc::to_status;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{name, time};
use crate::{
    Context, check,
    event::{self, Batch},
    project,
    store::event::Wanted,
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub stopping: CancellationToken,
}

const MAX_TYPES: usize = 100;

impl Handler {
    async fn parse(&self, request: WatchEventsRequest) -> Result<(Wanted, i64)> {
        let project = match request.parent.as_str() {
            "projects/-" => None,
            parent => {
                let parent: ProjectName = name("parent", parent)?;
                Some(project::get(&self.context, &parent).await?.name.project)
            }
        };
        if request.types.len() > MAX_TYPES {
            return Err(Error::invalid(
                "types",
                format!("expected at most {MAX_TYPES}, got {}", request.types.len()),
            ));
        }
        for (i, kind) in request.types.iter().enumerate() {
            check::text(&format!("types[{i}]"), kind, 128)?;
        }
        check::resource("resource", &request.resource, project.as_deref())?;
        let place = self
            .context
            .feed
            .place(&self.context.db, &request.resume_token)
            .await?;
        Ok((
            Wanted {
                project,
                types: request.types,
                resource: request.resource,
            },
            place,
        ))
    }
}

fn wire(context: &Context, batch: Batch) -> WatchEventsResponse {
    let event = |event: crate::store::event::Event| WireEvent {
        resume_token: context.feed.token(event.seq),
        r#type: event.kind,
        resource: event.resource,
        create_time: time(event.created),
        trace_parent: event.trace,
    };
    WatchEventsResponse {
        resume_token: context.feed.token(batch.place),
        events: batch.events.into_iter().map(event).collect(),
    }
}

#[tonic::async_trait]
impl EventService for Handler {
    type WatchEventsStream = BoxStream<'static, Result<WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let parsed = self.parse(request.into_inner()).await;
        let (wanted, place) = parsed.map_err(to_status)?;
        let context = self.context.clone();
        let batches = event::watch(&context, wanted, place, self.stopping.clone());
        let responses =
            batches.map(move |batch| batch.map(|batch| wire(&context, batch)).map_err(to_status));
        Ok(Response::new(responses.boxed()))
    }
}
