//! Filters on assets: the same answers from both databases, and the same as in memory.

use granary_core::value::Value;
use granary_proto::metadata::v1::{
    Asset, AssetEvent, CreateLabelRequest, Label, ListAssetsRequest,
};
use tonic::Code;

use crate::world::{World, asset, attributes, refused};

/// Sessions s1 and s2 with a.jpg, B.png, c_1.bin, d%.txt, and one of another project.
async fn fill(world: &World) {
    let one = attributes([
        ("fatigue", Value::Number(4.5)),
        ("hardware_model", Value::from("X2")),
        ("day", Value::infer("2021-02-28T16:12:21Z")),
        ("left_handed", Value::Boolean(true)),
        ("note", Value::from("100% *fine*_ok")),
        ("long", Value::from("x".repeat(5000))),
    ]);
    let two = attributes([
        ("fatigue", Value::Number(2.0)),
        ("hardware_model", Value::from("x2")),
        ("day", Value::from("2021-02-28")),
    ]);
    let first = world.session("s1", one).await.name;
    let own = Asset {
        attributes: attributes([
            ("fatigue", Value::Number(9.0)),
            ("width", Value::Number(640.0)),
        ]),
        size_bytes: 20,
        ..asset("B.png")
    };
    let made = world
        .register(&first, vec![asset("a.jpg"), own])
        .await
        .unwrap();
    let names: Vec<_> = made.iter().map(|asset| asset.name.clone()).collect();
    world.tell(&names, AssetEvent::Stored).await;
    world.tell(&names[1..], AssetEvent::Accepted).await;
    for class in ["cat", "dog"] {
        let label = Label {
            class: class.into(),
            ..Default::default()
        };
        let request = CreateLabelRequest {
            parent: names[0].clone(),
            label: Some(label),
            ..Default::default()
        };
        world.labels().create_label(request).await.unwrap();
    }
    world.clock.advance(time::Duration::hours(1));
    let second = world.session("s2", two).await.name;
    let made = Asset {
        producer: "projects/default/jobs/j".into(),
        ..asset("d%.txt")
    };
    world
        .register(&second, vec![asset("c_1.bin"), made])
        .await
        .unwrap();
}

const ALL: &[&str] = &["B.png", "a.jpg", "c_1.bin", "d%.txt"];

