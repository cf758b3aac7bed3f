//! Messages that cannot be decoded: whoever sends them is told so, whatever they call.

use std::io::Write as _;

use granary_proto::prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};
use granary_runtime::{
    auth::{Role, rule},
    rpc::from_status,
};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use tonic::{Code, Status};

use crate::{
    names::naming,
    world::{World, path},
};

/// What follows a good beginning: a field of another wire type than the proto's, one that ends too early, and a number that does not end.
fn endings(message: &MessageDescriptor) -> Vec<Vec<u8>> {
    let mut endings = vec![vec![0xff; 16], vec![0xfa, 0x3f, 0x7f, b'x']];
    for field in message.fields() {
        let is_text = field.is_list() || matches!(field.kind(), Kind::String | Kind::Message(_));
        let mut ending = Vec::new();
        // Numbers in a list may come packed; as groups they never come.
        let wire = if is_text {
            WireType::SixtyFourBit
        } else {
            WireType::LengthDelimited
        };
        encode_key(field.number(), wire, &mut ending);
        if is_text {
            ending.extend([0; 8]);
        } else {
            encode_varint(0, &mut ending);
        }
        endings.push(ending);
    }
    endings
}

fn is_told(refused: &Status, case: &str) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{case}: {refused:?}");
    let error = from_status(refused.clone()).to_string();
    assert!(error.contains("cannot be decoded"), "{case}: {error}");
}

/// Tries all endings at one RPC; how many there are.
async fn try_all(world: &World, method: &MethodDescriptor) -> usize {
    let rule = rule(&path(method));
    let may = |role: &Role| rule.is_none_or(|rule| rule.allows(Some(*role)));
    let role = [Role::Administrator, Role::Worker].into_iter().find(may);
    let token = world.token("somebody", role.or(Some(Role::Administrator)));
    let endings = endings(&method.input());
    let count = endings.len();
    for ending in endings {
        let bytes = [naming(method).encode_to_vec(), ending].concat();
        let case = format!("{} with {bytes:?}", method.full_name());
        let refused = send(world, method, bytes.clone(), Some(&token)).await;
        let refused = refused.expect_err(&case);
        if role.is_some() {
            is_told(&refused, &case);
        } else {
            // Before or after the message is looked at.
            let codes = [Code::PermissionDenied, Code::InvalidArgument];
            assert!(codes.contains(&refused.code()), "{case}: {refused:?}");
        }
        if rule.is_some() {
            let stranger = send(world, method, bytes, None).await.unwrap_err();
            assert_eq!(stranger.code(), Code::Unauthenticated, "{case}");
        }
    }
    count
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_callers_fault_in_every_rpc() {
    let world = World::start().await;
    let mut cases = 0;
    for method in world.methods().await {
        cases += try_all(&world, &method).await;
    }
    for (health, streams) in [("Check", false), ("Watch", true)] {
        let path = format!("/grpc.health.v1.Health/{health}");
        let refused = world.send(&path, streams, vec![0xff; 16], None).await;
        is_told(&refused.unwrap_err(), &path);
    }
    writeln!(std::io::stdout(), "malformed: {cases} messages").unwrap();
}

async fn send(
    world: &World,
    method: &MethodDescriptor,
    bytes: Vec<u8>,
    token: Option<&str>,
) -> Result<(), Status> {
    let (path, streams) = (path(method), method.is_server_streaming());
    world.send(&path, streams, bytes, token).await.map(drop)
}
