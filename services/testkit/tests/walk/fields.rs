//! Every text of every request that names something: what leads elsewhere, what is no name, and what is another tenant's is refused there.

use std::io::Write as _;

use granary_core::Error;
use granary_proto::{
    identity::v1::ProjectRole,
    prost_reflect::{
        DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
    },
};
use granary_runtime::{
    auth::{Role, rule},
    rpc::{from_item, from_status, to_status},
};
use prost::Message as _;
use serde_json::{Value as Json, json};
use tonic::{Code, Status};

use crate::{
    names::{FILE, asset, name_in},
    world::{PROJECT, World, path},
};

const OUTPUT_ONLY: i32 = 3;
const IDENTIFIER: i32 = 8;

/// What is only text, or a word of a list, by the field or by the message and the field. All other texts are taken for names.
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "request_id", "page_token", "resume_token", "filter", "when", "etag", "display_name", "description", "message", "text", "class", "types",
    "subject", "issuer", "email", "start_date", "end_date", "sha256", "crc32c", "media_type", "cmd", "image_url", "type", "check", "Job.env",
];

/// What a request says beside the names that its path has: enough to be right, with every name that it can have.
fn said(method: &str, issuer: &str) -> Json {
    let session = format!("projects/{PROJECT}/datasets/raw/sessions/s");
    let (asset, job) = (asset(PROJECT), format!("projects/{PROJECT}/jobs/j"));
    let upload = asset.replace("/assets/", "/uploads/");
    match method {
        "CreateToken" => json!({"subject": "robot"}),
        "CreateMember" => {
            json!({"member": {"role": "PROJECT_ROLE_VIEWER", "subject": "bob", "issuer": issuer}})
        }
        "UpdateMember" => json!({"member": {"role": "PROJECT_ROLE_VIEWER"}, "update_mask": "role"}),
        "CreateApiKey" => json!({"api_key": {"role": "PROJECT_ROLE_VIEWER"}}),
        "UpdateQuota" => json!({"update_mask": "maxBytes"}),
        "ListDailyUsage" => json!({"start_date": "2026-11-01", "end_date": "2026-11-02"}),
        "CreateProject" => json!({"project_id": "new"}),
        "CreateDataset" => json!({"dataset_id": "new"}),
        "UpdateDataset" => json!({"update_mask": "displayName"}),
        "CreateSession" => json!({"session_id": "new", "session": {
            "metadata_path": "session.txt", "derived_from": [session], "producer": job,
        }}),
        "BatchGetAssets" => json!({"names": [asset]}),
        "CreateLabel" => json!({"label": {"class": "cat"}, "label_id": "l"}),
        "UpdateLabel" => json!({"label": {"class": "cat"}, "update_mask": "class"}),
        "CreateSnapshot" => json!({"snapshot_id": "n"}),
        "WatchEvents" => json!({"resource": session}),
        "BatchCreateUploads" => json!({"requests": [{
            "path": FILE, "size_bytes": 1, "sha256": "a".repeat(64), "derived_from": [asset], "producer": job,
        }]}),
        "SignUploadParts" => json!({"parts": [{"number": 1, "crc32c": "AAAAAA=="}]}),
        "BatchCompleteUploads" => json!({"requests": [{"name": upload}]}),
        "BatchCopyAssets" => {
            json!({"requests": [{"source": asset, "path": "copy.bin", "producer": job}]})
        }
        "BatchCreateDownloads" => json!({"assets": [asset]}),
        "ApplyPipeline" | "PlanPipeline" => json!({"definition": {
            "name": "p", "on": {"event": "session.completed", "dataset": "raw"}, "for_each": "asset", "steps": [
                {"name": "keep", "transform": "copy", "into": "kept", "needs": ["decodes"]},
                {"name": "decodes", "check": "image-decodable"},
            ],
        }}),
        "ListRuns" => json!({"session": session}),
        "ApplyCatalog" => json!({"entrypoints": [{
            "name": "applications/any/versions/v1/entrypoints/run", "app": {"cmd": ["true"], "env": ["SEED"]},
            "handler": {"files_down": {"data": "in"}, "files_up": {"output": "out"}, "profile": "gpu"},
        }]}),
        "CreateJob" => json!({"job_id": "new", "job": {
            "profile": "gpu",
            "entrypoint": "applications/any/versions/v1/entrypoints/run", "inputs": [{"mapping": "data", "references": [session]}],
        }}),
        "RegisterWorker" => {
            json!({"worker": {"name": "workers/w", "held": [{"job": job, "lease_number": 1}]}})
        }
        "AcquireJobs" => json!({"max_jobs": 1}),
        "BatchReportJobs" => json!({"reports": [{"job": job, "lease_number": 1}]}),
        "BatchFinishJobs" => {
            json!({"finishes": [{"job": job, "lease_number": 1, "outputs": {"output": session}}]})
        }
        _ => json!({}),
    }
}

