//! Traces of this process: whether they are exported, the span of a command, and that nothing is lost at its end.

use granary_runtime::{
    telemetry::{self, Format},
    trace::{self, Life, Parent, TARGET, Traces},
};
use tracing::field::Empty;

use crate::{
    environment,
    failure::{Failure, Outcome},
};

/// As which part of the platform a command exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    /// It calls the platform for somebody.
    Command,
    /// It runs jobs.
    Worker,
    /// It exports nothing.
    None,
}

/// What is exported by this process, and what it follows from.
#[derive(Debug)]
pub(crate) struct Traced {
    traces: Option<Traces>,
    parent: Option<Parent>,
}

impl Traced {
    /// Starts the log, and to export spans if the environment says where to.
    pub(crate) fn start(
        component: impl Into<Name>,
        life: Life,
        filter: &str,
        format: Format,
    ) -> Result<Self, Failure> {
        let Name(name) = component.into();
        let said = name
            .map(|name| environment::tracing(&name))
            .unwrap_or_default();
        let service = said.service.as_deref();
        let traces = service.map(|service| Traces::start(service, life));
        let traces = traces.transpose().map_err(Failure::usage)?;
        telemetry::init(filter, format, traces.as_ref())
            .map_err(|error| Failure::flag("--log", error))?;
        for (variable, expected) in said.wrong {
            tracing::warn!("no traces are exported: {variable}: {expected}");
        }
        let parent = said.parent.as_deref().and_then(Parent::parse);
        Ok(Self { traces, parent })
    }

    /// Runs what is one piece of work, as the root of a trace or a part of the one that it was called in.
    pub(crate) async fn command(self, name: &str, work: impl Future<Output = Outcome>) -> Outcome {
        let span = tracing::info_span!(
            target: TARGET,
            "command",
            otel.name = name,
            otel.status_code = Empty,
            process.exit.code = Empty,
        );
        let outcome = trace::within(span.clone(), self.parent.clone(), work).await;
        let code = outcome.as_ref().map_or_else(Failure::code, |()| 0);
        span.record("process.exit.code", code);
        if code != 0 {
            span.record("otel.status_code", "ERROR");
        }
        // It ends here, and is sent with the others.
        drop(span);
        self.end().await;
        outcome
    }

    /// Runs what has no end of its own.
    pub(crate) async fn lasting<E: Into<Failure>>(
        self,
        work: impl Future<Output = Result<(), E>>,
    ) -> Outcome {
        let outcome = work.await;
        self.end().await;
        outcome.map_err(Into::into)
    }

    async fn end(self) {
        if let Some(traces) = self.traces {
            traces.end().await;
        }
    }
}

/// The usual name of a service in its traces; none if it exports none.
#[derive(Debug)]
pub(crate) struct Name(Option<String>);

impl From<Component> for Name {
    fn from(component: Component) -> Self {
        Self(match component {
            Component::Command => Some("granary".into()),
            Component::Worker => Some("granary-worker".into()),
            Component::None => None,
        })
    }
}

impl From<&String> for Name {
    fn from(services: &String) -> Self {
        Self(Some(format!("granary-{services}")))
    }
}
