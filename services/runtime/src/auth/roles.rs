//! The one table that says which role may call which RPC, and where a call names its project. An RPC without a row can be called by nobody.

use std::{collections::HashMap, sync::LazyLock};

use granary_proto::{
    identity::v1::ProjectRole,
    prost_reflect::{DescriptorPool, MethodDescriptor},
};
use serde::{Deserialize, Serialize};

use super::scope::Field;

/// What somebody may do. The first three hold in all projects and stand in the token; the others are those of members and API keys in one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything that people do, in all projects.
    Administrator,
    /// One of Granary's own services.
    Service,
    /// Pulls jobs, reads their inputs and writes their outputs.
    Worker,
    /// Members and API keys of a project, and what follows.
    Owner,
    /// Datasets, uploads, snapshots, pipelines, jobs, and what follows.
    Editor,
    /// Labels, and what follows.
    Labeler,
    /// Reads.
    Viewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Administrator,
        Self::Service,
        Self::Worker,
        Self::Owner,
        Self::Editor,
        Self::Labeler,
        Self::Viewer,
    ];

    /// Whether a token may give it, for all projects.
    pub fn is_platform_wide(self) -> bool {
        matches!(self, Self::Administrator | Self::Service | Self::Worker)
    }

    /// The role for all projects with this name in a token.
    pub(super) fn of_platform(name: &str) -> Option<Self> {
        match name {
            "administrator" => Some(Self::Administrator),
            "service" => Some(Self::Service),
            "worker" => Some(Self::Worker),
            _ => None,
        }
    }

    /// The role of a member or a key in its project.
    pub fn of_project(role: ProjectRole) -> Option<Self> {
        match role {
            ProjectRole::Unspecified => None,
            ProjectRole::Owner => Some(Self::Owner),
            ProjectRole::Editor => Some(Self::Editor),
            ProjectRole::Labeler => Some(Self::Labeler),
            ProjectRole::Viewer => Some(Self::Viewer),
            ProjectRole::Worker => Some(Self::Worker),
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

const ADMIN: u16 = 1;
const SERVICE: u16 = 2;
const WORKER: u16 = 4;
const OWN: u16 = ADMIN | 8;
const EDIT: u16 = OWN | 16;
const LABEL: u16 = EDIT | 32;
const VIEW: u16 = LABEL | 64;
/// Whoever has a valid token, for calls that are about no project.
const ANYONE: u16 = 128;
const ALL: u16 = VIEW | SERVICE | WORKER;
/// No role: calls that are kept in the audit log, since they change something or hand out data. Others are only kept if they are refused.
const KEPT: u16 = 256;

/// The method, who may call it and whether that is kept, and the field that names the project or something in it; none if the call is about no project.
type Row = (&'static str, u16, &'static str);

#[rustfmt::skip]
const TABLE: &[(&str, &[Row])] = &[
    ("granary.identity.v1.TokenService", &[
        ("GetPrincipal", ALL | ANYONE, ""), ("CreateToken", ADMIN | KEPT, ""),
    ]),
    ("granary.identity.v1.AccessService", &[("CheckAccess", SERVICE, "")]),
    ("granary.identity.v1.MemberService", &[
        ("CreateMember", OWN | KEPT, "parent"), ("GetMember", VIEW, "name"), ("ListMembers", VIEW, "parent"),
        ("UpdateMember", OWN | KEPT, "member.name"), ("DeleteMember", VIEW | WORKER | KEPT, "name"),
    ]),
    ("granary.identity.v1.ApiKeyService", &[
        ("CreateApiKey", OWN | KEPT, "parent"), ("ListApiKeys", OWN, "parent"), ("RevokeApiKey", OWN | KEPT, "name"),
    ]),
    ("granary.identity.v1.AuditService", &[("ListAuditEntries", OWN, "parent"), ("BatchCreateAuditEntries", SERVICE, "")]),
    ("granary.identity.v1.UsageService", &[
        ("GetQuota", VIEW | SERVICE, "name"), ("UpdateQuota", ADMIN | KEPT, "quota.name"), ("ListDailyUsage", VIEW, "parent"),
        ("BatchRecordUsage", SERVICE, ""),
    ]),
    ("granary.metadata.v1.ProjectService", &[
        ("CreateProject", ADMIN | KEPT, ""), ("GetProject", ALL, "name"), ("ListProjects", ADMIN | SERVICE | ANYONE, ""),
    ]),
    ("granary.metadata.v1.DatasetService", &[
        ("CreateDataset", EDIT | SERVICE | WORKER | KEPT, "parent"), ("GetDataset", ALL, "name"), ("ListDatasets", ALL, "parent"),
        ("UpdateDataset", EDIT | KEPT, "dataset.name"),
    ]),
    ("granary.metadata.v1.SessionService", &[
        ("CreateSession", EDIT | SERVICE | WORKER | KEPT, "parent"), ("GetSession", ALL, "name"), ("ListSessions", ALL, "parent"),
        ("CompleteSession", EDIT | SERVICE | WORKER | KEPT, "name"), ("FinishSession", SERVICE | KEPT, "name"),
    ]),
    ("granary.metadata.v1.AssetService", &[
        ("GetAsset", ALL, "name"), ("BatchGetAssets", ALL, "parent"), ("ListAssets", ALL, "parent"),
        ("BatchCreateAssets", SERVICE | KEPT, "parent"), ("BatchUpdateAssetStates", SERVICE | KEPT, "parent"),
    ]),
    ("granary.metadata.v1.LabelService", &[
        ("CreateLabel", LABEL | KEPT, "parent"), ("GetLabel", ALL, "name"), ("ListLabels", ALL, "parent"),
        ("UpdateLabel", LABEL | KEPT, "label.name"), ("DeleteLabel", LABEL | KEPT, "name"),
    ]),
    ("granary.metadata.v1.SnapshotService", &[
        ("CreateSnapshot", EDIT | SERVICE | KEPT, "parent"), ("GetSnapshot", ALL, "name"), ("ListSnapshots", ALL, "parent"),
        ("ListSnapshotAssets", ALL, "parent"),
    ]),
    ("granary.metadata.v1.EventService", &[("WatchEvents", VIEW | SERVICE, "parent")]),
    ("granary.storage.v1.UploadService", &[
        ("BatchCreateUploads", EDIT | SERVICE | WORKER | KEPT, "parent"), ("GetUpload", EDIT | SERVICE | WORKER, "name"),
        ("SignUploadParts", EDIT | SERVICE | WORKER | KEPT, "name"), ("BatchCompleteUploads", EDIT | SERVICE | WORKER | KEPT, "parent"),
        ("BatchCopyAssets", EDIT | SERVICE | WORKER | KEPT, "parent"),
    ]),
    ("granary.storage.v1.DownloadService", &[("BatchCreateDownloads", ALL | KEPT, "parent")]),
    ("granary.pipeline.v1.PipelineService", &[
        ("ApplyPipeline", EDIT | KEPT, "parent"), ("PlanPipeline", EDIT, "parent"), ("GetPipeline", VIEW | SERVICE, "name"),
        ("ListPipelines", VIEW | SERVICE, "parent"),
    ]),
    ("granary.pipeline.v1.RunService", &[
        ("GetRun", VIEW | SERVICE, "name"), ("ListRuns", VIEW | SERVICE, "parent"), ("WatchRun", VIEW | SERVICE, "name"),
        ("ListStepResults", VIEW | SERVICE, "parent"),
    ]),
    ("granary.job.v1.ApplicationService", &[
        ("ApplyCatalog", ADMIN | KEPT, ""), ("GetEntrypoint", ALL | ANYONE, ""), ("ListEntrypoints", ALL | ANYONE, ""),
    ]),
    ("granary.job.v1.JobService", &[
        ("CreateJob", EDIT | SERVICE | KEPT, "parent"), ("GetJob", ALL, "name"), ("ListJobs", VIEW | SERVICE, "parent"),
        ("CancelJob", EDIT | SERVICE | KEPT, "name"), ("WatchJob", VIEW | SERVICE, "name"), ("StreamJobLogs", VIEW | SERVICE | KEPT, "name"),
    ]),
    ("granary.job.v1.WorkerService", &[
        ("RegisterWorker", WORKER | KEPT, ""), ("ListWorkers", ADMIN | SERVICE, ""), ("AcquireJobs", WORKER, ""),
        ("BatchReportJobs", WORKER, ""), ("BatchFinishJobs", WORKER | KEPT, ""),
    ]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", ALL | ANYONE, "")]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", ALL | ANYONE, "")]),
];