/// A request in which nothing is wrong.
fn right(world: &World, method: &MethodDescriptor) -> DynamicMessage {
    let mut message =
        DynamicMessage::deserialize(method.input(), said(method.name(), world.issuer().name()))
            .unwrap();
    name_in(&mut message, method);
    message
}

/// What stands there instead of a right name; also that of another tenant, unless the caller may do everything.
fn wrong(right: &str, is_one_tenant: bool) -> Vec<String> {
    let mut all: Vec<String> = [
        "..",
        "../x",
        "/etc/passwd",
        "a\0b",
        "%2e%2e",
        "a//b",
        "a\u{202e}b",
    ]
    .map(str::to_owned)
    .into();
    all.push("x".repeat(100_000));
    all.extend([
        format!("/{right}"),
        format!("{right}/.."),
        format!("{right}//x"),
        format!("{right}\0"),
        format!("{right}\u{202e}"),
        format!("{right}/%2e%2e/x"),
        format!("../{right}"),
    ]);
    if right.starts_with("projects/") {
        let elsewhere = format!("projects/{PROJECT}/../theirs");
        all.extend([
            format!(" {right}"),
            right.to_uppercase(),
            right.replace('/', "//"),
            right.replace('/', "%2F"),
            right.replace('/', "\\"),
            right.replace(&format!("projects/{PROJECT}"), &elsewhere),
            right.replace(&format!("projects/{PROJECT}"), "projects/.."),
        ]);
    }
    let theirs = right.replace(&format!("projects/{PROJECT}"), "projects/theirs");
    if is_one_tenant && theirs != right {
        all.push(theirs);
    }
    all
}

type Path = Vec<FieldDescriptor>;

fn behaves(field: &FieldDescriptor, how: i32) -> bool {
    let behavior = field
        .parent_message()
        .parent_pool()
        .get_extension_by_name("google.api.field_behavior");
    let options = field.options();
    let found = options.get_extension(&behavior.unwrap());
    found.as_list().unwrap().contains(&Value::EnumNumber(how))
}

