//! Every RPC of every service, as the server's reflection tells them, with every role, as a stranger and without a token.

use std::io::Write as _;

use granary_proto::prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use granary_runtime::auth::{Role, rule};
use tonic::Code;

use crate::{
    attacks::named,
    world::{Caller, PROJECT, World, path},
};

/// The calls that speak for themselves.
const OPEN: [&str; 1] = ["/granary.identity.v1.TokenService/ExchangeApiKey"];

/// Who may call what, said once more: A administrator, O owner, E editor, L labeler, V viewer, W worker, S service, * whoever has a token.
const RIGHTS: &str = "
    TokenService       GetPrincipal *  CreateToken A
    AccessService      CheckAccess S
    MemberService      CreateMember AO  GetMember AOELV  ListMembers AOELV  UpdateMember AO  DeleteMember AOELVW
    ApiKeyService      CreateApiKey AO  ListApiKeys AO  RevokeApiKey AO
    AuditService       ListAuditEntries AO  BatchCreateAuditEntries S
    UsageService       GetQuota AOELVS  UpdateQuota A  ListDailyUsage AOELV  BatchRecordUsage S
    ProjectService     CreateProject A  GetProject AOELVWS  ListProjects *
    DatasetService     CreateDataset AOEWS  GetDataset AOELVWS  ListDatasets AOELVWS  UpdateDataset AOE
    SessionService     CreateSession AOEWS  GetSession AOELVWS  ListSessions AOELVWS  CompleteSession AOEWS  FinishSession S
    AssetService       GetAsset AOELVWS  BatchGetAssets AOELVWS  ListAssets AOELVWS  BatchCreateAssets S  BatchUpdateAssetStates S
    LabelService       CreateLabel AOEL  GetLabel AOELVWS  ListLabels AOELVWS  UpdateLabel AOEL  DeleteLabel AOEL
    SnapshotService    CreateSnapshot AOES  GetSnapshot AOELVWS  ListSnapshots AOELVWS  ListSnapshotAssets AOELVWS
    EventService       WatchEvents AOELVS
    UploadService      BatchCreateUploads AOEWS  GetUpload AOEWS  SignUploadParts AOEWS  BatchCompleteUploads AOEWS  BatchCopyAssets AOEWS
    DownloadService    BatchCreateDownloads AOELVWS
    PipelineService    ApplyPipeline AOE  PlanPipeline AOE  GetPipeline AOELVS  ListPipelines AOELVS
    RunService         GetRun AOELVS  ListRuns AOELVS  WatchRun AOELVS  ListStepResults AOELVS
    ApplicationService ApplyCatalog A  GetEntrypoint *  ListEntrypoints *
    JobService         CreateJob AOES  GetJob AOELVWS  ListJobs AOELVS  CancelJob AOES  WatchJob AOELVS  StreamJobLogs AOELVS
    WorkerService      RegisterWorker W  ListWorkers AS  AcquireJobs W  BatchReportJobs W  BatchFinishJobs W
";

fn letter(role: Role) -> char {
    match role {
        Role::Administrator => 'A',
        Role::Owner => 'O',
        Role::Editor => 'E',
        Role::Labeler => 'L',
        Role::Viewer => 'V',
        Role::Worker => 'W',
        Role::Service => 'S',
    }
}

/// The letters of an RPC.
fn rights(method: &MethodDescriptor) -> &'static str {
    let service = method.parent_service().name().to_owned();
    let mut lines = RIGHTS.lines().map(str::split_whitespace);
    let mut words = lines
        .find_map(|mut words| (words.next()? == service).then_some(words))
        .unwrap_or_else(|| panic!("nobody said who may call {service}"));
    while let (Some(name), Some(letters)) = (words.next(), words.next()) {
        if name == method.name() {
            return letters;
        }
    }
    panic!("nobody said who may call {service}/{}", method.name());
}

/// What a caller must be told; nothing if it is let in.
fn expected(method: &MethodDescriptor, caller: &Caller) -> Option<Code> {
    let of_project = rule(&path(method)).unwrap().is_of_project();
    let role = if of_project {
        caller.role
    } else {
        caller.elsewhere
    };
    let rights = rights(method);
    match role {
        _ if rights == "*" => None,
        Some(role) if rights.contains(letter(role)) => None,
        None if of_project => Some(Code::NotFound),
        _ => Some(Code::PermissionDenied),
    }
}

