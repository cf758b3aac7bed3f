//! What a container says of how the attempt went, in so few bytes that Kubernetes keeps them with the pod.

use std::{collections::BTreeMap, path::Path};

use granary_core::{Error, Result};
use granary_proto::job::v1::FailureClass;
use serde::{Deserialize, Serialize};

use crate::attempt::Outcome;

/// Kubernetes keeps 4096 bytes.
const MAX_BYTES: usize = 4000;

/// How an attempt went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    /// Why it failed, by the name that the proto has for it; a success if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    failure: String,
    /// The same in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The program's exit code; -1 if it did not exit by itself.
    pub exit_code: i32,
    /// The most memory that was seen in use, in bytes.
    pub peak_memory_bytes: u64,
    /// The sessions that hold what it made, by kind.
    pub outputs: BTreeMap<String, String>,
    /// Whether it was only stopped: the job is to be tried again.
    pub handed_back: bool,
}

impl Said {
    /// Reads what a container said; nothing if it is not that.
    pub fn parse(message: &str) -> Option<Self> {
        let read: serde_json::Value = serde_json::from_str(message).ok()?;
        let said: Self = serde_json::from_value(read.is_object().then_some(read)?).ok()?;
        (said.failure.is_empty() || FailureClass::from_str_name(&said.failure).is_some())
            .then_some(said)
    }

    /// Why it failed; unspecified after a success.
    pub fn failure(&self) -> FailureClass {
        FailureClass::from_str_name(&self.failure).unwrap_or_default()
    }

    /// A failure, in words.
    pub fn failed(failure: FailureClass, message: impl Into<String>) -> Self {
        Self::of(Outcome::failed(failure, message))
    }

    /// The job is handed back: it is tried again, and this does not count.
    pub fn returned(message: impl Into<String>) -> Self {
        Self {
            handed_back: true,
            ..Self::failed(FailureClass::Infrastructure, message)
        }
    }

    /// The same end, with what was sent and seen before it.
    #[must_use]
    pub fn after(self, said: Self) -> Self {
        Self {
            outputs: said.outputs,
            peak_memory_bytes: said.peak_memory_bytes,
            ..self
        }
    }

    pub(crate) fn of(outcome: Outcome) -> Self {
        let failure = match outcome.failure {
            FailureClass::Unspecified => String::new(),
            failure => failure.as_str_name().to_owned(),
        };
        let mut said = Self {
            failure,
            message: outcome.message,
            exit_code: outcome.exit_code,
            peak_memory_bytes: outcome.peak,
            outputs: outcome.outputs,
            handed_back: outcome.handed_back,
        };
        // What is escaped in JSON takes more than its own bytes.
        while said.text().len() > MAX_BYTES && !said.message.is_empty() {
            let half = said.message.chars().count() / 2;
            said.message = said.message.chars().take(half).collect();
        }
        said
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) async fn say(&self, to: &Path) -> Result<()> {
        let written = tokio::fs::write(to, self.text()).await;
        written.map_err(|error| Error::internal("saying how the attempt ended", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_fits() {
        let outcome = Outcome {
            outputs: BTreeMap::from([(
                "log".to_owned(),
                "projects/p/datasets/d/sessions/s".to_owned(),
            )]),
            ..Outcome::failed(FailureClass::Timeout, "\u{1}é\"".repeat(2000))
        };
        let said = Said::of(outcome);
        let text = said.text();
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        let read = Said::parse(&text).unwrap();
        assert_eq!(read, said);
        assert_eq!(read.failure(), FailureClass::Timeout);
        assert!(!read.message.is_empty() && read.outputs.len() == 1);
    }

    #[test]
    fn only_what_was_meant_so_is_understood() {
        assert_eq!(
            Said::parse("{}").unwrap().failure(),
            FailureClass::Unspecified
        );
        for other in ["", "panicked", "[]", "{\"failure\":\"SHRUG\"}"] {
            assert_eq!(Said::parse(other), None, "{other}");
        }
    }
}
