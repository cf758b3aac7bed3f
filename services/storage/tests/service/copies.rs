//! Copies within the store, and the manifests beside the files.

use crate::world::{World, each, eventually, noise};
use granary_core::name::SessionName;
use granary_proto::{
    metadata::v1::{AssetState, Value, value::Kind},
    storage::v1::{BatchCopyAssetsRequest, CopyRequest},
};
use tonic::{Code, Status};

const RUN: &str = "projects/default/pipelines/p/runs/r";

async fn copy(
    world: &World,
    into: &SessionName,
    copies: &[(String, &str)],
) -> Result<Vec<String>, Status> {
    let requests = copies
        .iter()
        .map(|(source, path)| CopyRequest {
            source: source.clone(),
            path: (*path).into(),
            producer: RUN.into(),
            ..Default::default()
        })
        .collect();
    let request = BatchCopyAssetsRequest {
        parent: into.to_string(),
        requests,
    };
    Ok(world
        .uploads()
        .batch_copy_assets(request)
        .await?
        .into_inner()
        .assets)
}

#[tokio::test]
async fn copies_are_made_in_the_store_and_only_once() {
    each(async |world: World| {
        let (from, into) = (world.open("from").await, world.open("into").await);
        let (small, big) = (noise(5000, 1), noise(9 << 20, 2));
        world
            .send(
                &from,
                vec![
                    world.file("é a+b.bin", &small),
                    world.file("big", &big),
                    world.file("empty", b""),
                ],
            )
            .await;
        let sources = ["é a+b.bin", "big", "empty"].map(|path| from.asset(path).to_string());
        let copies = [
            (sources[0].clone(), "x/1"),
            (sources[0].clone(), "x/2"),
            (sources[1].clone(), "big"),
            (sources[2].clone(), "empty"),
        ];
        let names = copy(&world, &into, &copies).await.unwrap();
        assert_eq!(
            names,
            ["x/1", "x/2", "big", "empty"].map(|path| into.asset(path).to_string())
        );
        for (path, bytes) in [
            ("x/1", &small),
            ("x/2", &small),
            ("big", &big),
            ("empty", &vec![]),
        ] {
            let asset = world.asset(&into, path).await;
            assert_eq!(asset.state(), AssetState::Uploaded);
            assert_eq!(
                (asset.sha256.as_str(), asset.producer.as_str()),
                (crate::world::sha256(bytes).as_str(), RUN)
            );
            assert!(
                world
                    .reader()
                    .read_start(&asset.uri, 1 << 30)
                    .await
                    .unwrap()
                    == *bytes,
                "{path}"
            );
        }
        assert_eq!(
            world.asset(&into, "x/2").await.derived_from,
            [sources[0].clone()]
        );
        let before = world.front.count("PUT", "/into/");
        assert_eq!(copy(&world, &into, &copies).await.unwrap(), names);
        assert_eq!(
            world.front.count("PUT", "/into/"),
            before,
            "they were copied again"
        );
    })
    .await;
}

#[tokio::test]
async fn a_copy_has_the_attributes_of_its_source_and_its_own() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    world.send(&session, vec![world.file("a", b"1")]).await;
    let number = |number: f64| Value {
        kind: Some(Kind::Number(number)),
    };
    for (from, to, attributes) in [
        ("a", "b", vec![("width", 1.0), ("height", 2.0)]),
        ("b", "c", vec![("width", 3.0)]),
    ] {
        let request = BatchCopyAssetsRequest {
            parent: session.to_string(),
            requests: vec![CopyRequest {
                source: session.asset(from).to_string(),
                path: to.into(),
                producer: String::new(),
                attributes: attributes
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), number(value)))
                    .collect(),
            }],
        };
        world.uploads().batch_copy_assets(request).await.unwrap();
    }
    let copy = world.asset(&session, "c").await;
    assert_eq!(
        copy.attributes.into_iter().collect::<Vec<_>>(),
        [
            ("height".to_owned(), number(2.0)),
            ("width".to_owned(), number(3.0))
        ]
    );
}