#[test]
fn the_table_gives_each_role_what_it_should_have_and_no_more() {
    let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
    let granary = pool
        .services()
        .filter(|service| service.full_name().starts_with("granary."));
    for method in granary.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if OPEN.contains(&path(&method).as_str()) {
            continue;
        }
        let (rule, rights) = (rule(&path(&method)).unwrap(), rights(&method));
        for role in Role::ALL {
            let should = rights == "*" || rights.contains(letter(role));
            assert_eq!(
                rule.allows(Some(role)),
                should,
                "{} as {role:?}",
                path(&method)
            );
        }
        assert_eq!(
            rule.allows(None),
            rights == "*",
            "{} as nobody",
            path(&method)
        );
    }
}

/// Without a token, and with that of a service, nobody is anybody out here.
async fn refuses_nobody(world: &World, method: &MethodDescriptor, message: &DynamicMessage) {
    let service = world.token("service:storage", Some(Role::Service));
    for token in [None, Some(service.as_str())] {
        let refused = world.call(method, message, token).await.unwrap_err();
        let case = format!("{} as nobody or a service: {refused:?}", path(method));
        assert_eq!(refused.code(), Code::Unauthenticated, "{case}");
    }
}

/// What a caller is told is what they should be told.
async fn answers(
    world: &World,
    method: &MethodDescriptor,
    message: &DynamicMessage,
    caller: &Caller,
) {
    let answer = world.call(method, message, Some(&caller.token)).await;
    let case = format!("{} as {}: {answer:?}", path(method), caller.who);
    match (expected(method, caller), answer) {
        (Some(code), Err(status)) => assert_eq!(status.code(), code, "{case}"),
        (Some(_), Ok(_)) => panic!("{case}"),
        (None, Ok(_)) => {}
        (None, Err(status)) => {
            let shut = [
                Code::Unauthenticated,
                Code::PermissionDenied,
                Code::Unimplemented,
                Code::Internal,
            ];
            assert!(!shut.contains(&status.code()), "{case}");
            let hidden = format!("projects/{PROJECT} not found");
            assert_ne!(status.message(), hidden, "{case}");
        }
    }
}

#[tokio::test]
async fn every_rpc_knows_every_role_strangers_and_those_without_a_token() {
    let world = World::start().await;
    let callers = world.callers().await;
    let methods = world.methods().await;
    let services = world.pool.services();
    let granary = services.filter(|s| s.full_name().starts_with("granary."));
    let served: usize = granary.map(|service| service.methods().count()).sum();
    assert_eq!(methods.len(), served, "reflection tells them all");
    let mut cases = 0;
    for method in &methods {
        let parent = format!("projects/{PROJECT}");
        let message = named(&method.input(), &parent, &format!("{parent}/nothing/x"));
        refuses_nobody(&world, method, &message).await;
        if OPEN.contains(&path(method).as_str()) {
            continue;
        }
        for caller in &callers {
            answers(&world, method, &message, caller).await;
        }
        cases += 2 + callers.len();
    }
    // Not through print!, which the test runner keeps to itself.
    let mut out = std::io::stdout();
    let rpcs = methods.len();
    writeln!(out, "walk: {cases} cases, {rpcs} RPCs with every role").unwrap();
}

#[test]
fn who_only_reads_changes_nothing() {
    let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
    let reads = [
        "Get",
        "BatchGet",
        "List",
        "Watch",
        "Stream",
        "BatchCreateDownloads",
        "DeleteMember",
    ];
    for method in pool
        .services()
        .filter(|s| s.full_name().starts_with("granary."))
        .flat_map(|s| s.methods().collect::<Vec<_>>())
    {
        let may = rule(&path(&method))
            .is_some_and(|rule| rule.is_of_project() && rule.allows(Some(Role::Viewer)));
        let is_read = reads.iter().any(|verb| method.name().starts_with(verb));
        assert!(!may || is_read, "a viewer may call {}", path(&method));
    }
}
