//! What steps found, as it is stored: one record for a step, one row for an asset in a run.

use granary_proto::pipeline::v1::{StepOutcome, StepResult};
use serde::{Deserialize, Serialize};

use crate::report::{self, Report};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    #[serde(rename = "p")]
    Passed,
    #[serde(rename = "f")]
    Failed,
    #[serde(rename = "s")]
    Skipped,
}

/// What one step found for one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    #[serde(rename = "s")]
    pub(crate) step: String,
    #[serde(rename = "o")]
    pub(crate) outcome: Outcome,
    #[serde(default, rename = "c", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cached: bool,
    #[serde(default, rename = "e", skip_serializing_if = "Report::is_empty")]
    pub(crate) errors: Report,
    /// The name of the asset that it made; empty if none.
    #[serde(default, rename = "a", skip_serializing_if = "String::is_empty")]
    pub(crate) output: String,
}

impl StepRecord {
    pub(crate) fn skipped(step: &str) -> Self {
        Self {
            step: step.to_owned(),
            outcome: Outcome::Skipped,
            cached: false,
            errors: Report::new(),
            output: String::new(),
        }
    }

    /// It passed if there are no errors.
    pub(crate) fn judged(step: &str, errors: Report, cached: bool) -> Self {
        let outcome = if errors.is_empty() {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        Self {
            step: step.to_owned(),
            outcome,
            cached,
            errors,
            output: String::new(),
        }
    }

    pub(crate) fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// As the API shows it.
    pub(crate) fn show(self, asset: &str, path: &str) -> StepResult {
        let outcome = self.outcome.wire();
        StepResult {
            asset: asset.to_owned(),
            path: path.to_owned(),
            step: self.step,
            outcome: outcome as i32,
            cached: self.cached,
            errors: report::lines(&self.errors),
            output: self.output,
        }
    }
}

impl Outcome {
    pub(crate) fn wire(self) -> StepOutcome {
        match self {
            Self::Passed => StepOutcome::Passed,
            Self::Failed => StepOutcome::Failed,
            Self::Skipped => StepOutcome::Skipped,
        }
    }
}

/// What one run found for one asset; id and path are empty for what it found for the session as a whole.
#[derive(Clone, Debug)]
pub(crate) struct AssetRecord {
    /// The id of the run.
    pub(crate) run: String,
    /// The id of the asset.
    pub(crate) asset: String,
    pub(crate) path: String,
    /// In the order of the definition.
    pub(crate) steps: Vec<StepRecord>,
    /// Whether this run rejected it.
    pub(crate) rejected: bool,
    /// How many of the results came from the cache.
    pub(crate) cached: i64,
    /// How many of the results were worked out for this asset alone.
    pub(crate) worked: i64,
}

impl AssetRecord {
    /// Whether any step failed.
    pub(crate) fn failed(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.outcome == Outcome::Failed)
    }
}
