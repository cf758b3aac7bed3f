//! Assets.

use std::collections::BTreeMap;

use futures::future::join_all;
use granary_core::value::Value;
use granary_proto::metadata::v1::{
    Asset, AssetEvent, AssetState, AssetStateUpdate, BatchGetAssetsRequest, GetAssetRequest,
    GetSessionRequest, Messages,
};
use tonic::Code;

use crate::world::{World, asset, attributes, refused, update};

#[tokio::test]
async fn an_asset_comes_back_as_it_was_registered() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let given = Asset {
            attributes: attributes([("width", Value::Number(640.0)), ("note", Value::from("x"))]),
            derived_from: vec!["projects/default/datasets/raw/assets/a0".into()],
            producer: "projects/default/pipelines/p/runs/r".into(),
            ..asset("camera/ä b.jpg")
        };
        let made = world
            .register(&session, vec![given.clone()])
            .await
            .unwrap()
            .remove(0);
        let read = world
            .assets()
            .get_asset(GetAssetRequest {
                name: made.name.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(read, made);
        assert_eq!(
            (made.state(), made.session.as_str()),
            (AssetState::Pending, session.as_str())
        );
        assert_eq!(made.uri, "s3://granary-raw/default/raw/s1/camera/ä b.jpg");
        assert_eq!(
            (made.attributes, made.derived_from, made.producer),
            (given.attributes, given.derived_from, given.producer)
        );
    }
}

#[tokio::test]
async fn a_large_batch_is_registered_again_without_a_change() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let batch: Vec<_> = (0..1000).map(|i| asset(&format!("{i}.bin"))).collect();
        let calls = (0..4).map(|_| world.register(&session, batch.clone()));
        let answers: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert!(
            answers[0]
                .iter()
                .zip(&batch)
                .all(|(made, given)| made.path == given.path),
            "in the order of the request"
        );
        let read = world
            .sessions()
            .get_session(GetSessionRequest { name: session })
            .await
            .unwrap()
            .into_inner();
        assert_eq!((read.asset_count, read.size_bytes), (1000, 10_000));
    }
}

#[tokio::test]
async fn each_change_of_a_batch_has_its_own_result() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let assets = world
            .register(&session, vec![asset("a"), asset("b"), asset("c")])
            .await
            .unwrap();
        let missing = assets[0].name.replace("assets/", "assets/x");
        let results = world
            .apply(vec![
                update(&assets[0].name, AssetEvent::Stored),
                update(&assets[0].name, AssetEvent::Stored),
                update(&assets[0].name, AssetEvent::Accepted),
                update(&assets[1].name, AssetEvent::Accepted),
                update(&missing, AssetEvent::Stored),
                update("projects/other/datasets/raw/assets/a", AssetEvent::Stored),
                update(&assets[2].name, AssetEvent::Unspecified),
            ])
            .await;
        assert_eq!(results[0], Ok(AssetState::Uploaded.into()));
        assert_eq!(
            results[1],
            Ok(AssetState::Uploaded.into()),
            "applied before: changes nothing"
        );
        assert_eq!(results[2], Ok(AssetState::Ready.into()));
        let codes: Vec<_> = results[3..]
            .iter()
            .map(|result| result.as_ref().unwrap_err().0)
            .collect();
        assert_eq!(
            codes,
            [
                Code::FailedPrecondition,
                Code::NotFound,
                Code::InvalidArgument,
                Code::InvalidArgument
            ]
        );
        assert!(
            results[6]
                .as_ref()
                .unwrap_err()
                .1
                .starts_with("updates[6].event"),
            "{:?}",
            results[6]
        );
        let read = world
            .sessions()
            .get_session(GetSessionRequest { name: session })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (read.asset_count, read.ready_count, read.rejected_count),
            (3, 1, 0)
        );
    }
}

