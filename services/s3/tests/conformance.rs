//! The suite on the embedded endpoint, and on the server that `GRANARY_TEST_S3` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "helpers of tests stop at the first thing that is not as it should be, and the environment names the server to try"
)]

mod common;

use granary_s3::conformance::{self, Target};

macro_rules! embedded {
    ($($module:ident::$name:ident,)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let root = tempfile::tempdir().unwrap();
                let server = super::common::Embedded::start(root.path()).await;
                granary_s3::conformance::$module::$name(&server.target).await;
                server.stop().await;
            })*
        }
    };
}

granary_s3::for_each_conformance_case!(embedded);

/// `GRANARY_TEST_S3=http://key:secret@127.0.0.1:9000/prefix`
#[tokio::test]
async fn the_named_server_passes_every_case() {
    let Ok(url) = std::env::var("GRANARY_TEST_S3") else {
        println!("skipped: GRANARY_TEST_S3 names no server");
        return;
    };
    let target =
        Target::parse(&url).expect("GRANARY_TEST_S3 is http://key:secret@host:port/prefix");
    let mut failed = Vec::new();
    for case in conformance::cases() {
        let target = target.clone();
        if tokio::spawn(async move { (case.run)(&target).await })
            .await
            .is_err()
        {
            failed.push(case.name);
        }
    }
    assert_eq!(failed, [""; 0]);
}