/// The places of names in a request.
fn names(method: &MethodDescriptor) -> Vec<Path> {
    fn within(message: &MessageDescriptor, above: &Path, creates: bool, found: &mut Vec<Path>) {
        for field in message.fields() {
            // What is created gets its name from the request's id.
            if behaves(&field, OUTPUT_ONLY) || (creates && behaves(&field, IDENTIFIER)) {
                continue;
            }
            let path = [above.as_slice(), std::slice::from_ref(&field)].concat();
            let kind = match field.kind() {
                Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
                kind => kind,
            };
            let text = format!("{}.{}", message.name(), field.name());
            match kind {
                Kind::String
                    if !TEXTS.contains(&text.as_str()) && !TEXTS.contains(&field.name()) =>
                {
                    found.push(path)
                }
                Kind::Message(inner)
                    if inner.full_name().starts_with("granary.") || inner.name() == "FieldMask" =>
                {
                    within(&inner, &path, creates, found);
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    let creates = method.name().starts_with("Create");
    within(&method.input(), &Vec::new(), creates, &mut found);
    found
}

/// The text at a place, in the first item of lists and maps.
fn text_in<'a>(
    message: &'a mut DynamicMessage,
    path: &[FieldDescriptor],
) -> Option<&'a mut String> {
    let (field, rest) = path.split_first()?;
    let value = match message.get_field_mut(field) {
        Value::List(items) => items.first_mut()?,
        Value::Map(items) => items.values_mut().next()?,
        value => value,
    };
    match value {
        Value::String(text) => Some(text),
        Value::Message(inner) => text_in(inner, rest),
        _ => None,
    }
}

/// As errors write a place: `requests[0].path`.
fn shown(path: &[FieldDescriptor]) -> String {
    let part = |field: &FieldDescriptor| match field.is_list() {
        true => format!("{}[0]", field.name()),
        false => field.name().to_owned(),
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

/// Whether an error names a place: as it is in the request, within what the request is for (under its own name, in the catalogue), or with the
/// key of a map behind it.
fn names_place(field: &str, place: &str) -> bool {
    let outer = field.rsplit_once('.').map_or("", |(outer, _)| outer);
    let (_, inner) = place.split_once('.').unwrap_or(("", place));
    let is = |field: &str| !field.is_empty() && (place.ends_with(field) || field.ends_with(inner));
    is(field) || is(outer) || (!field.is_empty() && place.starts_with(field))
}

/// Callers who may do what they try, with the token of each.
struct Callers {
    owner: String,
    worker: String,
    administrator: String,
}

impl Callers {
    async fn of(world: &World) -> Self {
        world.member(PROJECT, "eve", ProjectRole::Owner).await;
        Self {
            owner: world.token("eve", None),
            worker: world.key(ProjectRole::Worker).await,
            administrator: world.node.token(),
        }
    }

    /// Whoever has the least rights of those who may; nobody for calls of services, and for those that need no token.
    fn who_may(&self, method: &MethodDescriptor) -> Option<&str> {
        let rule = rule(&path(method))?;
        [
            (Role::Owner, &self.owner),
            (Role::Worker, &self.worker),
            (Role::Administrator, &self.administrator),
        ]
        .into_iter()
        .find_map(|(role, token)| rule.allows(Some(role)).then_some(token.as_str()))
    }
}

/// How a call ends; of those with a result for each item, how the first one does.
async fn outcome(
    world: &World,
    method: &MethodDescriptor,
    message: &DynamicMessage,
    token: &str,
) -> Result<(), Status> {
    let bytes = world.call(method, message, Some(token)).await?;
    if method.is_server_streaming() {
        return Ok(());
    }
    let mut answer = DynamicMessage::decode(method.output(), bytes).unwrap();
    let Some(Value::List(results)) = answer.get_field_by_name_mut("results") else {
        return Ok(());
    };
    let error = results
        .first_mut()
        .and_then(|result| result.as_message_mut()?.take_field_by_name("error"));
    match error {
        Some(Value::Message(error)) => {
            let item = prost::Message::decode(error.encode_to_vec().as_slice()).unwrap();
            Err(to_status(from_item(item)))
        }
        _ => Ok(()),
    }
}

async fn start() -> (World, Callers) {
    let world = World::start().await;
    world.project("theirs").await;
    let callers = Callers::of(&world).await;
    for project in [PROJECT, "theirs"] {
        let dataset = granary_core::name::DatasetName::new(project, "raw").unwrap();
        world.dataset(&dataset).await;
        let files = vec![(FILE, b"secret".to_vec())];
        world
            .node
            .session(&dataset, "s", Default::default(), files)
            .await;
    }
    for method in world.methods().await {
        if ["ApplyCatalog", "RegisterWorker"].contains(&method.name()) {
            let token = callers.who_may(&method).unwrap();
            outcome(&world, &method, &right(&world, &method), token)
                .await
                .unwrap();
        }
    }
    (world, callers)
}

/// What is wrong with an answer to a wrong name, if anything is: it is to be refused where it stands, or not to be there.
fn complaint(answer: Result<(), Status>, place: &str) -> Option<String> {
    let Err(status) = answer else {
        return Some("was taken".into());
    };
    let code = status.code();
    let fields: Vec<_> = match from_status(status.clone()) {
        Error::Invalid(violations) => violations
            .into_iter()
            .map(|violation| violation.field)
            .collect(),
        _ => Vec::new(),
    };
    match code {
        Code::NotFound | Code::PermissionDenied => None,
        Code::InvalidArgument if fields.iter().any(|field| names_place(field, place)) => None,
        _ => Some(format!("{code:?} of {fields:?}: {}", status.message())),
    }
}

/// A right request is not refused for what it says, or a wrong name in it would show nothing.
async fn check_right(world: &World, method: &MethodDescriptor, token: &str) {
    let status = outcome(world, method, &right(world, method), token)
        .await
        .err();
    let wronged = [
        Code::InvalidArgument,
        Code::Internal,
        Code::Unknown,
        Code::PermissionDenied,
    ];
    let is_wronged = status
        .as_ref()
        .is_some_and(|status| wronged.contains(&status.code()));
    assert!(!is_wronged, "{}: {status:?}", method.full_name());
}

#[tokio::test]
async fn no_name_in_any_request_leads_elsewhere() {
    let (world, callers) = start().await;
    let (mut places, mut cases, mut complaints) = (0, 0, Vec::new());
    for method in world.methods().await {
        let Some(token) = callers.who_may(&method) else {
            continue;
        };
        for path in names(&method) {
            let (right, place) = (right(&world, &method), shown(&path));
            let name = text_in(&mut right.clone(), &path)
                .cloned()
                .unwrap_or_default();
            assert!(
                !name.is_empty(),
                "{} {place}: say a right name, or that it is none",
                method.full_name()
            );
            for attack in wrong(&name, token != callers.administrator) {
                let mut message = right.clone();
                *text_in(&mut message, &path).unwrap() = attack.clone();
                let answer = outcome(&world, &method, &message, token).await;
                let shown: String = attack.chars().take(80).collect();
                let about = |what| format!("{}: {shown:?} as {place}: {what}", method.full_name());
                complaints.extend(complaint(answer, &place).map(about));
                cases += 1;
            }
            places += 1;
        }
        // After them, since it may make what is then there.
        check_right(&world, &method, token).await;
    }
    assert!(
        complaints.is_empty(),
        "{} of {cases}:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
    // Not through print!, which the test runner keeps to itself.
    writeln!(
        std::io::stdout(),
        "attacks: {cases} names that lead elsewhere, in {places} fields"
    )
    .unwrap();
}
