//! Waiting for what pipelines make of a session.

use std::{fmt::Write as _, time::Duration};

use granary_core::{Result, name::SessionName};
use granary_proto::{
    json::to_json,
    metadata::v1::{
        Asset, Event, GetSessionRequest, ListAssetsRequest, Session, SessionState,
        WatchEventsRequest, WatchEventsResponse,
    },
};
use serde_json::{Value as Json, json};
use tonic::Streaming;

use crate::{
    client::{Client, call},
    failure::Outcome,
    human,
    output::{Out, Progress},
    retry::Away,
    show,
};

/// At most this many rejected assets are shown.
const MAX_REJECTED: i32 = 20;
const REFRESH: Duration = Duration::from_secs(1);

/// A session that has come to its end.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) session: Session,
    /// Some of the assets that were rejected.
    pub(crate) rejected: Vec<Asset>,
}

/// Waits until a session is processed or failed, whatever restarts in between.
pub(crate) async fn settled(client: &Client, name: &SessionName, out: &Out) -> Outcome<Settled> {
    let progress = out.count_bar(&format!("{}/{}", name.dataset, name.session), 0);
    let session = client
        .retry()
        .follow(async |away| Ok(follow(client, name, &progress, away).await))
        .await?;
    let rejected = if session.rejected_count > 0 {
        rejected(client, name).await?
    } else {
        Vec::new()
    };
    Ok(Settled { session, rejected })
}

// First the stream, then the present state: what happens in between is in the stream.
async fn follow(
    client: &Client,
    name: &SessionName,
    progress: &Progress,
    away: &mut Away,
) -> Result<Option<Session>> {
    let mut stream = events(client, name).await?;
    *away = Away::default();
    loop {
        let session = call!(client.sessions().get_session(GetSessionRequest {
            name: name.to_string()
        }))?;
        show_progress(progress, &session);
        if is_settled(&session) {
            return Ok(Some(session));
        }
        if !wait_for_news(client, &mut stream, progress.is_shown()).await? {
            return Ok(None);
        }
    }
}

async fn events(client: &Client, name: &SessionName) -> Result<Streaming<WatchEventsResponse>> {
    let request = WatchEventsRequest {
        parent: format!("projects/{}", name.project),
        resource: name.to_string(),
        types: vec![
            "session.completed".into(),
            "session.processed".into(),
            "session.failed".into(),
        ],
        ..WatchEventsRequest::default()
    };
    let mut stream = client.answer(client.events().watch_events(request).await)?;
    client.next(&mut stream).await?;
    Ok(stream)
}

// Until an event comes, or for those who look on, until it is time to show how far it is. Says whether the stream goes on.
async fn wait_for_news(
    client: &Client,
    stream: &mut Streaming<WatchEventsResponse>,
    watched: bool,
) -> Result<bool> {
    loop {
        let next = client.next(stream);
        let response = match watched {
            true => match tokio::time::timeout(REFRESH, next).await {
                Ok(response) => response?,
                Err(_) => return Ok(true),
            },
            false => next.await?,
        };
        match response {
            None => return Ok(false),
            Some(WatchEventsResponse { events, .. }) if events.is_empty() => {}
            Some(_) => return Ok(true),
        }
    }
}

fn show_progress(progress: &Progress, session: &Session) {
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    progress.set(
        number(session.ready_count + session.rejected_count),
        number(session.asset_count),
    );
    progress.message(
        super::human::state(session.state().as_str_name(), "SESSION_STATE").to_lowercase(),
    );
}

fn is_settled(session: &Session) -> bool {
    matches!(
        session.state(),
        SessionState::Processed | SessionState::Failed
    )
}

async fn rejected(client: &Client, name: &SessionName) -> Result<Vec<Asset>> {
    let request = ListAssetsRequest {
        parent: name.parent().to_string(),
        page_size: MAX_REJECTED,
        filter: format!("session = \"{}\" AND state = REJECTED", name.session),
        ..ListAssetsRequest::default()
    };
    Ok(call!(client.assets().list_assets(request))?.assets)
}

impl Settled {
    /// Whether everything passed.
    pub(crate) fn succeeded(&self) -> bool {
        self.session.state() == SessionState::Processed
    }

    /// The session as JSON, with what was rejected.
    pub(crate) fn json(&self) -> Result<Json> {
        let mut json = to_json(&self.session)?;
        let rejected: Vec<Json> = self.rejected.iter().map(to_json).collect::<Result<_>>()?;
        if let Some(object) = json.as_object_mut()
            && !rejected.is_empty()
        {
            object.insert("rejected_assets".into(), json!(rejected));
        }
        Ok(json)
    }

    /// One line for the session, and one for each thing that is wrong.
    pub(crate) fn text(&self) -> String {
        let session = &self.session;
        let took = human::between(session.complete_time.as_ref(), session.finish_time.as_ref());
        let mut text = format!(
            "{}  {}  {}: {} ready, {} rejected",
            human::short(&session.name),
            if self.succeeded() {
                "processed"
            } else {
                "failed"
            },
            human::counted(session.asset_count, "asset"),
            session.ready_count,
            session.rejected_count,
        );
        if !took.is_empty() {
            let _ = write!(text, "  in {took}");
        }
        text.push('\n');
        // What is wrong with the session as a whole is said on each of its assets, and here once.
        let whole = show::report(&session.errors);
        for line in &whole {
            let _ = writeln!(text, "  {line}");
        }
        for asset in &self.rejected {
            let own: Vec<String> = show::report(&asset.errors)
                .into_iter()
                .filter(|line| !whole.contains(line))
                .collect();
            if !own.is_empty() {
                let _ = writeln!(text, "  {}", human::shown(&asset.path));
            }
            for line in own {
                let _ = writeln!(text, "    {line}");
            }
        }
        let more = session.rejected_count - i64::try_from(self.rejected.len()).unwrap_or_default();
        if more > 0 {
            let name = human::short(&session.name);
            let _ = writeln!(
                text,
                "  and {more} more: granary asset list --session {name} --filter 'state = REJECTED'"
            );
        }
        text
    }
}

/// An event as a line.
pub(crate) fn event_line(event: &Event) -> String {
    format!(
        "{}  {}  {}",
        human::time(event.create_time.as_ref()),
        event.r#type,
        human::short(&event.resource)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_proto::metadata::v1::Messages;
    use std::collections::BTreeMap;

    fn asset(path: &str) -> Asset {
        let messages = Messages {
            messages: vec!["not an image".into(), "too\nwide".into()],
        };
        Asset {
            path: path.into(),
            errors: BTreeMap::from([("content".into(), messages)]),
            ..Asset::default()
        }
    }

    #[test]
    fn a_failed_session_says_what_is_wrong_with_each_asset() {
        let session = Session {
            name: "projects/p/datasets/d/sessions/s".into(),
            state: SessionState::Failed.into(),
            asset_count: 5,
            ready_count: 2,
            rejected_count: 3,
            ..Session::default()
        };
        let settled = Settled {
            session,
            rejected: vec![asset("a.jpg"), asset("b.jpg")],
        };
        assert!(!settled.succeeded());
        assert_eq!(
            settled.text(),
            "d/s  failed  5 assets: 2 ready, 3 rejected\n  a.jpg\n    content: not an image\n    content: too\\nwide\n  b.jpg\n    \
             content: not an image\n    content: too\\nwide\n  and 1 more: granary asset list --session d/s --filter 'state = REJECTED'\n"
        );
        assert_eq!(
            settled.json().unwrap()["rejected_assets"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
}