/// Where calls that are kept, and about no project, name what they are about.
const OTHER_NAMES: [&str; 4] = ["project_id", "worker.name", "subject", "name"];
/// Where a call about several things has them: with their names, or else the things themselves.
const ITEMS: [&str; 4] = ["assets", "updates.name", "requests.name", "requests"];
/// Where an answer names what was made.
const MADE: [&str; 6] = [
    "name",
    "api_key.name",
    "pipeline.name",
    "uploads.asset",
    "assets.name",
    "assets",
];

/// What the table says of one RPC.
#[derive(Debug)]
pub struct Rule {
    roles: u16,
    /// The RPC as the audit log names it: `granary.metadata.v1.DatasetService/CreateDataset`.
    pub(super) method: Box<str>,
    /// Whether its calls are kept in the audit log.
    pub(super) kept: bool,
    /// Where a request names what it is about.
    pub(super) names: Option<Field>,
    /// The things that a request is about, if they may be several.
    pub(super) items: Option<Field>,
    /// Where the answer names what was made; of several things any of them.
    pub(super) made: Option<Field>,
    /// Whether that is in a project, which decides who may make the call.
    of_project: bool,
    /// Whether its answer is a stream.
    pub(super) streams: bool,
}

impl Rule {
    /// Whether a role may make the call; without a role only what is open to anyone.
    pub fn allows(&self, role: Option<Role>) -> bool {
        let bit = role.map_or(0, Role::bit);
        self.roles & (bit | if self.of_project { 0 } else { ANYONE }) != 0
    }

