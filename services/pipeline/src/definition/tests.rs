//! What people write, and what they are told.

use granary_proto::{json::from_json, pipeline::v1::PipelineDefinition};
use serde_json::{Value, json};

use super::{encode, read};

fn wire(steps: Value) -> PipelineDefinition {
    from_json(json!({
        "name": "recordings",
        "on": {"event": "session.completed", "dataset": "raw"},
        "for_each": "asset",
        "steps": steps,
    }))
    .unwrap()
}

fn errors(steps: Value) -> String {
    read(&wire(steps)).unwrap_err().to_string()
}

/// One step with parameters, and what is said about it.
fn step_error(step: Value) -> String {
    let error = errors(json!([step]));
    error.strip_prefix("steps[0].").unwrap_or(&error).to_owned()
}

#[test]
fn the_definition_of_the_design_is_read() {
    let definition = read(&wire(json!([
        {"name": "listed", "check": "session-complete"},
        {"name": "decodes", "check": "image-decodable", "when": "media_type = \"image/*\"", "with": {"mode": "header", "max_pixels": "100M"}},
        {"name": "preview", "transform": "thumbnail", "needs": ["decodes"], "with": {"max_edge": 256}, "into": "processed"},
        {"name": "keep", "transform": "copy", "needs": ["listed"], "into": "processed"},
    ])))
    .unwrap();
    assert_eq!(definition.steps.len(), 4);
    assert_eq!(definition.steps[2].needs, [1]);
    assert_eq!(definition.outputs(), ["processed"]);
}

#[test]
fn parameters_that_are_wrong_say_where_and_what_was_expected() {
    for (step, message) in [
        (
            json!({"name": "p", "transform": "thumbnail", "with": {"max_edge": "big"}, "into": "out"}),
            r#"with.max_edge: expected a positive integer, got "big""#,
        ),
        (
            json!({"name": "p", "transform": "thumbnail", "with": {"max_edge": 1.5}, "into": "out"}),
            "with.max_edge: expected a positive integer, got 1.5",
        ),
        (
            json!({"name": "p", "transform": "thumbnail", "with": {"max_edge": 0}, "into": "out"}),
            "with.max_edge: expected a positive integer, got 0",
        ),
        (
            json!({"name": "p", "transform": "thumbnail", "with": {"max_edge": 5000}, "into": "out"}),
            "with.max_edge: expected at most 2048, got 5000",
        ),
        (
            json!({"name": "p", "transform": "thumbnail", "with": {"max_edges": 5}, "into": "out"}),
            r#"with.max_edges: unknown parameter "max_edges"; did you mean "max_edge"?"#,
        ),
        (
            json!({"name": "p", "transform": "thumbnail", "with": {"format": "gif"}, "into": "out"}),
            r#"with.format: expected jpeg or png, got "gif""#,
        ),
        (
            json!({"name": "p", "transform": "thumbnail", "with": {"format": "png", "quality": 3}, "into": "out"}),
            "with.quality: is of JPEG only: leave it out with format: png",
        ),
        (
            json!({"name": "p", "transform": "copy", "with": {"x": 1}, "into": "out"}),
            r#"with.x: unknown parameter "x"; this step has no parameters"#,
        ),
        (
            json!({"name": "p", "check": "image-decodable", "with": {"mode": "fast"}}),
            r#"with.mode: expected header or full, got "fast""#,
        ),
        (
            json!({"name": "p", "check": "image-decodable", "with": {"max_pixels": "huge"}}),
            r#"with.max_pixels: expected a positive number such as 5000000, 100M or 64MiB, got "huge""#,
        ),
        (
            json!({"name": "p", "check": "image-dimensions"}),
            "with: expected at least one of max_width, max_height, min_width and min_height",
        ),
        (
            json!({"name": "p", "check": "image-dimensions", "with": {"min_width": 10, "max_width": 5}}),
            "with.min_width: expected at most the maximum 5, got 10",
        ),
        (
            json!({"name": "p", "check": "image-dimensions", "with": {"max_width": [1]}}),
            "with.max_width: expected a positive integer, got a list",
        ),
        (
            json!({"name": "p", "check": "media-type", "with": {"allow": []}}),
            "with.allow: expected a list of 1 to 100 texts, got an empty list",
        ),
        (
            json!({"name": "p", "check": "media-type", "with": {"allow": ["image/jpeg", "jpeg"]}}),
            r#"with.allow[1]: expected a media type such as image/jpeg or image/*, got "jpeg""#,
        ),
        (
            json!({"name": "p", "check": "metadata-schema"}),
            "with.schema: is required, such as { type: object, required: [subject] }",
        ),
        (
            json!({"name": "p", "check": "metadata-schema", "with": {"schema": null}}),
            "with.schema: is required, such as { type: object, required: [subject] }",
        ),
        (
            json!({"name": "p", "check": "image-dimensions", "with": {"max_width": null}}),
            "with: expected at least one of max_width, max_height, min_width and min_height",
        ),
        (
            json!({"name": "p", "check": "image-dimensions", "with": {"max_width": 5, "max_hight": null}}),
            r#"with.max_hight: unknown parameter "max_hight"; did you mean "max_height"?"#,
        ),
        (
            json!({"name": "p", "check": "metadata-schema", "with": {"schema": "object"}}),
            r#"with.schema: expected an object, got "object""#,
        ),
    ] {
        assert_eq!(step_error(step), message);
    }
}

