//! SessionService.

use granary_core::{
    Error, Result, lineage,
    name::{DatasetName, DatasetScope, SessionName},
    path,
};
use granary_proto::{
    convert::{report, wire_attributes, wire_report},
    metadata::v1::{
        CompleteSessionRequest, CreateSessionRequest, FinishSessionRequest, GetSessionRequest,
        ListSessionsRequest, ListSessionsResponse, Session as WireSession,
        SessionState as WireState, session_service_server::SessionService,
    },
};
use tonic::{Request, Response, Status};

use super::{name, paged, paging, reply, time, with_id};
use crate::{
    Context, check,
    session::{Completion, Finish, NewSession, Sessions},
    state::session::State,
    store::{
        attributes,
        filter::{self, SESSIONS},
        json, request,
        session::Session,
    },
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub sessions: Sessions,
}

fn parse(request: CreateSessionRequest) -> Result<NewSession> {
    let parent: DatasetName = name("parent", &request.parent)?;
    let session = request.session.unwrap_or_default();
    let origin = |name: &str| lineage::origin(name, &parent.project);
    check::names("session.derived_from", &session.derived_from, 1000, origin)?;
    lineage::producer(&session.producer, &parent.project)
        .map_err(|error| error.within("session.producer"))?;
    if !session.metadata_path.is_empty() {
        let at = |error: Error| with_id::<()>("session.metadata_path", Err(error));
        path::check(&session.metadata_path).or_else(at)?;
    }
    Ok(NewSession {
        name: with_id("session_id", parent.session(&request.session_id))?,
        attributes: attributes::parse("session.attributes", session.attributes)?,
        metadata_path: session.metadata_path,
        derived_from: session.derived_from,
        producer: session.producer,
        request: request::parse(&request.request_id)?,
    })
}

fn parse_completion(request: CompleteSessionRequest) -> Result<Completion> {
    if request.asset_count < 0 {
        return Err(Error::invalid(
            "asset_count",
            format!("expected 0 or more, got {}", request.asset_count),
        ));
    }
    Ok(Completion {
        name: name("name", &request.name)?,
        asset_count: request.asset_count,
    })
}

fn parse_finish(request: FinishSessionRequest) -> Result<Finish> {
    let errors = report(request.errors);
    json::encode("errors", &errors)?;
    let attributes = attributes::parse("attributes", request.attributes)?;
    Ok(Finish {
        name: name("name", &request.name)?,
        errors,
        attributes,
    })
}

fn wire_state(state: State) -> WireState {
    match state {
        State::Open => WireState::Open,
        State::Completed => WireState::Completed,
        State::Processed => WireState::Processed,
        State::Failed => WireState::Failed,
    }
}

impl Handler {
    fn wire(&self, session: Session) -> WireSession {
        WireSession {
            name: session.name.to_string(),
            state: wire_state(session.state).into(),
            uri: self.context.layout.session_uri(session.kind, &session.name),
            attributes: wire_attributes(session.attributes),
            metadata_path: session.metadata_path,
            derived_from: session.derived_from,
            producer: session.producer,
            errors: wire_report(session.errors),
            asset_count: session.asset_count,
            ready_count: session.ready_count,
            rejected_count: session.rejected_count,
            size_bytes: session.size_bytes,
            create_time: time(session.created),
            complete_time: session.completed.and_then(time),
            finish_time: session.finished.and_then(time),
        }
    }
}

#[tonic::async_trait]
impl SessionService for Handler {
    async fn create_session(
        &self,
        request: Request<CreateSessionRequest>,
    ) -> Result<Response<WireSession>, Status> {
        reply(async { Ok(self.wire(self.sessions.create(parse(request.into_inner())?).await?)) })
            .await
    }

    async fn get_session(
        &self,
        request: Request<GetSessionRequest>,
    ) -> Result<Response<WireSession>, Status> {
        let get = |name: SessionName| self.sessions.get(name);
        reply(async { Ok(self.wire(get(name("name", &request.get_ref().name)?).await?)) }).await
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let scope =
                DatasetScope::parse(&request.parent).map_err(|error| error.within("parent"))?;
            let filter = filter::parse(&request.filter, &SESSIONS)?;
            let question = ["ListSessions", &request.parent, &request.filter];
            let start = paging(&question, request.page_size, &request.page_token)?;
            let page = self
                .sessions
                .list(&scope, &filter, start, |session| self.wire(session))
                .await?;
            let (sessions, next_page_token) = paged(&question, page)?;
            Ok(ListSessionsResponse {
                sessions,
                next_page_token,
            })
        })
        .await
    }

    async fn complete_session(
        &self,
        request: Request<CompleteSessionRequest>,
    ) -> Result<Response<WireSession>, Status> {
        let completion = parse_completion(request.into_inner());
        reply(async { Ok(self.wire(self.sessions.complete(completion?).await?)) }).await
    }

    async fn finish_session(
        &self,
        request: Request<FinishSessionRequest>,
    ) -> Result<Response<WireSession>, Status> {
        let finish = parse_finish(request.into_inner());
        reply(async { Ok(self.wire(self.sessions.finish(finish?).await?)) }).await
    }
}
