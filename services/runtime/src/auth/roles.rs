//! The one table that says which role may call which RPC. An RPC without a row can be called by nobody.

use serde::{Deserialize, Serialize};

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything that people do.
    Administrator,
    /// One of Granary's own services.
    Service,
    /// Pulls jobs, reads their inputs and writes their outputs.
    Worker,
}

const PEOPLE: u8 = 1;
const SERVICE: u8 = 2;
const WORKER: u8 = 4;
const ALL: u8 = PEOPLE | SERVICE | WORKER;

impl Role {
    fn bit(self) -> u8 {
        match self {
            Self::Administrator => PEOPLE,
            Self::Service => SERVICE,
            Self::Worker => WORKER,
        }
    }
}

#[rustfmt::skip]
const TABLE: &[(&str, &[(&str, u8)])] = &[
    ("granary.identity.v1.TokenService", &[("GetPrincipal", ALL), ("CreateToken", PEOPLE)]),
    ("granary.metadata.v1.ProjectService", &[("CreateProject", PEOPLE), ("GetProject", ALL), ("ListProjects", PEOPLE | SERVICE)]),
    ("granary.metadata.v1.DatasetService", &[("CreateDataset", ALL), ("GetDataset", ALL), ("ListDatasets", ALL), ("UpdateDataset", PEOPLE)]),
    ("granary.metadata.v1.SessionService", &[
        ("CreateSession", ALL), ("GetSession", ALL), ("ListSessions", ALL), ("CompleteSession", ALL), ("FinishSession", SERVICE),
    ]),
    ("granary.metadata.v1.AssetService", &[
        ("GetAsset", ALL), ("BatchGetAssets", ALL), ("ListAssets", ALL), ("BatchCreateAssets", SERVICE), ("BatchUpdateAssetStates", SERVICE),
    ]),
    ("granary.metadata.v1.LabelService", &[
        ("CreateLabel", PEOPLE), ("GetLabel", ALL), ("ListLabels", ALL), ("UpdateLabel", PEOPLE), ("DeleteLabel", PEOPLE),
    ]),
    ("granary.metadata.v1.SnapshotService", &[
        ("CreateSnapshot", PEOPLE | SERVICE), ("GetSnapshot", ALL), ("ListSnapshots", ALL), ("ListSnapshotAssets", ALL),
    ]),
    ("granary.metadata.v1.EventService", &[("WatchEvents", PEOPLE | SERVICE)]),
    ("granary.storage.v1.UploadService", &[
        ("BatchCreateUploads", ALL), ("GetUpload", ALL), ("SignUploadParts", ALL), ("BatchCompleteUploads", ALL), ("BatchCopyAssets", ALL),
    ]),
    ("granary.storage.v1.DownloadService", &[("BatchCreateDownloads", ALL)]),
    ("granary.pipeline.v1.PipelineService", &[
        ("ApplyPipeline", PEOPLE), ("PlanPipeline", PEOPLE), ("GetPipeline", PEOPLE | SERVICE), ("ListPipelines", PEOPLE | SERVICE),
    ]),
    ("granary.pipeline.v1.RunService", &[
        ("GetRun", PEOPLE | SERVICE), ("ListRuns", PEOPLE | SERVICE), ("WatchRun", PEOPLE | SERVICE), ("ListStepResults", PEOPLE | SERVICE),
    ]),
    ("granary.job.v1.ApplicationService", &[("ApplyCatalog", PEOPLE), ("GetEntrypoint", ALL), ("ListEntrypoints", ALL)]),
    ("granary.job.v1.JobService", &[
        ("CreateJob", PEOPLE | SERVICE), ("GetJob", ALL), ("ListJobs", PEOPLE | SERVICE), ("CancelJob", PEOPLE | SERVICE),
        ("WatchJob", PEOPLE | SERVICE), ("StreamJobLogs", PEOPLE | SERVICE),
    ]),
    ("granary.job.v1.WorkerService", &[
        ("RegisterWorker", WORKER), ("ListWorkers", PEOPLE | SERVICE), ("AcquireJobs", WORKER), ("BatchReportJobs", WORKER), ("BatchFinishJobs", WORKER),
    ]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", ALL)]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", ALL)]),
];

/// Whether a role may call `/{package}.{Service}/{Method}`.
pub fn may_call(role: Role, path: &str) -> bool {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/'))
    else {
        return false;
    };
    TABLE
        .iter()
        .find(|(name, _)| *name == service)
        .and_then(|(_, methods)| methods.iter().find(|(name, _)| *name == method))
        .is_some_and(|(_, roles)| roles & role.bit() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_proto::prost_reflect::DescriptorPool;

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
            let anybody = [Role::Administrator, Role::Service, Role::Worker]
                .into_iter()
                .any(|role| may_call(role, &path));
            assert!(anybody, "{path} has no row");
        }
        for (service, methods) in TABLE
            .iter()
            .filter(|(name, _)| name.starts_with("granary."))
        {
            for (method, _) in *methods {
                assert!(
                    served.contains(&((*service).into(), (*method).into())),
                    "{service}/{method} is not served"
                );
            }
        }
    }

    #[test]
    fn workers_do_not_administrate() {
        assert!(!may_call(
            Role::Worker,
            "/granary.identity.v1.TokenService/CreateToken"
        ));
        assert!(!may_call(
            Role::Worker,
            "/granary.job.v1.ApplicationService/ApplyCatalog"
        ));
        assert!(!may_call(Role::Administrator, "/nowhere/Nothing"));
        assert!(!may_call(Role::Administrator, "nonsense"));
    }
}
