//! Every RPC of every service, as the server's reflection tells them, with every role, as a stranger and without a token.

use std::io::Write as _;

use granary_proto::prost_reflect::{DescriptorPool, MethodDescriptor};
use granary_runtime::auth::{Role, rule};
use tonic::Code;

use crate::{
    attacks::named,
    world::{Caller, PROJECT, World, path},
};

/// The calls that speak for themselves.
const OPEN: [&str; 1] = ["/granary.identity.v1.TokenService/ExchangeApiKey"];

/// What a caller must be told.
fn expected(method: &MethodDescriptor, caller: &Caller) -> Option<Code> {
    let rule = rule(&path(method)).expect("an RPC without a row");
    let role = if rule.is_of_project() {
        caller.role
    } else {
        caller.elsewhere
    };
    match role {
        _ if rule.allows(role) => None,
        None if rule.is_of_project() => Some(Code::NotFound),
        _ => Some(Code::PermissionDenied),
    }
}

#[tokio::test]
async fn every_rpc_knows_every_role_strangers_and_those_without_a_token() {
    let walk = World::start().await;
    let callers = walk.callers().await;
    let methods = walk.methods().await;
    let served: usize = walk
        .pool
        .services()
        .filter(|s| s.full_name().starts_with("granary."))
        .map(|s| s.methods().count())
        .sum();
    assert_eq!(methods.len(), served, "reflection tells them all");
    let mut cases = 0;
    for method in &methods {
        let message = named(
            &method.input(),
            &format!("projects/{PROJECT}"),
            &format!("projects/{PROJECT}/nothing/x"),
        );
        if OPEN.contains(&path(method).as_str()) {
            let status = walk.call(method, &message, None).await.unwrap_err();
            assert_ne!(status.code(), Code::Ok);
            continue;
        }
        let refused = walk.call(method, &message, None).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::Unauthenticated,
            "{} without a token",
            path(method)
        );
        let service = walk.token("service:storage", Some(Role::Service));
        let refused = walk
            .call(method, &message, Some(&service))
            .await
            .unwrap_err();
        assert_eq!(
            refused.code(),
            Code::Unauthenticated,
            "{} as a service from outside",
            path(method)
        );
        cases += 2;
        for caller in &callers {
            let answer = walk.call(method, &message, Some(&caller.token)).await;
            let case = format!("{} as {}: {answer:?}", path(method), caller.who);
            match (expected(method, caller), answer) {
                (Some(code), Err(status)) => assert_eq!(status.code(), code, "{case}"),
                (Some(_), Ok(())) => panic!("{case}"),
                (None, Ok(())) => {}
                (None, Err(status)) => {
                    let shut = [
                        Code::Unauthenticated,
                        Code::PermissionDenied,
                        Code::Unimplemented,
                        Code::Internal,
                    ];
                    assert!(!shut.contains(&status.code()), "{case}");
                    assert_ne!(
                        status.message(),
                        format!("projects/{PROJECT} not found"),
                        "{case}"
                    );
                }
            }
            cases += 1;
        }
    }
    // Not through print!, which the test runner keeps to itself.
    writeln!(
        std::io::stdout(),
        "walk: {cases} cases, {} RPCs with every role",
        methods.len()
    )
    .unwrap();
}

#[test]
fn who_only_reads_changes_nothing() {
    let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
    let reads = [
        "Get",
        "BatchGet",
        "List",
        "Watch",
        "Stream",
        "BatchCreateDownloads",
        "DeleteMember",
    ];
    for method in pool
        .services()
        .filter(|s| s.full_name().starts_with("granary."))
        .flat_map(|s| s.methods().collect::<Vec<_>>())
    {
        let may = rule(&path(&method))
            .is_some_and(|rule| rule.is_of_project() && rule.allows(Some(Role::Viewer)));
        let is_read = reads.iter().any(|verb| method.name().starts_with(verb));
        assert!(!may || is_read, "a viewer may call {}", path(&method));
    }
}
