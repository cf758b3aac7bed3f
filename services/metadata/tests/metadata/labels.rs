//! Labels.

use futures::future::join_all;
use granary_core::value::Value;
use granary_proto::metadata::v1::{
    Asset, Box as WireBox, CreateLabelRequest, DeleteLabelRequest, GetLabelRequest, Label,
    ListLabelsRequest, UpdateLabelRequest, label_service_client::LabelServiceClient,
};
use granary_runtime::auth::Role;
use prost_types::FieldMask;
use tonic::Code;

use crate::world::{World, asset, attributes, blamed, refused};

const REQUEST: &str = "0190b8b6-7a5e-7c1e-8a57-0f4e6d1f2a3b";

fn area(x: f64, y: f64, width: f64, height: f64) -> Option<WireBox> {
    Some(WireBox {
        x,
        y,
        width,
        height,
    })
}

fn create(parent: &str, class: &str, area: Option<WireBox>) -> CreateLabelRequest {
    let label = Label {
        class: class.into(),
        r#box: area,
        ..Default::default()
    };
    CreateLabelRequest {
        parent: parent.into(),
        label: Some(label),
        ..Default::default()
    }
}

/// An image of 640 x 480 and a file of unknown size.
async fn two_assets(world: &World) -> (String, String) {
    let session = world.session("s1", attributes([])).await.name;
    let image = Asset {
        attributes: attributes([
            ("width", Value::Number(640.0)),
            ("height", Value::Number(480.0)),
        ]),
        ..asset("a.jpg")
    };
    let mut made = world
        .register(&session, vec![image, asset("b.bin")])
        .await
        .unwrap()
        .into_iter()
        .map(|a| a.name);
    (made.next().unwrap(), made.next().unwrap())
}

