//! What ends a worker: a service that takes nothing more from it, because its token has expired or its name is another's.

use granary_core::Error;
use tokio::sync::SetOnce;

/// Whether, and how, the service has refused this worker.
#[derive(Debug, Default)]
pub struct Refusal(SetOnce<Error>);

impl Refusal {
    /// Notes an error if it is a refusal; whether it is.
    pub fn note(&self, error: &Error) -> bool {
        let refused = is_refusal(error);
        if refused {
            // The first one is enough.
            let _ = self.0.set(error.clone());
        }
        refused
    }

    /// Waits for one.
    pub async fn came(&self) -> Error {
        self.0.wait().await.clone()
    }
}

/// Whether every other call would fail the same way.
pub fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Unauthenticated { .. } | Error::Denied { .. })
}

/// Says who was refused.
pub fn explained(error: Error) -> Error {
    let worker = |reason| format!("the job service refuses this worker: {reason}");
    match error {
        Error::Unauthenticated { reason } => Error::Unauthenticated {
            reason: worker(reason),
        },
        Error::Denied { reason } => Error::Denied {
            reason: worker(reason),
        },
        other => other,
    }
}
