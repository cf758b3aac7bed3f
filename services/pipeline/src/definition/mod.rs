//! Pipeline definitions: read once into typed steps; every mistake is reported at once, with its path as in the YAML.

mod graph;
pub(crate) mod params;
mod read;
#[cfg(test)]
mod tests;
mod when;

use granary_core::id;
use granary_proto::pipeline::v1::PipelineDefinition;
use prost::Message as _;

pub(crate) use graph::name_cycle;
pub(crate) use read::{EVENT, read};
pub(crate) use when::When;

use crate::steps::Action;

/// What the steps of a pipeline are applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForEach {
    /// Each asset of the session.
    Asset,
    /// The session as a whole; only steps of the whole session are allowed.
    Session,
}

/// A definition that has passed every check.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The id of the pipeline.
    pub(crate) name: String,
    /// The id of the dataset that starts it.
    pub(crate) dataset: String,
    pub(crate) for_each: ForEach,
    /// In the order in which they are written.
    pub(crate) steps: Vec<Step>,
    /// Places in `steps`, each after what it needs.
    pub(crate) order: Vec<usize>,
}

/// One check or transform of a definition.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) when: When,
    /// Places in the definition's `steps`.
    pub(crate) needs: Vec<usize>,
    /// The id of the dataset that takes the result.
    pub(crate) into: Option<String>,
}

impl Definition {
    /// The steps with their places, each after what it needs.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.order
            .iter()
            .filter_map(|at| Some((*at, self.steps.get(*at)?)))
    }

    /// The ids of the datasets that take results, each once.
    pub(crate) fn outputs(&self) -> Vec<String> {
        let mut outputs: Vec<String> = self
            .steps
            .iter()
            .filter_map(|step| step.into.clone())
            .collect();
        outputs.sort();
        outputs.dedup();
        outputs
    }
}

/// The definition as it is stored, with its digest. What may be left out is written out, so that equal meanings are equal.
pub(crate) fn encode(definition: &PipelineDefinition) -> (Vec<u8>, String) {
    let mut normal = definition.clone();
    if normal.for_each.is_empty() {
        normal.for_each = "asset".into();
    }
    let bytes = normal.encode_to_vec();
    let digest = id::digest(&[&hex::encode(&bytes)]);
    (bytes, digest)
}
