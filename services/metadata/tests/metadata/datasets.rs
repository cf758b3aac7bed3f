//! Projects and datasets.

use granary_proto::metadata::v1::{
    CreateDatasetRequest, CreateProjectRequest, Dataset, DatasetKind, GetDatasetRequest,
    GetProjectRequest, ListDatasetsRequest, ListProjectsRequest, Project, UpdateDatasetRequest,
};
use prost_types::FieldMask;
use tonic::Code;

use crate::world::{DATASET, World, blamed, refused};

fn create(id: &str, request_id: &str) -> CreateDatasetRequest {
    CreateDatasetRequest {
        parent: "projects/default".into(),
        dataset: Some(Dataset {
            kind: DatasetKind::Output.into(),
            display_name: "Results".into(),
            ..Default::default()
        }),
        dataset_id: id.into(),
        request_id: request_id.into(),
    }
}

const REQUEST: &str = "0190b8b6-7a5e-7c1e-8a57-0f4e6d1f2a3b";

#[tokio::test]
async fn the_default_project_is_there_from_the_first_start_and_stays() {
    for world in World::each().await {
        let world = world.restart().await;
        let projects = world
            .projects()
            .list_projects(ListProjectsRequest::default())
            .await
            .unwrap()
            .into_inner()
            .projects;
        assert_eq!(projects.len(), 1);
        assert_eq!(
            (projects[0].name.as_str(), projects[0].display_name.as_str()),
            ("projects/default", "Default")
        );
    }
}

#[tokio::test]
async fn projects_are_created_once_and_read_back() {
    for world in World::each().await {
        let mut client = world.projects();
        let project = Project {
            display_name: "Sleep lab".into(),
            ..Default::default()
        };
        let request = CreateProjectRequest {
            project: Some(project),
            project_id: "sleep".into(),
            request_id: REQUEST.into(),
        };
        let made = client
            .create_project(request.clone())
            .await
            .unwrap()
            .into_inner();
        let read = client
            .get_project(GetProjectRequest {
                name: "projects/sleep".into(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(made, read);
        assert_eq!(
            client
                .create_project(request.clone())
                .await
                .unwrap()
                .into_inner(),
            made,
            "the same request again"
        );
        let other = CreateProjectRequest {
            request_id: String::new(),
            ..request.clone()
        };
        refused(client.create_project(other).await, Code::AlreadyExists);
        let reused = CreateProjectRequest {
            project_id: "other".into(),
            ..request
        };
        assert_eq!(blamed(client.create_project(reused).await), "request_id");
        refused(
            client
                .get_project(GetProjectRequest {
                    name: "projects/nowhere".into(),
                })
                .await,
            Code::NotFound,
        );
    }
}

#[tokio::test]
async fn a_dataset_tells_its_kind_and_where_its_objects_lie() {
    for world in World::each().await {
        let mut client = world.datasets();
        let made = client
            .create_dataset(create("results", ""))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(made.kind(), DatasetKind::Output);
        assert_eq!(made.uri, "s3://granary-jobs/default/results/");
        let read = client
            .get_dataset(GetDatasetRequest {
                name: made.name.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(read, made);
        let raw = client
            .get_dataset(GetDatasetRequest {
                name: DATASET.into(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (raw.kind(), raw.uri.as_str()),
            (DatasetKind::Raw, "s3://granary-raw/default/raw/")
        );
        let list = client.list_datasets(ListDatasetsRequest {
            parent: "projects/default".into(),
            ..Default::default()
        });
        let names: Vec<_> = list
            .await
            .unwrap()
            .into_inner()
            .datasets
            .into_iter()
            .map(|d| d.name)
            .collect();
        assert_eq!(names, [DATASET, "projects/default/datasets/results"]);
    }
}

#[tokio::test]
async fn a_repeated_creation_is_told_from_a_second_one_by_its_request_id() {
    for world in World::each().await {
        let mut client = world.datasets();
        let made = client
            .create_dataset(create("results", REQUEST))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            client
                .create_dataset(create("results", REQUEST))
                .await
                .unwrap()
                .into_inner(),
            made
        );
        refused(
            client.create_dataset(create("results", "")).await,
            Code::AlreadyExists,
        );
        assert_eq!(
            blamed(client.create_dataset(create("others", REQUEST)).await),
            "request_id"
        );
        assert_eq!(
            blamed(client.create_dataset(create("others", "once")).await),
            "request_id"
        );
        world.clock.advance(time::Duration::hours(25));
        client
            .create_dataset(create("later", "0190b8b6-7a5e-7c1e-8a57-0f4e6d1f2a3c"))
            .await
            .unwrap();
        refused(
            client.create_dataset(create("results", REQUEST)).await,
            Code::AlreadyExists,
        );
    }
}

#[tokio::test]
async fn only_the_display_name_changes_and_only_if_nobody_else_changed_it() {
    for world in World::each().await {
        let mut client = world.datasets();
        let made = client
            .create_dataset(create("results", ""))
            .await
            .unwrap()
            .into_inner();
        let rename = |name: &str, etag: &str, paths: &[&str]| UpdateDatasetRequest {
            dataset: Some(Dataset {
                name: made.name.clone(),
                display_name: name.into(),
                etag: etag.into(),
                ..Default::default()
            }),
            update_mask: Some(FieldMask {
                paths: paths.iter().map(|p| (*p).into()).collect(),
            }),
        };
        let renamed = client
            .update_dataset(rename("New", &made.etag, &["display_name"]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (renamed.display_name.as_str(), renamed.kind),
            ("New", made.kind)
        );
        assert_ne!(renamed.etag, made.etag);
        refused(
            client
                .update_dataset(rename("Newer", &made.etag, &["display_name"]))
                .await,
            Code::Aborted,
        );
        assert_eq!(
            blamed(client.update_dataset(rename("X", "", &["kind"])).await),
            "update_mask"
        );
        let kept = client
            .update_dataset(rename("", "", &[]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            kept.display_name, "New",
            "without a mask what is not set stays"
        );
        let emptied = client
            .update_dataset(rename("", "", &["display_name"]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(emptied.display_name, "");
        let other_kind = Dataset {
            name: made.name.clone(),
            kind: DatasetKind::Raw.into(),
            ..Default::default()
        };
        let request = UpdateDatasetRequest {
            dataset: Some(other_kind),
            update_mask: None,
        };
        assert_eq!(blamed(client.update_dataset(request).await), "dataset.kind");
    }
}

#[tokio::test]
async fn without_its_project_there_is_no_dataset() {
    for world in World::each().await {
        let request = CreateDatasetRequest {
            parent: "projects/nowhere".into(),
            ..create("d", "")
        };
        refused(
            world.datasets().create_dataset(request).await,
            Code::NotFound,
        );
        let request = ListDatasetsRequest {
            parent: "projects/nowhere".into(),
            ..Default::default()
        };
        refused(
            world.datasets().list_datasets(request).await,
            Code::NotFound,
        );
    }
}
