//! What an entry names: what was made, as the answer says, or what the request named.

use granary_proto::{metadata::v1::Dataset, storage::v1::BatchCreateDownloadsRequest};

use super::*;

const DOWNLOAD: &str = "/granary.storage.v1.DownloadService/BatchCreateDownloads";
const MADE: &str = "projects/p/datasets/new";

fn dataset(name: &str) -> Bytes {
    framed(&Dataset {
        name: name.into(),
        ..Dataset::default()
    })
}

/// An answer in pieces.
fn pieces(frames: Vec<Bytes>, code: Code) -> Response<Body> {
    let data = frames.into_iter().map(Frame::data);
    let frames = data.chain([Frame::trailers(trailers(code))]);
    let body = futures::stream::iter(frames.map(Ok::<_, Status>));
    Response::new(Body::new(StreamBody::new(body)))
}

async fn resources(world: &World) -> Vec<(String, i32)> {
    world.ledger.flush().await;
    let entries = world.fake.entries.lock();
    let seen = entries.iter().map(|e| (e.resource.clone(), e.item_count));
    seen.collect()
}

#[tokio::test]
async fn what_was_made_is_named_and_where_it_was_to_be_made_if_it_was_not() {
    let world = World::start();
    for answer in [
        || pieces(vec![dataset(MADE)], Code::Ok),
        || pieces(vec![dataset(MADE)], Code::Aborted),
        || pieces(vec![dataset("projects/q/datasets/new")], Code::Ok),
        || pieces(vec![Bytes::from_static(b"\0\0\0\0\x03\x0a\xffx")], Code::Ok),
        || pieces(vec![Bytes::from_static(b"\x01\0\0\0\x01x")], Code::Ok),
        // It comes in the first piece, or is not looked for.
        || {
            pieces(
                vec![dataset(MADE).slice(..9), dataset(MADE).slice(9..)],
                Code::Ok,
            )
        },
        || Status::already_exists("there").into_http(),
    ] {
        whole(world.serving(answer), world.create("projects/p")).await;
    }
    let mut expected = vec![(MADE.to_owned(), 0)];
    expected.resize(7, ("projects/p".to_owned(), 0));
    assert_eq!(resources(&world).await, expected);
}

#[tokio::test]
async fn an_answer_passes_as_it_is() {
    let world = World::start();
    let served = world.serving(|| pieces(vec![dataset(MADE)], Code::Ok));
    let answer = served.oneshot(world.create("projects/p")).await.unwrap();
    let whole = answer.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), dataset(MADE));
}

#[tokio::test]
async fn a_download_is_of_an_asset_or_of_so_many_in_what_they_share() {
    let world = World::start();
    let asset = |dataset: &str, id: &str| format!("projects/p/datasets/{dataset}/assets/{id}");
    for assets in [
        vec![asset("d", "a")],
        vec![asset("d", "a"), asset("d", "b"), asset("d", "c")],
        vec![asset("d", "a"), asset("e", "a")],
        vec![asset("d", "a"), "projects/q/datasets/d/assets/a".into()],
        vec!["projects/q/datasets/d/assets/a".into()],
        vec![asset("d", "a?X-Amz-Signature=0123")],
        vec![],
    ] {
        let request = BatchCreateDownloadsRequest {
            parent: "projects/p".into(),
            assets,
        };
        let served = world.serving(|| answer(Code::Ok));
        whole(served, world.request(DOWNLOAD, &request)).await;
    }
    let expected = [
        (asset("d", "a"), 0),
        ("projects/p/datasets/d".into(), 3),
        ("projects/p".into(), 2),
        ("projects/p".into(), 2),
        ("projects/p".into(), 0),
        (asset("d", "a"), 0),
        ("projects/p".into(), 0),
    ];
    assert_eq!(resources(&world).await, expected);
}