#[rustfmt::skip]
const TABLE: &[(&str, &[&str])] = &[
    ("", ALL),
    ("path = \"a.jpg\"", &["a.jpg"]),
    ("path = a.jpg OR path = B.png", &["B.png", "a.jpg"]),
    ("path = b.png", &[]),
    ("path = \"b*\"", &[]),
    ("path = \"B*\"", &["B.png"]),
    ("path = \"*.jpg\"", &["a.jpg"]),
    ("path = \"*.JPG\"", &[]),
    ("path = \"*_*\"", &["c_1.bin"]),
    ("path = \"*%*\"", &["d%.txt"]),
    ("path != \"*.jpg\"", &["B.png", "c_1.bin", "d%.txt"]),
    ("path:1", &[]),
    ("path:\"1\"", &["c_1.bin"]),
    ("path < \"a\"", &["B.png"]),
    ("path >= \"a.jpg\"", &["a.jpg", "c_1.bin", "d%.txt"]),
    ("media_type = \"image/*\"", &["B.png", "a.jpg"]),
    ("media_type = image/png", &["B.png"]),
    ("size_bytes > 10", &["B.png"]),
    ("size_bytes > 9.5 size_bytes < 10.5", &["a.jpg", "c_1.bin", "d%.txt"]),
    ("size_bytes:20", &["B.png"]),
    ("dataset = raw", ALL),
    ("dataset != raw", &[]),
    ("session = s1", &["B.png", "a.jpg"]),
    ("session = s2 -path = c_1.bin", &["d%.txt"]),
    ("state = READY", &["B.png"]),
    ("state = ASSET_STATE_UPLOADED", &["a.jpg"]),
    ("NOT state = PENDING", &["B.png", "a.jpg"]),
    ("state = \"P*\"", &["c_1.bin", "d%.txt"]),
    ("state = \"ASSET_STATE_P*\"", &["c_1.bin", "d%.txt"]),
    ("session.state = OPEN", ALL),
    ("session.state = FAILED", &[]),
    ("create_time > 2021-03-01T12:30:00Z", &["c_1.bin", "d%.txt"]),
    ("create_time < \"2021-03-01T13:30:00+01:00\"", &["B.png", "a.jpg"]),
    ("create_time >= \"2021-03-01\" update_time < \"2021-03-02\"", ALL),
    ("producer:*", &["d%.txt"]),
    ("producer = \"projects/default/jobs/*\"", &["d%.txt"]),
    ("attributes.fatigue > 3", &["B.png", "a.jpg"]),
    ("attributes.fatigue > 5", &["B.png"]),
    ("attributes.fatigue = 4.5", &["a.jpg"]),
    ("attributes.fatigue != 4.5", &["B.png", "c_1.bin", "d%.txt"]),
    ("NOT attributes.fatigue > 3", &["c_1.bin", "d%.txt"]),
    ("attributes.fatigue = \"4.5\"", &[]),
    ("session.attributes.fatigue = 4.5", &["B.png", "a.jpg"]),
    ("attributes.hardware_model = \"X2\"", &["B.png", "a.jpg"]),
    ("attributes.hardware_model = X2 AND attributes.fatigue < 5", &["a.jpg"]),
    ("attributes.\"hardware model\" = \"X2\"", &["B.png", "a.jpg"]),
    ("attributes.\"hardware model\" = X2 AND attributes.fatigue < 5", &["a.jpg"]),
    ("session.attributes.\"left_handed\" = true", &["B.png", "a.jpg"]),
    ("attributes:\"hardware model\"", ALL),
    ("session.attributes:\"left handed\"", &["B.png", "a.jpg"]),
    ("attributes.hardware_model = \"x*\"", &["c_1.bin", "d%.txt"]),
    ("attributes.hardware_model:\"2\"", ALL),
    ("attributes.hardware_model > X", ALL),
    ("attributes.hardware_model > \"X2\"", &["c_1.bin", "d%.txt"]),
    ("attributes.note = \"100% \\*fine\\*_ok\"", &["B.png", "a.jpg"]),
    ("attributes.note = \"*\\*_ok\"", &["B.png", "a.jpg"]),
    ("attributes.note = \"*?*\"", &[]),
    ("attributes.left_handed = true", &["B.png", "a.jpg"]),
    ("attributes.left_handed != true", &[]),
    ("attributes.width:*", &["B.png"]),
    ("attributes:width", &["B.png"]),
    ("attributes:fatigue", ALL),
    ("attributes:nowhere", &[]),
    ("-attributes:width", &["a.jpg", "c_1.bin", "d%.txt"]),
    ("session.attributes:width", &[]),
    ("session.attributes:left_handed", &["B.png", "a.jpg"]),
    ("attributes.nowhere != 1", &[]),
    ("NOT attributes.nowhere != 1", ALL),
    ("attributes.day = \"2021-02-28T16:12:21Z\"", &["B.png", "a.jpg"]),
    ("attributes.day > \"2021-02-28\"", &["B.png", "a.jpg"]),
    ("attributes.day = \"2021-02-28\"", &["c_1.bin", "d%.txt"]),
    ("attributes.day >= 2021-02-28T17:12:21+01:00", &["B.png", "a.jpg"]),
    ("labels.class = cat", &["a.jpg"]),
    ("labels.class = \"*o*\"", &["a.jpg"]),
    ("labels.class = bird", &[]),
    ("NOT labels.class:*", &["B.png", "c_1.bin", "d%.txt"]),
    ("labels.class = cat AND labels.class = dog", &["a.jpg"]),
];

#[tokio::test]
async fn filters_find_what_they_say() {
    for world in World::each().await {
        fill(&world).await;
        for (filter, expected) in TABLE {
            let found = world
                .find(filter)
                .await
                .unwrap_or_else(|error| panic!("{}: {filter}: {error}", world.kind));
            assert_eq!(&found, expected, "{}: {filter}", world.kind);
        }
        let long = format!("attributes.long = \"{}\"", "x".repeat(5000));
        assert_eq!(world.find(&long).await.unwrap(), ["B.png", "a.jpg"]);
        let longer = format!("attributes.long = \"{}\"", "x".repeat(5001));
        assert_eq!(world.find(&longer).await.unwrap(), [""; 0]);
    }
}

