//! What a path of a session may hold.

use futures::future::join_all;
use granary_core::value::Value;
use granary_proto::metadata::v1::{
    Asset, AssetEvent, AssetState, AssetStateUpdate, GetAssetRequest, GetSessionRequest,
};
use tonic::Code;

use crate::world::{World, asset, attributes, blamed, refused, session_name, sha256, update};

#[tokio::test]
async fn a_path_holds_one_content_and_a_batch_is_all_or_nothing() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let made = world
            .register(&session, vec![asset("a.bin")])
            .await
            .unwrap();
        world
            .tell(&[made[0].name.clone()], AssetEvent::Stored)
            .await;
        let other = Asset {
            sha256: sha256("other"),
            ..asset("a.bin")
        };
        let error = refused(
            world
                .register(&session, vec![asset("new.bin"), other])
                .await,
            Code::AlreadyExists,
        );
        assert!(
            error.contains("\"a.bin\"") && error.contains(&sha256("a.bin")),
            "{error}"
        );
        assert_eq!(world.find("").await.unwrap(), ["a.bin"]);
        let twice = vec![
            asset("b.bin"),
            Asset {
                size_bytes: 11,
                ..asset("b.bin")
            },
        ];
        refused(world.register(&session, twice).await, Code::AlreadyExists);
        let read = world
            .sessions()
            .get_session(GetSessionRequest { name: session })
            .await
            .unwrap()
            .into_inner();
        assert_eq!((read.asset_count, read.size_bytes), (1, 10));
        refused(
            world
                .register(&session_name("nowhere"), vec![asset("a")])
                .await,
            Code::NotFound,
        );
    }
}

#[tokio::test]
async fn what_is_on_its_way_may_be_declared_anew() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        let first = Asset {
            attributes: attributes([("width", Value::Number(640.0))]),
            ..asset("a.txt")
        };
        let batch = vec![first.clone(), asset("b.txt")];
        let made = world.register(&session, batch).await.unwrap();
        let second = Asset {
            size_bytes: 25,
            sha256: sha256("grown"),
            media_type: "text/csv".into(),
            ..asset("a.txt")
        };
        let again = world.register(&session, vec![second.clone()]).await;
        let again = again.unwrap().remove(0);
        assert_eq!(again.name, made[0].name);
        assert_eq!(
            (again.size_bytes, &again.sha256, &*again.media_type),
            (25, &second.sha256, "text/csv")
        );
        let get = GetAssetRequest {
            name: again.name.clone(),
        };
        let read = world.assets().get_asset(get).await.unwrap().into_inner();
        assert_eq!(read, again);
        assert_eq!(world.find("attributes:width").await.unwrap(), [""; 0]);
        let get = GetSessionRequest {
            name: session.clone(),
        };
        let read = world
            .sessions()
            .get_session(get)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((read.asset_count, read.size_bytes), (2, 35));

        let stored = |sha256: &str| AssetStateUpdate {
            sha256: sha256.into(),
            ..update(&again.name, AssetEvent::Stored)
        };
        let results = world
            .apply(vec![
                stored(&first.sha256),
                stored("nonsense"),
                stored(&second.sha256),
            ])
            .await;
        assert_eq!(results[0].as_ref().unwrap_err().0, Code::Aborted);
        assert_eq!(results[1].as_ref().unwrap_err().0, Code::InvalidArgument);
        assert_eq!(results[2], Ok(AssetState::Uploaded.into()));
        refused(
            world.register(&session, vec![first]).await,
            Code::AlreadyExists,
        );
    }
}

#[tokio::test]
async fn no_path_is_the_folder_of_another() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        for (paths, field) in [
            (&["f", "f/g"][..], "assets[1].path"),
            (&["f/g/h", "a", "f"], "assets[2].path"),
            (&["f/g/h", "f/g"], "assets[1].path"),
        ] {
            let batch = paths.iter().map(|path| asset(path)).collect();
            assert_eq!(
                blamed(world.register(&session, batch).await),
                field,
                "{paths:?}"
            );
        }
        assert_eq!(world.find("").await.unwrap(), [""; 0]);
        let there = ["f/g/h", "file", "f0", "f-", "f/g.x"];
        let batch = there.iter().map(|path| asset(path)).collect();
        world.register(&session, batch).await.unwrap();
        for path in ["f", "f/g", "file/x", "file/x/y", "f/g/h/i"] {
            let batch = vec![asset("fine"), asset(path)];
            let error = world.register(&session, batch).await;
            assert_eq!(blamed(error.clone()), "assets[1].path", "{path}");
            let error = error.unwrap_err();
            assert!(error.message().contains(&format!("{path:?}")), "{error:?}");
        }
        let other = world.session("s2", attributes([])).await.name;
        let calls = ["x", "x/y", "x/y/z"].map(|path| world.register(&other, vec![asset(path)]));
        let made = join_all(calls).await;
        assert_eq!(
            made.iter().filter(|made| made.is_ok()).count(),
            1,
            "at the same time"
        );
    }
}