#[test]
fn schemas_are_checked_when_they_are_applied() {
    let schema = |schema: Value| {
        step_error(json!({"name": "p", "check": "metadata-schema", "with": {"schema": schema}}))
    };
    let wrong = schema(json!({"type": "objekt"}));
    assert!(
        wrong.starts_with("with.schema: is not a JSON Schema that can be used: "),
        "{wrong}"
    );
    let remote = schema(json!({"$ref": "https://example.com/schema.json"}));
    assert!(
        remote.contains("schemas elsewhere are not fetched"),
        "{remote}"
    );
    let long = schema(json!({"description": "x".repeat(70_000)}));
    assert!(
        long.starts_with("with.schema: expected at most 65536 bytes, got 7"),
        "{long}"
    );
    let pattern = schema(json!({"properties": {"a": {"pattern": "(x"}}}));
    assert!(
        pattern.starts_with("with.schema: is not a JSON Schema"),
        "{pattern}"
    );
}

#[test]
fn names_that_nobody_knows_get_the_nearest_one() {
    for (step, message) in [
        (
            json!({"name": "p", "check": "image-decodeable"}),
            r#"check: unknown check "image-decodeable"; did you mean "image-decodable"?"#,
        ),
        (
            json!({"name": "p", "check": "virus"}),
            r#"check: unknown check "virus"; expected one of session-complete, metadata-schema, media-type, image-decodable, image-dimensions"#,
        ),
        (
            json!({"name": "p", "transform": "thumbnial", "into": "out"}),
            r#"transform: unknown transform "thumbnial"; did you mean "thumbnail"?"#,
        ),
        (
            json!({"name": "p", "check": "copy"}),
            r#"check: "copy" is a transform: write transform: copy"#,
        ),
        (
            json!({"name": "p", "transform": "media-type"}),
            r#"transform: "media-type" is a check: write check: media-type"#,
        ),
    ] {
        assert_eq!(step_error(step), message);
    }
    assert_eq!(
        errors(json!([{"name": "p"}])),
        "steps[0]: expected a check or a transform, such as check: media-type"
    );
}

#[test]
fn when_points_at_the_column() {
    let when = |when: &str| step_error(json!({"name": "p", "check": "media-type", "when": when}));
    assert!(
        when("media_type =").starts_with("when: column 13: "),
        "{}",
        when("media_type =")
    );
    assert_eq!(
        when("mediatype = a"),
        r#"when: column 1: unknown field "mediatype"; did you mean "media_type"?"#
    );
    assert_eq!(
        when("size_bytes > big"),
        r#"when: column 14: size_bytes compares with a number, got "big""#
    );
    let whole = step_error(json!({"name": "p", "check": "session-complete", "when": "path = a"}));
    assert!(
        whole.starts_with("when: column 1: unknown field \"path\""),
        "{whole}"
    );
}

