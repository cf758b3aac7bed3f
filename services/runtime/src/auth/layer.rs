//! The layer in front of every service: no call without a token, none that the caller's role may not make, and nothing of a project for those who
//! are no members of it.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use granary_core::Error;
use granary_proto::status::to_status;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{
    Caller, Directory, Principal, REFUSED, Role, Verifier,
    behalf::{self, ON_BEHALF_OF},
    budget::Budget,
    malformed,
    message::{self, Origin},
    observe::Watch,
    roles::{Rule, rule},
    text::path_like,
    watched,
};
use crate::{
    ledger::Ledger,
    metrics::{Counter, counter, names::TOKEN_CHECKS},
};

/// What is answered without a token: health says nothing but whether the process serves, and a key that is exchanged speaks for itself.
pub(super) const OPEN: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/granary.identity.v1.TokenService/ExchangeApiKey",
];

/// The one of them that is kept in the audit log.
const EXCHANGE: &str = "/granary.identity.v1.TokenService/ExchangeApiKey";

/// Checks tokens, roles and projects.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    verifier: Verifier,
    directory: Option<Directory>,
    inside: bool,
    budget: Arc<Budget>,
    ledger: Option<Ledger>,
    /// Tokens that were good.
    good: Counter,
}

impl AuthLayer {
    /// In front of services that only Granary itself reaches. Without a directory, nobody but those with a role for all projects gets in.
    pub fn inside(verifier: Verifier, directory: Option<Directory>) -> Self {
        Self {
            verifier,
            directory,
            inside: true,
            budget: Arc::default(),
            ledger: None,
            good: counter!(TOKEN_CHECKS, "result" => "ok"),
        }
    }

    /// In front of what everybody reaches: the token of a service is refused.
    pub fn outside(verifier: Verifier, directory: Directory) -> Self {
        Self {
            verifier,
            directory: Some(directory),
            inside: false,
            budget: Arc::default(),
            ledger: None,
            good: counter!(TOKEN_CHECKS, "result" => "ok"),
        }
    }

    /// The same, telling a ledger what becomes of calls, and counting them for their projects.
    #[must_use]
    pub fn recorded(self, ledger: Ledger) -> Self {
        Self {
            ledger: Some(ledger),
            ..self
        }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth {
            inner,
            gate: self.clone(),
        }
    }
}

/// A service behind the check.
#[derive(Clone, Debug)]
pub struct Auth<S> {
    inner: S,
    gate: AuthLayer,
}

impl<S> Service<Request<Body>> for Auth<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if OPEN.contains(&path) {
            let watch = self.gate.watch_open(path, &request);
            let answer = self.inner.call(request);
            return Box::pin(async move { Ok(watch.answered(malformed::told(answer.await?))) });
        }
        // The one that is ready is used; the next call polls the other.
        let other = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, other);
        let gate = self.gate.clone();
        Box::pin(async move {
            let rule = rule(request.uri().path());
            let mut watch = gate.watch(rule, &request);
            let admitted = match gate.admit(rule, request, &mut watch).await {
                Ok(admitted) => admitted,
                Err(error) => {
                    watch.refused(&error);
                    return Ok(watch.answered(to_status(error).into_http()));
                }
            };
            watch.let_in();
            let handled = behalf::handling(admitted.caller, inner.call(admitted.request));
            let answer = match admitted.waiting {
                None => handled.await?,
                Some(waiting) => match watched::during(handled, waiting).await {
                    Ok(answer) => answer?,
                    Err(error) => {
                        watch.refused(&error);
                        return Ok(watch.answered(to_status(error).into_http()));
                    }
                },
            };
            let answer = malformed::told(answer);
            Ok(watch.answered(match admitted.lasting {
                Some(lasting) => answer.map(|body| watched::guard(body, lasting)),
                None => answer,
            }))
        })
    }
}

/// A call that may be made.
struct Admitted {
    request: Request<Body>,
    caller: Arc<Caller>,
    /// Of a stream: what has to stay so while it runs.
    lasting: Option<watched::Lasting>,
    /// Of a call that is let in before its message is there, or that waits for something to do: what has to stay so until it is answered.
    waiting: Option<watched::Lasting>,
}

impl AuthLayer {
    fn watch(&self, rule: Option<&'static Rule>, request: &Request<Body>) -> Watch {
        match &self.ledger {
            Some(ledger) => Watch::begin(ledger, rule, request),
            None => Watch::nothing(),
        }
    }

    // Whether the process is well is asked all the time, and no secret.
    fn watch_open(&self, path: &str, request: &Request<Body>) -> Watch {
        match &self.ledger {
            Some(ledger) if path == EXCHANGE => Watch::begin_open(ledger, EXCHANGE, request),
            _ => Watch::nothing(),
        }
    }