#[tokio::test]
async fn wrong_bytes_at_the_target_of_a_copy_are_found() {
    each(async |world: World| {
        let (from, into) = (world.open("from").await, world.open("into").await);
        world
            .send(&from, vec![world.file("a", &noise(5000, 1))])
            .await;
        let uri = world
            .asset(&from, "a")
            .await
            .uri
            .replace("/from/", "/into/");
        world.overwrite(&uri, noise(5000, 2)).await;
        let copies = [(from.asset("a").to_string(), "a")];
        assert_eq!(
            copy(&world, &into, &copies).await.unwrap_err().code(),
            Code::DataLoss
        );
        copy(&world, &into, &copies).await.unwrap();
        assert!(world.reader().read_start(&uri, 10_000).await.unwrap() == noise(5000, 1));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_copied_is_named() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    world.create(&session, &[("pending", b"1")]).await.unwrap();
    let pending = copy(
        &world,
        &session,
        &[(session.asset("pending").to_string(), "a")],
    )
    .await
    .unwrap_err();
    assert_eq!(pending.code(), Code::FailedPrecondition);
    let missing = copy(
        &world,
        &session,
        &[(session.asset("none").to_string(), "a")],
    )
    .await
    .unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let hostile = copy(
        &world,
        &session,
        &[("projects/other/datasets/d/assets/a".into(), "../a")],
    )
    .await
    .unwrap_err();
    assert_eq!(hostile.code(), Code::InvalidArgument);
    assert!(
        hostile.message().contains("requests[0].source: ")
            && hostile.message().contains("requests[0].path: "),
        "{hostile:?}"
    );
}

#[tokio::test]
async fn projects_and_datasets_have_manifests_too() {
    each(async |world: World| {
        let session = world.open("s").await;
        let dataset = session.parent();
        world.send(&session, vec![world.file("a", b"1")]).await;
        let uri = world.asset(&session, "a").await.uri;
        let folder = uri.strip_suffix("/s/a").unwrap();
        let says = async |uri: &str, text: &str| {
            let read = async || {
                let bytes = world.reader().read_start(uri, 1 << 20).await.ok()?;
                let found: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
                found.to_string().contains(text).then_some(found)
            };
            eventually(read).await
        };
        let uri = format!("{folder}/.granary/dataset.json");
        let found = says(&uri, "dataset").await;
        assert_eq!(found["format"], 1);
        assert_eq!(found["dataset"]["name"], dataset.to_string());
        assert_eq!(found["dataset"]["kind"], "DATASET_KIND_RAW");
        assert!(found["dataset"]["etag"].is_null(), "{found}");
        let (bucket, _) = granary_core::layout::split_uri(&uri).unwrap();
        let project = &dataset.project;
        let uri = format!("s3://{bucket}/{project}/.granary/project.json");
        let found = says(&uri, "project").await;
        assert_eq!(found["project"]["name"], dataset.parent().to_string());
    })
    .await;
}

#[tokio::test]
async fn a_completed_session_has_a_manifest_beside_its_files() {
    each(async |world: World| {
        let session = world.open("s").await;
        world
            .send(
                &session,
                vec![world.file("b", b"22"), world.file("a", b"1")],
            )
            .await;
        world.complete_session(&session).await;
        let uri = world
            .asset(&session, "a")
            .await
            .uri
            .replace("/s/a", "/s/.granary/session.json");
        let text = eventually(async || world.reader().read_start(&uri, 1 << 20).await.ok()).await;
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(manifest["format"], 1);
        assert_eq!(manifest["session"]["name"], session.to_string());
        let assets: Vec<(&str, &str)> = manifest["assets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| (a["path"].as_str().unwrap(), a["sha256"].as_str().unwrap()))
            .collect();
        assert_eq!(
            assets,
            [
                ("a", crate::world::sha256(b"1").as_str()),
                ("b", crate::world::sha256(b"22").as_str())
            ]
        );
        assert_eq!(
            text.split(|byte| *byte == b'\n')
                .filter(|line| line.starts_with(b"{\"name\""))
                .count(),
            2,
            "each asset has its line"
        );
    })
    .await;
}