#[tokio::test]
async fn a_label_lives_through_its_revisions() {
    for world in World::each().await {
        let (image, _) = two_assets(&world).await;
        let mut client = world.labels();
        let made = client
            .create_label(create(&image, "cat", area(0.0, 0.0, 640.0, 480.0)))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((made.author.as_str(), made.revision), ("ada", 1));
        let mut eve = LabelServiceClient::new(world.link("eve", Role::Administrator));
        world.clock.advance(time::Duration::seconds(1));
        let change = |class: &str, revision, paths: &[&str]| UpdateLabelRequest {
            label: Some(Label {
                name: made.name.clone(),
                class: class.into(),
                revision,
                ..Default::default()
            }),
            update_mask: Some(FieldMask {
                paths: paths.iter().map(|p| (*p).into()).collect(),
            }),
        };
        let second = eve
            .update_label(change("dog", 1, &["class"]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (
                second.class.as_str(),
                second.author.as_str(),
                second.revision
            ),
            ("dog", "eve", 2)
        );
        assert_eq!(
            (&second.r#box, second.create_time),
            (&made.r#box, made.create_time)
        );
        refused(
            eve.update_label(change("cow", 1, &["class"])).await,
            Code::Aborted,
        );
        assert_eq!(
            blamed(eve.update_label(change("cow", 2, &["author"])).await),
            "update_mask"
        );
        let third = client
            .update_label(change("cow", 0, &[]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (third.r#box, third.revision),
            (None, 3),
            "without a mask both are replaced"
        );
        let read = client
            .get_label(GetLabelRequest {
                name: made.name.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(read.class, "cow");
    }
}

#[tokio::test]
async fn a_deleted_label_is_gone() {
    for world in World::each().await {
        let (image, _) = two_assets(&world).await;
        let mut client = world.labels();
        let made = client
            .create_label(create(&image, "cat", None))
            .await
            .unwrap()
            .into_inner();
        let get = GetLabelRequest {
            name: made.name.clone(),
        };
        let delete = DeleteLabelRequest {
            name: made.name.clone(),
        };
        client.delete_label(delete.clone()).await.unwrap();
        refused(client.get_label(get).await, Code::NotFound);
        refused(client.delete_label(delete).await, Code::NotFound);
        let change = UpdateLabelRequest {
            label: Some(made),
            update_mask: None,
        };
        refused(client.update_label(change).await, Code::NotFound);
    }
}

#[tokio::test]
async fn a_box_lies_within_the_image_where_its_size_is_known() {
    for world in World::each().await {
        let (image, file) = two_assets(&world).await;
        let mut client = world.labels();
        assert_eq!(
            blamed(
                client
                    .create_label(create(&image, "cat", area(600.0, 0.0, 41.0, 1.0)))
                    .await
            ),
            "label.box"
        );
        client
            .create_label(create(&file, "cat", area(600.0, 0.0, 4100.0, 1.0)))
            .await
            .unwrap();
        for (wrong, field) in [
            (area(-1.0, 0.0, 1.0, 1.0), "label.box.x"),
            (area(0.0, f64::NAN, 1.0, 1.0), "label.box.y"),
            (area(0.0, 0.0, 0.0, 1.0), "label.box.width"),
            (area(0.0, 0.0, 1.0, f64::INFINITY), "label.box.height"),
        ] {
            assert_eq!(
                blamed(client.create_label(create(&file, "cat", wrong)).await),
                field
            );
        }
        let made = client
            .create_label(create(&image, "cat", None))
            .await
            .unwrap()
            .into_inner();
        let moved = Label {
            r#box: area(0.0, 470.0, 1.0, 11.0),
            ..made
        };
        let request = UpdateLabelRequest {
            label: Some(moved),
            update_mask: None,
        };
        assert_eq!(blamed(client.update_label(request).await), "label.box");
    }
}

#[tokio::test]
async fn labels_are_listed_by_asset_and_creation() {
    for world in World::each().await {
        let (image, file) = two_assets(&world).await;
        let mut client = world.labels();
        for (asset, class) in [(&image, "1"), (&file, "2"), (&image, "3")] {
            client
                .create_label(create(asset, class, None))
                .await
                .unwrap();
            world.clock.advance(time::Duration::seconds(1));
        }
        let mut list = async |parent: &str| {
            let request = ListLabelsRequest {
                parent: parent.into(),
                ..Default::default()
            };
            let labels = client.list_labels(request).await?.into_inner().labels;
            Ok(labels
                .into_iter()
                .map(|label| label.class)
                .collect::<Vec<_>>())
        };
        assert_eq!(list(&image).await.unwrap(), ["1", "3"]);
        let expected = if image < file {
            ["1", "3", "2"]
        } else {
            ["2", "1", "3"]
        };
        assert_eq!(
            list("projects/default/datasets/raw/assets/-")
                .await
                .unwrap(),
            expected
        );
        refused(
            list("projects/default/datasets/raw/assets/nowhere").await,
            Code::NotFound,
        );
        refused(
            list("projects/default/datasets/nowhere/assets/-").await,
            Code::NotFound,
        );
    }
}

#[tokio::test]
async fn ids_and_requests_are_taken_once() {
    for world in World::each().await {
        let (image, file) = two_assets(&world).await;
        let mut client = world.labels();
        let named = CreateLabelRequest {
            label_id: "l1".into(),
            ..create(&image, "cat", None)
        };
        let made = client
            .create_label(named.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(made.name, format!("{image}/labels/l1"));
        refused(client.create_label(named).await, Code::AlreadyExists);
        let once = CreateLabelRequest {
            request_id: REQUEST.into(),
            ..create(&image, "cat", None)
        };
        let calls = (0..20).map(|_| {
            let (mut client, request) = (world.labels(), once.clone());
            async move { client.create_label(request).await.unwrap().into_inner() }
        });
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        let elsewhere = CreateLabelRequest {
            request_id: REQUEST.into(),
            ..create(&file, "cat", None)
        };
        assert_eq!(blamed(client.create_label(elsewhere).await), "request_id");
        let nowhere = create("projects/default/datasets/raw/assets/nowhere", "cat", None);
        refused(client.create_label(nowhere).await, Code::NotFound);
    }
}
