//! YAML files that describe messages, with errors that say where: `steps[2]: unknown field "nedds"; did you mean "needs"?`.

mod check;
mod read;

use granary_core::Result;
use granary_proto::json;
use prost::{Message, Name};
use serde_json::Value as Json;

pub(crate) use check::{found, join};
pub(crate) use read::documents;

/// The message that a document describes.
pub(crate) fn message<M: Message + Name + Default>(document: Json) -> Result<M> {
    check::check(&json::descriptor::<M>()?, &document)?;
    json::from_json(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_proto::pipeline::v1::{PipelineDefinition, step};

    fn pipeline(text: &str) -> Result<PipelineDefinition> {
        let mut documents = read::parse("p.yaml", text).unwrap();
        message(documents.remove(0).json)
    }

    #[test]
    fn a_pipeline_is_read_with_its_key_on() {
        let definition = pipeline(
            "name: recordings\non: { event: session.completed, dataset: raw }\nfor_each: asset\nsteps:\n  \
             - { name: p, transform: thumbnail, needs: [a], with: { max_edge: 256, max_pixels: 100M }, when: }\n",
        )
        .unwrap();
        assert_eq!(definition.on.unwrap().event, "session.completed");
        assert_eq!(
            definition.steps[0].kind,
            Some(step::Kind::Transform("thumbnail".into()))
        );
        assert_eq!(definition.steps[0].needs, ["a"]);
    }

    #[test]
    fn mistakes_are_named_with_their_place_and_all_at_once() {
        let error = pipeline(
            "name: 5\nfor_eech: asset\nsteps:\n  - name: a\n  - name: b\n    nedds: [a]\n  - { name: c, needs: a, check: x, transform: y }\n",
        )
        .unwrap_err()
        .to_string();
        for part in [
            "name: expected text, got 5: put it in quotes",
            "unknown field \"for_eech\"; did you mean \"for_each\"?",
            "steps[1]: unknown field \"nedds\"; did you mean \"needs\"?",
            "steps[2].needs: expected a list, got \"a\"",
            "steps[2]: \"check\" and \"transform\" exclude each other",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }

    #[test]
    fn a_list_in_place_of_fields_is_refused() {
        let error = pipeline("- name: a\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "expected the fields name, on, for_each, steps, got a list"
        );
        let error = pipeline("name: a\nsteps: { name: b }\n")
            .unwrap_err()
            .to_string();
        assert_eq!(error, "steps: expected a list, got fields");
    }
}