#[test]
fn graphs_that_cannot_be_followed_are_refused() {
    let copy = |name: &str, needs: Value| json!({"name": name, "transform": "copy", "into": "out", "needs": needs});
    assert_eq!(
        errors(
            json!([{"name": "typed", "check": "media-type"}, copy("preview", json!(["keep"])), copy("keep", json!(["preview"]))])
        ),
        "steps[1].needs: the steps preview -> keep -> preview form a cycle"
    );
    assert_eq!(
        errors(json!([copy("keep", json!(["keep"]))])),
        "steps[0].needs: the steps keep -> keep form a cycle"
    );
    assert_eq!(
        errors(json!([{"name": "typed", "check": "media-type"}, copy("keep", json!(["tiped"]))])),
        r#"steps[1].needs[0]: unknown step "tiped"; did you mean "typed"?"#
    );
    assert_eq!(
        errors(
            json!([{"name": "typed", "check": "media-type"}, {"name": "typed", "check": "media-type"}])
        ),
        r#"steps[1].name: "typed" is the name of steps[0] too"#
    );
    assert_eq!(
        errors(
            json!([copy("keep", json!([])), {"name": "typed", "check": "media-type", "needs": ["keep"]}])
        ),
        r#"steps[1].needs: "keep" is a transform, which runs after all checks: a check can need checks only"#
    );
    assert_eq!(
        errors(
            json!([{"name": "typed", "check": "media-type"}, {"name": "attributes", "transform": "metadata-attributes", "needs": ["typed"]}])
        ),
        r#"steps[1].needs: "typed" is a step of each asset: a step of the whole session cannot need it"#
    );
}

#[test]
fn results_need_a_place_and_checks_have_none() {
    assert_eq!(
        step_error(json!({"name": "p", "transform": "copy"})),
        "into: is required for copy: the id of the dataset that takes the result"
    );
    assert_eq!(
        step_error(json!({"name": "p", "check": "media-type", "into": "out"})),
        "into: media-type makes no files: leave it out"
    );
    assert_eq!(
        step_error(json!({"name": "p", "transform": "copy", "into": "raw"})),
        r#"into: "raw" starts this pipeline: results would start it again; use another dataset"#
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wire = from_json::<PipelineDefinition>(json!({
        "name": "Bad Name",
        "on": {"event": "session.created", "dataset": "RAW"},
        "for_each": "row",
        "steps": [{"name": "1", "check": "media-type"}, {"name": "p", "check": "nothing-like-it", "when": "("}],
    }));
    let error = read(&wire.unwrap()).unwrap_err().to_string();
    for part in [
        "name: expected 1 to 63 of a-z, 0-9 and `-`",
        r#"on.event: expected session.completed, got "session.created""#,
        "on.dataset: expected 1 to 63",
        r#"for_each: expected asset or session, got "row""#,
        "steps[0].name: expected 1 to 63",
        "steps[1].check: unknown check",
        "steps[1].when: column",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[test]
fn what_is_missing_is_said_with_an_example() {
    let error = read(&PipelineDefinition::default())
        .unwrap_err()
        .to_string();
    assert!(
        error
            .contains("on: is required, such as { event: session.completed, dataset: recordings }"),
        "{error}"
    );
    assert!(
        error.contains("steps: expected 1 to 64 steps, got 0"),
        "{error}"
    );
}

#[test]
fn steps_of_assets_have_no_place_in_a_pipeline_of_sessions() {
    let wire = from_json::<PipelineDefinition>(json!({
        "name": "whole", "on": {"event": "session.completed", "dataset": "raw"}, "for_each": "session",
        "steps": [{"name": "listed", "check": "session-complete"}, {"name": "typed", "check": "media-type"}],
    }));
    assert_eq!(
        read(&wire.unwrap()).unwrap_err().to_string(),
        r#"steps[1].check: "media-type" works on single assets: write for_each: asset"#
    );
}

#[test]
fn what_may_be_left_out_makes_no_difference() {
    let given = wire(json!([{"name": "typed", "check": "media-type"}]));
    let short = PipelineDefinition {
        for_each: String::new(),
        ..given.clone()
    };
    assert_eq!(encode(&given), encode(&short));
    assert_ne!(
        encode(&given),
        encode(&wire(json!([{"name": "types", "check": "media-type"}])))
    );
}

#[test]
fn the_examples_are_valid() {
    for text in ["recordings", "images"].map(|name| {
        format!(
            "{}/../../examples/pipelines/{name}.yaml",
            env!("CARGO_MANIFEST_DIR")
        )
    }) {
        let yaml = std::fs::read_to_string(text).unwrap();
        let json: Value = serde_yaml_ng::from_str(&yaml).unwrap();
        read(&from_json(json).unwrap()).unwrap();
    }
}
