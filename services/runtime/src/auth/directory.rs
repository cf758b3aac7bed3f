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
/// How long a role is good for, at most. Two of these and a call's time are less than the 10 seconds in which a removal counts.
pub const MAX_AGE: Duration = Duration::from_secs(4);
/// How long a stranger stays one, so that who was just added gets in.
pub const MAX_AGE_OF_NONE: Duration = Duration::from_millis(500);

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
    said: OnceCell<Said>,
}

#[derive(Debug)]
struct Said {
    role: Option<Role>,
    max_age: Duration,
}

impl Answer {
    fn is_good(&self) -> bool {
        let max_age = self.said.get().map_or(MAX_AGE, |said| said.max_age);
        self.asked.elapsed() < max_age
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
        let said = answer
            .said
            .get_or_try_init(|| self.ask(principal, project))
            .await?;
        Ok(said.role)
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
            said: OnceCell::new(),
        });
        answers.put(key, answer.clone());
        answer
    }

    async fn ask(&self, principal: &Principal, project: &str) -> Result<Said> {
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
        let max_age = answer.max_age.and_then(|age| age.try_into().ok());
        Ok(Said {
            role: Role::of_project(role),
            max_age: max_age.unwrap_or(Duration::ZERO).min(MAX_AGE),
        })
    }
}

fn unknown(cause: Option<granary_core::error::Cause>) -> Error {
    Error::Unavailable {
        reason: "cannot tell now who may do what: try again soon".into(),
        cause,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use granary_proto::identity::v1::{
        CheckAccessResponse,
        access_service_server::{AccessService, AccessServiceServer},
    };
    use tonic::{Request, Response, Status};
    use tower::util::BoxCloneSyncService;

    use super::*;
    use crate::auth::TokenSource;

    /// A Metadata service that gives everybody the same answer, and counts how often it is asked.
    #[derive(Clone, Default)]
    pub(in crate::auth) struct Fake(Arc<Mutex<(CheckAccessResponse, usize)>>);

    #[tonic::async_trait]
    impl AccessService for Fake {
        async fn check_access(
            &self,
            _: Request<CheckAccessRequest>,
        ) -> Result<Response<CheckAccessResponse>, Status> {
            let mut fake = self.0.lock();
            fake.1 += 1;
            Ok(Response::new(fake.0))
        }
    }

    impl Fake {
        pub(in crate::auth) fn directory(&self) -> Directory {
            let served = BoxCloneSyncService::new(AccessServiceServer::new(self.clone()));
            Directory::new(Link::local(served, TokenSource::none()))
        }

        pub(in crate::auth) fn says(&self, role: ProjectRole, max_age: Option<Duration>) {
            self.0.lock().0 = CheckAccessResponse {
                role: role.into(),
                max_age: max_age.map(granary_proto::convert::wire_duration),
            };
        }

        fn asked(&self) -> usize {
            self.0.lock().1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_as_long_as_metadata_says_and_no_longer_than_4_seconds() {
        let fake = Fake::default();
        let bob = Principal {
            subject: "bob".into(),
            issuer: "https://id.example".into(),
            email: None,
            role: None,
            expires: 0,
        };
        let millis = Duration::from_millis;
        for (said, kept) in [
            (Some(millis(2000)), millis(2000)),
            (Some(millis(500)), MAX_AGE_OF_NONE),
            (Some(millis(3_600_000)), MAX_AGE),
        ] {
            fake.says(ProjectRole::Viewer, said);
            let directory = fake.directory();
            let before = fake.asked();
            let role = async || directory.role(&bob, "p").await.unwrap();
            assert_eq!(role().await, Some(Role::Viewer));
            tokio::time::advance(kept.saturating_sub(millis(1))).await;
            role().await;
            assert_eq!(fake.asked() - before, 1, "{said:?}");
            tokio::time::advance(millis(1)).await;
            role().await;
            assert_eq!(fake.asked() - before, 2, "{said:?}");
        }
        fake.says(ProjectRole::Unspecified, None);
        let directory = fake.directory();
        let before = fake.asked();
        for _ in 0..2 {
            assert_eq!(directory.role(&bob, "p").await.unwrap(), None);
        }
        assert_eq!(fake.asked() - before, 2);
    }
}
