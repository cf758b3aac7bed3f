//! The REST form of each RPC, as the option `google.api.http` of the protos says it.

use granary_core::{Error, Result};
use granary_proto::prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value,
};
use granary_runtime::auth::{Role, rule};

const VERBS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// One RPC as a REST call.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) method: MethodDescriptor,
    /// `GET`, `POST` and so on.
    pub(super) verb: String,
    /// `/v1/{name=projects/*/jobs/*}:cancel`, in its parts.
    pub(super) path: Vec<Part>,
    /// Behind the last colon, such as `cancel`.
    pub(super) action: Option<String>,
    pub(super) body: Body,
}

/// A piece of a path between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Word(String),
    /// Anything, as a part of this field of the request.
    Any(String),
}

/// What of the request stands in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Nothing,
    /// All that is not in the path.
    Everything,
    Field(String),
}

impl Binding {
    /// `/package.Service/Method`.
    pub(super) fn rpc(&self) -> String {
        format!(
            "/{}/{}",
            self.method.parent_service().full_name(),
            self.method.name()
        )
    }

    /// The message that the body holds.
    pub(super) fn message(&self) -> Option<MessageDescriptor> {
        match &self.body {
            Body::Nothing => None,
            Body::Everything => Some(self.method.input()),
            Body::Field(name) => self
                .method
                .input()
                .get_field_by_name(name)?
                .kind()
                .as_message()
                .cloned(),
        }
    }

    /// Whether the path names this field of the request, such as `parent` or `dataset.name`.
    pub(super) fn names(&self, field: &str) -> bool {
        self.path
            .iter()
            .any(|part| matches!(part, Part::Any(of) if of == field))
    }

    /// Whether it needs no token.
    pub(super) fn is_open(&self) -> bool {
        is_open(&self.method)
    }
}

/// Every RPC that somebody outside may call, in the order of the protos.
pub(super) fn all() -> Result<Vec<Binding>> {
    let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS)
        .map_err(|error| Error::internal("reading the protos", error))?;
    let mut found = Vec::new();
    let mut services: Vec<_> = pool
        .services()
        .filter(|service| service.full_name().starts_with("granary."))
        .collect();
    services.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    for method in services
        .iter()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        if !is_for_people(&method) {
            continue;
        }
        let binding = binding(&pool, &method).ok_or_else(|| Error::Internal {
            context: format!("reading the REST form of {}", method.full_name()),
            cause: None,
        })?;
        found.push(binding);
    }
    Ok(found)
}

/// Streams of the server, by their paths: they live as long as somebody listens.
pub(super) fn streams(bindings: &[Binding]) -> Vec<String> {
    let own = bindings
        .iter()
        .filter(|binding| binding.method.is_server_streaming())
        .map(Binding::rpc);
    let common = [
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];
    own.chain(common.map(str::to_owned)).collect()
}

// What has no row in the table of roles needs none: every other RPC has one, which is tested there.
fn is_open(method: &MethodDescriptor) -> bool {
    rule(&format!(
        "/{}/{}",
        method.parent_service().full_name(),
        method.name()
    ))
    .is_none()
}

fn is_for_people(method: &MethodDescriptor) -> bool {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let others = Role::ALL
        .into_iter()
        .filter(|role| *role != Role::Service)
        .map(Some);
    rule(&path).is_none_or(|rule| {
        std::iter::once(None)
            .chain(others)
            .any(|role| rule.allows(role))
    })
}