    async fn admit(
        &self,
        rule: Option<&'static Rule>,
        request: Request<Body>,
        watch: &mut Watch,
    ) -> Result<Admitted, Error> {
        let (headers, path) = (request.headers(), request.uri().path());
        let principal = self.verify(headers, path).await?;
        watch.caller(&principal);
        let Some(rule) = rule else {
            return Err(Error::Denied {
                reason: format!("there is no call {}", path_like(request.uri().path())),
            });
        };
        let on_behalf_of = self.on_behalf_of(&principal, request.headers())?;
        watch.on_behalf_of(on_behalf_of.as_ref());
        let (project, mut request) = named(rule, request, self.origin(&principal), watch).await?;
        let home = || principal.home().map(Arc::from);
        let place = project.clone().or_else(home);
        let role = self.role(&principal, place.as_deref()).await?;
        admit(rule, role, project.as_deref()).inspect_err(|_| {
            let method = &*rule.method;
            tracing::info!(method, subject = %principal.subject, ?role, project = project.as_deref(), "call refused");
        })?;
        if let (Some(whose), Some(project)) = (&on_behalf_of, &project)
            && self.role(whose, Some(project)).await?.is_none()
        {
            return Err(hidden(project));
        }
        if let (Some(ledger), Some(project)) = (&self.ledger, &project) {
            ledger.request(project, &principal, role)?;
        }
        let caller = Arc::new(Caller {
            principal,
            role,
            project: place,
            on_behalf_of,
        });
        request.extensions_mut().insert(caller.clone());
        let lasting = rule.streams.then(|| self.lasting(rule, &caller));
        let waits = !rule.streams && !rule.is_of_project() && caller.project.is_some();
        let waiting = waits.then(|| self.lasting(rule, &caller));
        Ok(Admitted {
            request,
            caller,
            lasting,
            waiting,
        })
    }

    fn origin<'a>(&'a self, principal: &'a Principal) -> Origin<'a> {
        if self.inside {
            Origin::Inside
        } else {
            Origin::Outside(&self.budget, principal)
        }
    }

    async fn verify(&self, headers: &HeaderMap, path: &str) -> Result<Principal, Error> {
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|header| header.to_str().ok())
            .and_then(bearer);
        let verdict = match token {
            None => Err("no token"),
            Some(token) => self.verifier.verify(token).await,
        };
        let verdict = verdict.and_then(|principal| match principal.role {
            Some(Role::Service) if !self.inside => Err("a service's token from outside"),
            _ => Ok(principal),
        });
        verdict
            .inspect(|_| self.good.increment(1))
            .map_err(|reason| {
                counter!(TOKEN_CHECKS, "result" => reason).increment(1);
                tracing::info!(path = path_like(path), reason, "token refused");
                Error::Unauthenticated {
                    reason: REFUSED.into(),
                }
            })
    }

    // Whoever says so without being a service says nothing.
    fn on_behalf_of(
        &self,
        principal: &Principal,
        headers: &HeaderMap,
    ) -> Result<Option<Principal>, Error> {
        let said = headers
            .get(ON_BEHALF_OF)
            .filter(|_| principal.role == Some(Role::Service));
        said.map(|header| {
            behalf::read(header)
                .ok_or_else(|| Error::invalid("granary-on-behalf-of", "cannot be read"))
        })
        .transpose()
    }

    async fn role(
        &self,
        principal: &Principal,
        project: Option<&str>,
    ) -> Result<Option<Role>, Error> {
        match (&self.directory, project) {
            (Some(directory), Some(project)) => directory.role(principal, project).await,
            _ => Ok(principal.role),
        }
    }

    fn lasting(&self, rule: &'static Rule, caller: &Arc<Caller>) -> watched::Lasting {
        // Roles for all projects stand in the token, and end with it.
        let directory = self.directory.as_ref();
        let directory = directory.filter(|_| caller.principal.role.is_none());
        watched::Lasting {
            left: self.verifier.left(&caller.principal),
            membership: directory.map(|directory| watched::Membership {
                directory: directory.clone(),
                caller: caller.clone(),
                rule,
            }),
        }
    }
}

/// The project that a call names, if it is one that names any.
async fn named(
    rule: &Rule,
    request: Request<Body>,
    origin: Origin<'_>,
    watch: &mut Watch,
) -> Result<(Option<Arc<str>>, Request<Body>), Error> {
    let Some(field) = &rule.names else {
        return Ok((None, request));
    };
    let (head, body) = request.into_parts();
    let (message, body) = message::first(body, origin).await?;
    let resource = field.resource(&message)?;
    watch.resource(&field.named(resource));
    watch.items(&message);
    let project = rule.is_of_project().then(|| field.project(resource));
    let project = project.transpose()?.map(Arc::from);
    Ok((project, Request::from_parts(head, body)))
}

/// Whether a role may make a call; strangers are told nothing but that there is no such project.
pub(super) fn admit(rule: &Rule, role: Option<Role>, project: Option<&str>) -> Result<(), Error> {
    match (role, project) {
        _ if rule.allows(role) => Ok(()),
        (None, Some(project)) => Err(hidden(project)),
        _ => Err(Error::Denied {
            reason: format!("your role does not allow this: it takes {}", rule.takes()),
        }),
    }
}

fn hidden(project: &str) -> Error {
    Error::NotFound {
        resource: format!("projects/{project}"),
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
