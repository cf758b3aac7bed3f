//! The OpenAPI document of the REST form, made of the protos and their comments, and the page that shows it.

mod comments;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use granary_proto::prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::bindings::{self, Binding, Body, Part};
use comments::Comments;
use schema::Schemas;

/// The page, complete in itself.
pub(super) const PAGE: &str = include_str!("page.html");

const DESCRIPTION: &str = "\
The REST form of Granary's gRPC services. Names of fields are those of the protos; fields that are not set are left out; whole numbers of 64 \
bits are text, and may be sent as numbers. Fields and parameters that do not exist are refused. Errors are problem details (RFC 9457), \
with the wrong fields in `violations`. Calls that stream answer with one JSON object a line.";

/// The document, OpenAPI 3.1.
pub(super) fn document(all: &[Binding]) -> Value {
    let comments = Comments::of(all);
    let mut schemas = Schemas::new(&comments);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut tags = BTreeSet::new();
    for binding in all {
        let operation = operation(binding, &comments, &mut schemas);
        paths
            .entry(path(binding))
            .or_default()
            .insert(binding.verb.to_lowercase(), operation);
        let service = binding.method.parent_service();
        tags.insert((
            tag(binding),
            comments.get(&service.parent_file(), service.path()),
        ));
    }
    let tags: Vec<Value> = tags
        .into_iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Granary", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "responses": {"Problem": {
                "description": "What is wrong.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A token of one of the issuers that the server knows, or one that an API key was exchanged for.",
            }},
        },
    })
}

/// What the page may do: run its own script, show its own styles, fetch from where it came.
pub(super) fn content_security_policy() -> String {
    let hash = |tag: &str| {
        let inner = PAGE
            .split_once(&format!("<{tag}>"))
            .and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        BASE64_STANDARD.encode(Sha256::digest(inner.map_or("", |(inner, _)| inner)))
    };
    format!(
        "default-src 'none'; connect-src 'self'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    )
}

fn operation(binding: &Binding, comments: &Comments, schemas: &mut Schemas<'_>) -> Value {
    let method = &binding.method;
    let comment = comments.get(&method.parent_file(), method.path());
    let mut operation = json!({
        "tags": [tag(binding)],
        "operationId": format!("{}_{}", method.parent_service().name(), method.name()),
        "summary": first_sentence(&comment),
        "description": comment,
    });
    let parameters: Vec<Value> = in_path(binding, comments)
        .into_iter()
        .chain(in_query(binding, schemas))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(binding, schemas) {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": body}}});
    }
    if binding.is_open() {
        operation["security"] = json!([]);
    }
    let description = if method.is_server_streaming() {
        "One object a line, as they come."
    } else {
        "Done."
    };
    operation["responses"] = json!({
        "200": {"description": description, "content": {"application/json": {"schema": schemas.of(&method.output())}}},
        "default": {"$ref": "#/components/responses/Problem"},
    });
    operation
}

/// `/v1/{name=projects/*/jobs/*}:cancel` as `/v1/projects/{project}/jobs/{job}:cancel`.
fn path(binding: &Binding) -> String {
    let mut path = String::new();
    for (place, part) in binding.path.iter().enumerate() {
        path.push('/');
        match part {
            Part::Word(word) => path.push_str(word),
            Part::Any(_) => path.push_str(&format!("{{{}}}", parameter(binding, place))),
        }
    }
    if let Some(action) = &binding.action {
        path.push(':');
        path.push_str(action);
    }
    path
}

// Called after the collection that it is in: what follows `datasets` is a `dataset`.
fn parameter(binding: &Binding, place: usize) -> String {
    match place
        .checked_sub(1)
        .and_then(|before| binding.path.get(before))
    {
        Some(Part::Word(collection)) => collection
            .strip_suffix('s')
            .unwrap_or(collection)
            .to_owned(),
        _ => format!("part{place}"),
    }
}

fn in_path(binding: &Binding, comments: &Comments) -> Vec<Value> {
    let named = binding
        .path
        .iter()
        .enumerate()
        .filter_map(|(place, part)| match part {
            Part::Any(field) => Some((place, field)),
            Part::Word(_) => None,
        });
    let one = |(place, field): (usize, &String)| {
        let about = field_at(&binding.method.input(), field)
            .map(|field| comments.of_field(&field))
            .unwrap_or_default();
        json!({
            "name": parameter(binding, place), "in": "path", "required": true, "schema": {"type": "string"},
            "description": format!("Part of `{field}`: {about}"),
        })
    };
    named.map(one).collect()
}

fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    match path.split_once('.') {
        Some((head, rest)) => field_at(message.get_field_by_name(head)?.kind().as_message()?, rest),
        None => message.get_field_by_name(path),
    }
}