    /// Who may make the call, in words for those who may not.
    pub(super) fn takes(&self) -> &'static str {
        match self.roles & (VIEW | SERVICE | WORKER) {
            people if people & VIEW == VIEW => {
                "a viewer, a labeler, an editor or an owner of the project"
            }
            people if people & LABEL == LABEL => "a labeler, an editor or an owner of the project",
            people if people & EDIT == EDIT => "an editor or an owner of the project",
            people if people & OWN == OWN => "an owner of the project",
            people if people & ADMIN == ADMIN => "a platform administrator",
            WORKER => "a worker",
            _ => "one of Granary's own services",
        }
    }

    /// Whether the call is about one project, or something in it.
    pub fn is_of_project(&self) -> bool {
        self.of_project
    }
}

/// What the table says of `/{package}.{Service}/{Method}`; nothing for what is not served.
pub fn rule(path: &str) -> Option<&'static Rule> {
    static RULES: LazyLock<HashMap<String, Rule>> = LazyLock::new(compile);
    RULES.get(path)
}

// The descriptors say where the fields are.
fn compile() -> HashMap<String, Rule> {
    let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap_or_default();
    let mut rules = HashMap::new();
    for (service, rows) in TABLE {
        let described = pool.get_service_by_name(service);
        for (method, roles, field) in *rows {
            let described = described
                .as_ref()
                .and_then(|service| service.methods().find(|m| m.name() == *method));
            let project = described
                .as_ref()
                .filter(|_| !field.is_empty())
                .and_then(|method| Field::find(&method.input(), field));
            // A row whose field is not there lets nobody in.
            let roles = if !field.is_empty() && project.is_none() {
                0
            } else {
                *roles
            };
            let kept = roles & KEPT != 0;
            let input = described.as_ref().map(MethodDescriptor::input);
            let known = input.filter(|_| kept && field.is_empty());
            let named = known.and_then(|input| {
                OTHER_NAMES
                    .into_iter()
                    .find_map(|field| Field::find(&input, field))
            });
            let rule = Rule {
                roles,
                method: format!("{service}/{method}").into(),
                kept,
                items: described
                    .as_ref()
                    .filter(|_| kept && project.is_some())
                    .and_then(items),
                made: described.as_ref().filter(|_| kept).and_then(made),
                of_project: project.is_some(),
                names: project.or(named),
                streams: described.is_none_or(|method| method.is_server_streaming()),
            };
            rules.insert(format!("/{service}/{method}"), rule);
        }
    }
    rules
}

fn items(method: &MethodDescriptor) -> Option<Field> {
    let input = method.input();
    let found = || {
        ITEMS
            .iter()
            .find_map(|field| Field::find_list(&input, field))
    };
    method.name().starts_with("Batch").then(found).flatten()
}