#[tokio::test]
async fn a_verdict_adds_what_was_learned_and_stands() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let mut given = asset("a.jpg");
        given.attributes = attributes([
            ("width", Value::Number(1.0)),
            ("kept", Value::Boolean(true)),
        ]);
        let name = world
            .register(&session, vec![given])
            .await
            .unwrap()
            .remove(0)
            .name;
        let errors = BTreeMap::from([(
            "image".into(),
            Messages {
                messages: vec!["cannot be decoded".into()],
            },
        )]);
        let refusal = AssetStateUpdate {
            errors: errors.clone(),
            attributes: attributes([("width", Value::Number(640.0))]),
            media_type: "image/png".into(),
            ..update(&name, AssetEvent::Refused)
        };
        world
            .tell(std::slice::from_ref(&name), AssetEvent::Stored)
            .await;
        assert_eq!(
            world.apply(vec![refusal.clone()]).await,
            [Ok(AssetState::Rejected.into())]
        );
        let read = world
            .assets()
            .get_asset(GetAssetRequest { name: name.clone() })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (read.state(), &read.errors, read.media_type.as_str()),
            (AssetState::Rejected, &errors, "image/png")
        );
        assert_eq!(
            read.attributes,
            attributes([
                ("width", Value::Number(640.0)),
                ("kept", Value::Boolean(true))
            ])
        );
        assert_eq!(
            world.find("attributes.width = 640").await.unwrap(),
            ["a.jpg"]
        );
        assert_eq!(world.find("attributes.width = 1").await.unwrap(), [""; 0]);
        let late = AssetStateUpdate {
            media_type: "text/plain".into(),
            ..refusal
        };
        assert_eq!(
            world.apply(vec![late]).await,
            [Ok(AssetState::Rejected.into())]
        );
        let again = world
            .assets()
            .get_asset(GetAssetRequest { name: name.clone() })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(again, read);
        let turned = world
            .apply(vec![update(&name, AssetEvent::Accepted)])
            .await
            .remove(0);
        assert_eq!(turned.unwrap_err().0, Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn a_batch_is_read_in_the_order_of_its_names_and_none_may_be_missing() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let batch: Vec<_> = (0..100).map(|i| asset(&i.to_string())).collect();
        let mut names: Vec<_> = world
            .register(&session, batch)
            .await
            .unwrap()
            .into_iter()
            .map(|a| a.name)
            .collect();
        names.reverse();
        names.push(names[0].clone());
        let get = |names: &[String]| BatchGetAssetsRequest {
            parent: "projects/default".into(),
            names: names.to_vec(),
        };
        let read = world
            .assets()
            .batch_get_assets(get(&names))
            .await
            .unwrap()
            .into_inner()
            .assets;
        assert_eq!(
            read.into_iter().map(|asset| asset.name).collect::<Vec<_>>(),
            names
        );
        names.push("projects/default/datasets/raw/assets/nowhere".into());
        let error = refused(
            world.assets().batch_get_assets(get(&names)).await,
            Code::NotFound,
        );
        assert!(error.contains("nowhere"), "{error}");
    }
}

#[tokio::test]
async fn many_single_reads_at_once_each_get_their_own() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let batch: Vec<_> = (0..100).map(|i| asset(&i.to_string())).collect();
        let assets = world.register(&session, batch).await.unwrap();
        let calls = assets.iter().map(|asset| {
            let (mut client, name) = (world.assets(), asset.name.clone());
            async move {
                client
                    .get_asset(GetAssetRequest { name })
                    .await
                    .unwrap()
                    .into_inner()
            }
        });
        assert_eq!(join_all(calls).await, assets);
    }
}

#[tokio::test]
async fn events_of_many_callers_at_once_are_all_counted() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let batch: Vec<_> = (0..200).map(|i| asset(&i.to_string())).collect();
        let names: Vec<_> = world
            .register(&session, batch)
            .await
            .unwrap()
            .into_iter()
            .map(|a| a.name)
            .collect();
        join_all(
            names
                .chunks(10)
                .map(|chunk| world.tell(chunk, AssetEvent::Stored)),
        )
        .await;
        let verdicts = names.chunks(10).enumerate().map(|(i, chunk)| {
            world.tell(
                chunk,
                if i % 2 == 0 {
                    AssetEvent::Accepted
                } else {
                    AssetEvent::Refused
                },
            )
        });
        join_all(verdicts).await;
        let read = world
            .sessions()
            .get_session(GetSessionRequest {
                name: session.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!((read.ready_count, read.rejected_count), (100, 100));
        world.complete(&session).await.unwrap();
    }
}