fn in_query(binding: &Binding, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let one = |field: FieldDescriptor| {
        let schema = schemas.field(&field);
        let description = schema.get("description").cloned();
        let mut parameter = json!({"name": field.name(), "in": "query", "required": schema::is_required(&field), "schema": schema::bare(schema)});
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    bindings::query(binding).into_iter().map(one).collect()
}

fn body(binding: &Binding, schemas: &mut Schemas<'_>) -> Option<Value> {
    let message = binding.message()?;
    Some(match binding.body {
        Body::Everything => schemas.without(&message, |field| binding.names(field)),
        Body::Field(_) | Body::Nothing => schemas.of(&message),
    })
}

fn tag(binding: &Binding) -> String {
    let service = binding.method.parent_service();
    let name = service.name();
    name.strip_suffix("Service").unwrap_or(name).to_owned()
}

fn first_sentence(comment: &str) -> &str {
    let end = comment
        .find(". ")
        .or_else(|| comment.find(['.', '\n']))
        .unwrap_or(comment.len());
    comment.get(..end).unwrap_or(comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Value {
        document(&bindings::all().unwrap())
    }

    #[test]
    fn calls_have_paths_parameters_and_bodies_that_people_can_read() {
        let document = made();
        let list = &document["paths"]["/v1/projects/{project}/datasets"]["get"];
        assert_eq!(list["operationId"], "DatasetService_ListDatasets");
        assert_eq!(list["summary"], "Lists the datasets of a project by name");
        let names: Vec<_> = list["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p["name"].as_str().unwrap(), p["in"].as_str().unwrap()))
            .collect();
        assert_eq!(
            names,
            [
                ("project", "path"),
                ("page_size", "query"),
                ("page_token", "query")
            ]
        );
        let create = &document["paths"]["/v1/projects/{project}/datasets"]["post"];
        assert_eq!(
            create["requestBody"]["content"]["application/json"]["schema"]["$ref"],
            "#/components/schemas/granary.metadata.v1.Dataset"
        );
        let cancel = &document["paths"]["/v1/projects/{project}/jobs/{job}:cancel"]["post"];
        assert_eq!(
            cancel["requestBody"]["content"]["application/json"]["schema"]["properties"],
            json!({})
        );
        assert!(
            document["paths"]["/v1/tokens:exchange"]["post"]["security"]
                .as_array()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        fn walk(value: &Value, found: &mut Vec<(String, String)>) {
            match value {
                Value::Object(object) => {
                    for (key, value) in object {
                        if let (true, Some(text)) = (
                            ["$ref", "operationId"].contains(&key.as_str()),
                            value.as_str(),
                        ) {
                            found.push((key.clone(), text.to_owned()));
                        }
                        walk(value, found);
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
                _ => {}
            }
        }
        let (document, mut found) = (made(), Vec::new());
        walk(&document, &mut found);
        let mut seen = BTreeSet::new();
        for (key, text) in found {
            match key.as_str() {
                "$ref" => assert!(
                    document.pointer(text.strip_prefix('#').unwrap()).is_some(),
                    "{text}"
                ),
                _ => assert!(seen.insert(text.clone()), "{text} comes twice"),
            }
        }
        assert!(seen.len() > 30, "{}", seen.len());
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for mark in ["http://", "https://", "//cdn", "<link", "src="] {
            assert!(!PAGE.contains(mark), "{mark}");
        }
        assert!(!content_security_policy().contains("unsafe"));
    }
}
