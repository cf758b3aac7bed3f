//! Who is what in which project: Metadata knows, and every service keeps the answers for some seconds.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use granary_core::{Error, Result};
use granary_proto::identity::v1::{
    CheckAccessRequest, ProjectRole, access_service_client::AccessServiceClient,
};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::{sync::OnceCell, time::Instant};

use super::{Principal, Role};
use crate::{Link, rpc::from_status};

const KEPT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// How long a role is good for. Two of these and a call's time are less than the 10 seconds in which a removal counts.
const MAX_AGE: Duration = Duration::from_secs(4);
/// How long a stranger stays one, so that who was just added gets in.
const MAX_AGE_OF_NONE: Duration = Duration::from_millis(500);

/// The roles of principals in projects.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    way: Link,
    answers: Mutex<LruCache<Key, Arc<Answer>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    issuer: Arc<str>,
    subject: Arc<str>,
    email: Option<Arc<str>>,
    project: Box<str>,
}

// Those who ask at the same time wait for the same answer.
#[derive(Debug)]
struct Answer {
    asked: Instant,
    role: OnceCell<Option<Role>>,
}

impl Answer {
    fn is_good(&self) -> bool {
        let age = match self.role.get() {
            Some(None) => MAX_AGE_OF_NONE,
            Some(Some(_)) | None => MAX_AGE,
        };
        self.asked.elapsed() < age
    }
}

impl Directory {
    /// One that asks Metadata's AccessService, with the token of a service.
    pub fn new(metadata: Link) -> Self {
        Self(Arc::new(Inner {
            way: metadata,
            answers: Mutex::new(LruCache::new(KEPT)),
        }))
    }

    /// The principal's role in a project: that of a token for all projects, or else the one that the project gives. None for strangers, and for
    /// projects that do not exist. Fails if Metadata does not answer: nobody gets in on an old answer.
    pub async fn role(&self, principal: &Principal, project: &str) -> Result<Option<Role>> {
        if principal.role.is_some() {
            return Ok(principal.role);
        }
        let answer = self.answer(principal, project);
        let role = answer
            .role
            .get_or_try_init(|| self.ask(principal, project))
            .await?;
        Ok(*role)
    }

    fn answer(&self, principal: &Principal, project: &str) -> Arc<Answer> {
        let key = Key {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            email: principal.email.clone(),
            project: project.into(),
        };
        let mut answers = self.0.answers.lock();
        if let Some(answer) = answers.get(&key).filter(|answer| answer.is_good()) {
            return answer.clone();
        }
        let answer = Arc::new(Answer {
            asked: Instant::now(),
            role: OnceCell::new(),
        });
        answers.put(key, answer.clone());
        answer
    }

    async fn ask(&self, principal: &Principal, project: &str) -> Result<Option<Role>> {
        let request = CheckAccessRequest {
            project: format!("projects/{project}"),
            issuer: principal.issuer.to_string(),
            subject: principal.subject.to_string(),
            email: principal.email.as_deref().unwrap_or_default().to_owned(),
        };
        let answer = AccessServiceClient::new(self.0.way.clone())
            .check_access(request)
            .await
            .map_err(|status| match from_status(status) {
                Error::Unavailable { cause, .. } => unknown(cause),
                error => {
                    tracing::warn!(%error, "cannot tell who may do what");
                    unknown(None)
                }
            })?
            .into_inner();
        let role = ProjectRole::try_from(answer.role).unwrap_or_default();
        Ok(Role::of_project(role))
    }
}

fn unknown(cause: Option<granary_core::error::Cause>) -> Error {
    Error::Unavailable {
        reason: "cannot tell now who may do what: try again soon".into(),
        cause,
    }
}