fn binding(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<Binding> {
    let options = method.options();
    let http = options.get_extension(&pool.get_extension_by_name("google.api.http")?);
    let http = http.as_message()?;
    let verb = VERBS
        .into_iter()
        .find(|verb| http.has_field_by_name(verb))?;
    let (path, action) = template(&text(http, verb)?)?;
    let body = match text(http, "body")?.as_str() {
        "" => Body::Nothing,
        "*" => Body::Everything,
        field => Body::Field(field.to_owned()),
    };
    Some(Binding {
        method: method.clone(),
        verb: verb.to_uppercase(),
        path,
        action,
        body,
    })
}

fn text(message: &DynamicMessage, field: &str) -> Option<String> {
    match message.get_field_by_name(field)?.as_ref() {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

// `/v1/{parent=projects/*}/jobs:watch`: only `*` stands for something, and only within braces, in all of our protos.
fn template(text: &str) -> Option<(Vec<Part>, Option<String>)> {
    let (path, action) = match text.rsplit_once(':') {
        Some((path, action)) => (path, Some(action.to_owned())),
        None => (text, None),
    };
    let mut parts = Vec::new();
    let mut rest = path.strip_prefix('/')?;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('{') {
            let (variable, after) = inner.split_once('}')?;
            let (field, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
            parts.extend(pattern.split('/').map(|word| match word {
                "*" => Part::Any(field.to_owned()),
                word => Part::Word(word.to_owned()),
            }));
            rest = after.strip_prefix('/').unwrap_or(after);
        } else {
            let (word, after) = rest.split_once('/').unwrap_or((rest, ""));
            parts.push(Part::Word(word.to_owned()));
            rest = after;
        }
    }
    Some((parts, action))
}

/// The fields that stand in the query: all that are neither in the path nor in the body.
pub(super) fn query(binding: &Binding) -> Vec<FieldDescriptor> {
    let in_query = |field: &FieldDescriptor| match &binding.body {
        Body::Everything => false,
        Body::Field(name) => name != field.name() && !binding.names(field.name()),
        Body::Nothing => !binding.names(field.name()),
    };
    binding.method.input().fields().filter(in_query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_in_their_parts() {
        let any = |field: &str| Part::Any(field.into());
        let word = |word: &str| Part::Word(word.into());
        let (path, action) = template("/v1/{name=projects/*/jobs/*}:cancel").unwrap();
        assert_eq!(
            path,
            [
                word("v1"),
                word("projects"),
                any("name"),
                word("jobs"),
                any("name")
            ]
        );
        assert_eq!(action.as_deref(), Some("cancel"));
        let (path, action) = template("/v1/{parent=projects/*}/datasets").unwrap();
        assert_eq!(
            path,
            [
                word("v1"),
                word("projects"),
                any("parent"),
                word("datasets")
            ]
        );
        assert_eq!(action, None);
    }

    #[test]
    fn every_call_of_people_has_a_rest_form_of_its_own_and_those_of_services_have_none() {
        let found = all().unwrap();
        let mut seen: Vec<_> = found
            .iter()
            .map(|b| {
                let path: Vec<_> = b
                    .path
                    .iter()
                    .map(|part| match part {
                        Part::Word(word) => word.as_str(),
                        Part::Any(_) => "*",
                    })
                    .collect();
                (b.verb.clone(), path.join("/"), b.action.clone())
            })
            .collect();
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
        let has = |rpc: &str| found.iter().any(|b| b.rpc() == rpc);
        assert!(has("/granary.metadata.v1.DatasetService/ListDatasets"));
        assert!(has("/granary.identity.v1.TokenService/ExchangeApiKey"));
        assert!(!has("/granary.identity.v1.AccessService/CheckAccess"));
        assert!(!has("/granary.metadata.v1.AssetService/BatchCreateAssets"));
        assert!(
            found
                .iter()
                .all(|b| b.is_open() == b.rpc().ends_with("/ExchangeApiKey"))
        );
    }

    #[test]
    fn streams_are_known() {
        let streams = streams(&all().unwrap());
        for rpc in [
            "/granary.metadata.v1.EventService/WatchEvents",
            "/granary.job.v1.JobService/StreamJobLogs",
            "/grpc.health.v1.Health/Watch",
        ] {
            assert!(streams.iter().any(|stream| stream == rpc), "{rpc}");
        }
    }
}
