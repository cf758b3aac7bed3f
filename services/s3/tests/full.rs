//! A disk that is full.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests stop at the first thing that is not as it should be"
)]

mod common;

use std::{fs, path::Path, process::Command};

use common::Embedded;
use http::Method;

/// A file system of a few megabytes, which only root may mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "granary-test"])
            .arg(folder.path())
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_answer_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a small file system needs root");
        return;
    };
    let server = Embedded::start(disk.path()).await;
    let bucket = server.target.bucket("ready-made");
    bucket
        .put("before", vec![1; 4_000_000])
        .await
        .expect_status(200);
    let refused = bucket.put("folder/large", vec![2; 16_000_000]).await;
    assert!(
        !refused.text().contains(disk.path().to_str().unwrap()),
        "{}",
        refused.text()
    );
    refused.expect_error(507, "InsufficientStorage");
    assert_eq!(bucket.keys().await, ["before"]);
    assert_eq!(fs::read_dir(disk.path().join(".tmp")).unwrap().count(), 0);

    let begun = bucket
        .call(Method::POST, "parts")
        .query("uploads", "")
        .send()
        .await
        .checked(200);
    let id = begun.tags("UploadId").remove(0);
    let part = |body: Vec<u8>| {
        bucket
            .call(Method::PUT, "parts")
            .query("partNumber", "1")
            .query("uploadId", &id)
            .body(body)
            .send()
    };
    part(vec![3; 16_000_000])
        .await
        .expect_error(507, "InsufficientStorage");
    // The upload goes on once there is room.
    bucket
        .call(Method::DELETE, "before")
        .send()
        .await
        .expect_status(204);
    let tag = part(vec![3; 6_000_000])
        .await
        .checked(200)
        .header("etag")
        .to_owned();
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    );
    bucket
        .call(Method::POST, "parts")
        .query("uploadId", &id)
        .body(list)
        .send()
        .await
        .expect_status(200);
    assert!(bucket.get("parts").await.checked(200).body == vec![3; 6_000_000]);
    server.stop().await;
}