fn made(method: &MethodDescriptor) -> Option<Field> {
    let output = method.output();
    let found = || {
        MADE.iter()
            .find_map(|field| Field::find_any(&output, field))
    };
    let makes = ["Create", "Apply", "Batch"];
    let is = makes.iter().any(|begin| method.name().starts_with(begin));
    is.then(found).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_a_row_and_every_row_an_rpc() {
        let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
        let mut served = Vec::new();
        for service in pool
            .services()
            .filter(|s| s.full_name().starts_with("granary."))
        {
            for method in service.methods() {
                served.push((service.full_name().to_owned(), method.name().to_owned()));
            }
        }
        for (service, method) in &served {
            let path = format!("/{service}/{method}");
            if super::super::layer::OPEN.contains(&path.as_str()) {
                continue;
            }
            let rule = rule(&path).unwrap_or_else(|| panic!("{path} has no row"));
            let anybody = Role::ALL.into_iter().any(|role| rule.allows(Some(role)));
            assert!(anybody, "{path} can be called by nobody");
        }
        for (service, rows) in TABLE
            .iter()
            .filter(|(name, _)| name.starts_with("granary."))
        {
            for (method, _, field) in *rows {
                assert!(
                    served.contains(&((*service).into(), (*method).into())),
                    "{service}/{method} is not served"
                );
                let found = rule(&format!("/{service}/{method}")).unwrap();
                assert_eq!(
                    found.is_of_project(),
                    !field.is_empty(),
                    "{service}/{method} has no field {field}"
                );
            }
        }
    }

    #[test]
    fn a_call_that_names_something_is_of_a_project() {
        for (service, rows) in TABLE {
            for (method, _, field) in *rows {
                let platform = [
                    "granary.job.v1.ApplicationService",
                    "granary.job.v1.WorkerService",
                ];
                if !field.is_empty() || platform.contains(service) {
                    continue;
                }
                let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
                let input = pool
                    .get_service_by_name(service)
                    .and_then(|s| s.methods().find(|m| m.name() == *method).map(|m| m.input()));
                let named = input.is_some_and(|input| {
                    ["name", "parent"]
                        .iter()
                        .any(|f| input.get_field_by_name(f).is_some())
                });
                assert!(
                    !named,
                    "{service}/{method} names something and has no scope"
                );
            }
        }
    }

    #[test]
    fn what_changes_something_or_hands_out_data_is_kept() {
        // What is told again and again, and what the log itself is made of.
        let machinery = [
            "AcquireJobs",
            "BatchReportJobs",
            "BatchCreateAuditEntries",
            "BatchRecordUsage",
            "ServerReflectionInfo",
        ];
        let reads = ["Get", "List", "Watch", "Check", "Plan", "BatchGet"];
        for (service, rows) in TABLE {
            for (method, _, _) in *rows {
                let is_read = reads.iter().any(|read| method.starts_with(read));
                let rule = rule(&format!("/{service}/{method}")).unwrap();
                assert_eq!(
                    rule.kept,
                    !is_read && !machinery.contains(method),
                    "{service}/{method}"
                );
            }
        }
    }

    #[test]
    fn what_is_made_has_a_name_and_what_comes_in_a_batch_is_counted() {
        let of = |begins: &[&str]| {
            let rows = TABLE.iter().flat_map(|(service, rows)| {
                let rule = move |row: &Row| rule(&format!("/{service}/{}", row.0)).unwrap();
                rows.iter().map(move |row| (row.0, rule(row)))
            });
            let is = |name: &str| begins.iter().any(|begin| name.starts_with(begin));
            let kept = rows.filter(|(name, rule)| is(name) && rule.kept && rule.of_project);
            kept.collect::<Vec<_>>()
        };
        let made = of(&["Create", "Apply"]);
        assert!(made.len() >= 8);
        for (method, rule) in made {
            assert!(rule.made.is_some() && rule.items.is_none(), "{method}");
        }
        let batches = of(&["Batch"]);
        assert!(batches.len() >= 6);
        for (method, rule) in batches {
            assert!(rule.items.is_some(), "{method}");
        }
        let download = rule("/granary.storage.v1.DownloadService/BatchCreateDownloads").unwrap();
        assert!(download.made.is_none());
    }

    #[test]
    fn who_may_not_is_told_who_may() {
        let takes = |path| rule(path).unwrap().takes();
        let create = "/granary.metadata.v1.DatasetService/CreateDataset";
        assert_eq!(takes(create), "an editor or an owner of the project");
        let project = "/granary.metadata.v1.ProjectService/CreateProject";
        assert_eq!(takes(project), "a platform administrator");
        let acquire = "/granary.job.v1.WorkerService/AcquireJobs";
        assert_eq!(takes(acquire), "a worker");
        let jobs = takes("/granary.job.v1.JobService/ListJobs");
        assert!(jobs.starts_with("a viewer, "), "{jobs}");
        let check = "/granary.identity.v1.AccessService/CheckAccess";
        assert_eq!(takes(check), "one of Granary's own services");
    }

    #[test]
    fn roles_hold_what_the_ones_below_them_hold() {
        let may = |role, path| rule(path).unwrap().allows(role);
        let create = "/granary.metadata.v1.DatasetService/CreateDataset";
        assert!(may(Some(Role::Editor), create) && may(Some(Role::Owner), create));
        assert!(!may(Some(Role::Labeler), create) && !may(None, create));
        let catalog = "/granary.job.v1.ApplicationService/ApplyCatalog";
        assert!(may(Some(Role::Administrator), catalog) && !may(Some(Role::Worker), catalog));
        assert!(!may(Some(Role::Owner), catalog));
        assert!(may(None, "/granary.identity.v1.TokenService/GetPrincipal"));
        assert!(rule("/nowhere/Nothing").is_none() && rule("nonsense").is_none());
    }
}
