//! `metadata-schema`: whether the session's attributes fit a JSON Schema.
//!
//! Parameters: `schema`, an object, at most 64 KiB, that refers to nothing outside itself. What it is applied to is one flat object: the
//! session's attributes, and what the metadata file says beside them; times are texts in RFC 3339.

use granary_core::value::Value;
use jsonschema::{PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value as Json};

use crate::{
    definition::params::{Params, number_json},
    item::SessionInfo,
    report::{self, Report},
    session_file::SessionFile,
};

pub(super) const NAME: &str = "metadata-schema";

const MAX_BYTES: usize = 64 * 1024;
/// The most errors that are reported: attributes are many, and a report is to be read.
const MAX_ERRORS: usize = 100;

#[derive(Debug)]
pub(crate) struct MetadataSchema {
    // Missing only while the definition is refused.
    validator: Option<Validator>,
}

impl MetadataSchema {
    pub(super) fn read(params: &mut Params<'_>) -> Self {
        let schema = params.object("schema");
        params.require("schema", "{ type: object, required: [subject] }");
        let validator = schema.and_then(|schema| match compile(&schema) {
            Ok(validator) => Some(validator),
            Err(message) => {
                params.refuse("schema", message);
                None
            }
        });
        Self { validator }
    }

    pub(crate) fn run(&self, session: &SessionInfo, file: &SessionFile) -> Report {
        let metadata = match file.metadata() {
            Ok(metadata) => metadata,
            Err(message) => return report::one("metadata", message),
        };
        let mut object = Map::new();
        let of_file = metadata
            .into_iter()
            .flat_map(|metadata| &metadata.attributes);
        for (key, value) in of_file.chain(&session.attributes) {
            object.insert(key.clone(), json(value));
        }
        let object = Json::Object(object);
        let mut report = Report::new();
        for error in self
            .validator
            .iter()
            .flat_map(|validator| validator.iter_errors(&object))
            .take(MAX_ERRORS)
        {
            let (field, message) = explain(&error);
            report::add(&mut report, &field, message);
        }
        report
    }
}

fn compile(schema: &Json) -> Result<Validator, String> {
    let bytes = schema.to_string().len();
    if bytes > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes, got {bytes}"));
    }
    jsonschema::options()
        .with_retriever(NothingOutside)
        .should_validate_formats(true)
        // An engine without backtracking: no pattern takes more than linear time.
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
        .build(schema)
        .map_err(|error| {
            let path = error.instance_path().to_string();
            let at = if path.is_empty() { String::new() } else { format!(" (at {path})") };
            format!("is not a JSON Schema that can be used: {error}{at}")
        })
}

struct NothingOutside;

impl jsonschema::Retrieve for NothingOutside {
    fn retrieve(
        &self,
        _: &jsonschema::Uri<String>,
    ) -> Result<Json, Box<dyn std::error::Error + Send + Sync>> {
        Err("schemas elsewhere are not fetched: write it here, under $defs".into())
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Number(number) => number_json(*number),
        Value::Text(text) => Json::String(text.clone()),
        Value::Boolean(boolean) => Json::Bool(*boolean),
        Value::Timestamp(_) => Json::String(value.to_string()),
    }
}

fn explain(error: &jsonschema::ValidationError<'_>) -> (String, String) {
    let path = error.instance_path().to_string();
    let key = path
        .trim_start_matches('/')
        .replace('/', ".")
        .replace("~1", "/")
        .replace("~0", "~");
    let field = if key.is_empty() {
        "metadata".to_owned()
    } else {
        format!("metadata.{key}")
    };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let property = property
                .as_str()
                .map(str::to_owned)
                .unwrap_or_else(|| property.to_string());
            (format!("{field}.{property}"), "is required".into())
        }
        ValidationErrorKind::Minimum { limit } => (
            field,
            format!("expected at least {limit}, got {}", error.instance()),
        ),
        ValidationErrorKind::Maximum { limit } => (
            field,
            format!("expected at most {limit}, got {}", error.instance()),
        ),
        _ => (field, error.to_string()),
    }
}