#[tokio::test]
async fn wrong_filters_say_where_and_what_was_meant() {
    for world in World::each().await {
        for (filter, message) in [
            ("size_bytes >", "column 13"),
            (
                "sise_bytes > 3",
                "column 1: unknown field \"sise_bytes\"; did you mean \"size_bytes\"?",
            ),
            ("fatigue > 3", "did you mean \"attributes.fatigue\"?"),
            (
                "size_bytes = big",
                "column 14: size_bytes compares with a number",
            ),
            (
                "path = a AND create_time > soon",
                "column 28: create_time compares with a timestamp",
            ),
            (
                "state = DONE",
                "column 9: state compares with one of PENDING, UPLOADED",
            ),
            ("labels.author = x", "unknown field"),
            ("'", "column"),
        ] {
            let error = refused(world.find(filter).await, Code::InvalidArgument);
            assert!(
                error.starts_with("filter: column") && error.contains(message),
                "{filter}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn the_largest_filters_are_answered_and_larger_ones_refused() {
    for world in World::each().await {
        fill(&world).await;
        let terms = |n| vec!["attributes.fatigue > 3"; n].join(" AND ");
        assert_eq!(world.find(&terms(200)).await.unwrap(), ["B.png", "a.jpg"]);
        refused(world.find(&terms(201)).await, Code::InvalidArgument);
        let either = vec!["attributes.a:*"; 200].join(" OR ");
        assert_eq!(world.find(&either).await.unwrap(), [""; 0]);
        let nested = format!("{}path = a.jpg{}", "(".repeat(30), ")".repeat(30));
        assert_eq!(world.find(&nested).await.unwrap(), ["a.jpg"]);
        refused(
            world
                .find(&format!("path = \"{}\"", "x".repeat(10_000)))
                .await,
            Code::InvalidArgument,
        );
    }
}

#[tokio::test]
async fn sql_in_a_filter_is_only_text() {
    for world in World::each().await {
        fill(&world).await;
        for filter in [
            "path = \"' OR 1=1 --\"",
            "attributes.\"x' OR '1'='1\" = 1",
            "attributes.fatigue = \"1); DROP TABLE assets; --\"",
            "attributes:\"'\"",
            "path = \"$1\"",
            "path = \"?\"",
        ] {
            assert_eq!(world.find(filter).await.unwrap(), [""; 0], "{filter}");
        }
        assert_eq!(world.find("").await.unwrap(), ALL);
    }
}

#[tokio::test]
async fn pages_of_a_query_that_starts_at_sessions_join_without_a_gap() {
    for world in World::each().await {
        for i in 0..6 {
            let attributes = attributes([("even", Value::Boolean(i % 2 == 0))]);
            let session = world.session(&format!("s{i}"), attributes).await.name;
            let paths = (0..7).map(|path| asset(&format!("{i}/{path}"))).collect();
            world.register(&session, paths).await.unwrap();
        }
        for parent in [
            "projects/default/datasets/raw",
            "projects/default/datasets/-",
        ] {
            let mut request = ListAssetsRequest {
                parent: parent.into(),
                page_size: 4,
                filter: "attributes.even = true AND path != \"*/3\"".into(),
                ..Default::default()
            };
            let mut paths = Vec::new();
            loop {
                let page = world
                    .assets()
                    .list_assets(request.clone())
                    .await
                    .unwrap()
                    .into_inner();
                paths.extend(page.assets.into_iter().map(|asset| asset.path));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            let expected: Vec<_> = [0, 2, 4]
                .into_iter()
                .flat_map(|i| {
                    (0..7)
                        .filter(|path| *path != 3)
                        .map(move |path| format!("{i}/{path}"))
                })
                .collect();
            assert_eq!(paths, expected, "{} {parent}", world.kind);
        }
    }
}

#[tokio::test]
async fn a_checksum_finds_every_copy_in_order() {
    for world in World::each().await {
        let copy = |path: &str| Asset {
            sha256: "ab".repeat(32),
            ..asset(path)
        };
        for id in ["s2", "s1"] {
            let session = world.session(id, attributes([])).await.name;
            let paths = vec![
                copy(&format!("{id}/b")),
                copy(&format!("{id}/a")),
                asset(&format!("{id}/c")),
            ];
            world.register(&session, paths).await.unwrap();
        }
        let filter = format!(
            "sha256 = {} AND media_type = \"application/*\"",
            "ab".repeat(32)
        );
        assert_eq!(
            world.find(&filter).await.unwrap(),
            ["s1/a", "s1/b", "s2/a", "s2/b"]
        );
    }
}
