//! The store as other programs see it: curl, boto3 and the aws command.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test"
)]

use std::process::{Command, Output};

use granary_proto::{
    metadata::v1::Session,
    storage::v1::{BatchCreateDownloadsRequest, download_service_client::DownloadServiceClient},
};
use granary_testkit::TestNode;

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn node_with_an_asset() -> (TestNode, String) {
    let node = TestNode::start().await;
    let dataset = node.dataset("raw").await;
    let session = node
        .session(
            &dataset,
            "s",
            Session::default(),
            vec![("a b.bin", b"hello".to_vec())],
        )
        .await;
    let request = BatchCreateDownloadsRequest {
        parent: "projects/default".into(),
        assets: vec![session.asset("a b.bin").to_string()],
    };
    let mut response = DownloadServiceClient::new(node.link())
        .batch_create_downloads(request)
        .await
        .unwrap()
        .into_inner();
    (node, response.downloads.remove(0).get.unwrap().url)
}

#[tokio::test]
async fn curl_reads_by_a_presigned_url() {
    let (_node, url) = node_with_an_asset().await;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", &url]);
    assert_eq!(run(curl).await.stdout, b"hello");
    let mut changed = Command::new("curl");
    changed.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        &url.replace("Expires=3600", "Expires=7200"),
    ]);
    assert_eq!(run(changed).await.stdout, b"403");
}

const BOTO3: &str = r#"
import sys, urllib.request, urllib.error, boto3
from botocore.config import Config
endpoint, url = sys.argv[1:]
assert urllib.request.urlopen(url).read() == b"hello"
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(signature_version="s3v4"))
key = dict(Bucket="granary-raw", Key="default/raw/s/a b.bin")
assert s3.get_object(**key)["Body"].read() == b"hello"
assert urllib.request.urlopen(s3.generate_presigned_url("get_object", Params=key, ExpiresIn=60)).read() == b"hello"
put = s3.generate_presigned_url("put_object", Params=dict(Bucket="granary-jobs", Key="x/y"), ExpiresIn=60)
urllib.request.urlopen(urllib.request.Request(put, data=b"there", method="PUT"))
assert s3.get_object(Bucket="granary-jobs", Key="x/y")["Body"].read() == b"there"
foreign = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="foreign", aws_secret_access_key="foreign",
                       config=Config(signature_version="s3v4"))
for refused in (foreign.generate_presigned_url("get_object", Params=key, ExpiresIn=60), url.split("?")[0], url[:-1] + ("0" if url[-1] != "0" else "1")):
    try:
        urllib.request.urlopen(refused)
        raise SystemExit("was not refused: " + refused.split("?")[0])
    except urllib.error.HTTPError as error:
        assert error.code == 403, error.code
print("ok")
"#;

#[tokio::test]
async fn boto3_and_the_aws_command_are_served_with_keys_and_refused_without() {
    let (Ok(python), Ok(aws)) = (
        std::env::var("GRANARY_TEST_PYTHON"),
        std::env::var("GRANARY_TEST_AWS"),
    ) else {
        eprintln!(
            "skipped: boto3 and the aws command (GRANARY_TEST_PYTHON is not set; `make test` sets it)"
        );
        return;
    };
    let (node, url) = node_with_an_asset().await;
    let endpoint = url.split("/granary-raw/").next().unwrap().to_owned();
    let keys = node.folder().join("data/s3-credentials");
    let mut boto3 = Command::new(python);
    boto3
        .args(["-c", BOTO3, &endpoint, &url])
        .env("AWS_SHARED_CREDENTIALS_FILE", &keys);
    let said = run(boto3).await;
    assert_eq!(
        String::from_utf8_lossy(&said.stdout).trim(),
        "ok",
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let mut list = Command::new(aws);
    list.args([
        "--endpoint-url",
        &endpoint,
        "--region",
        "us-east-1",
        "s3",
        "ls",
        "s3://granary-raw/default/raw/s/",
    ])
    .env("AWS_SHARED_CREDENTIALS_FILE", &keys);
    let said = run(list).await;
    assert!(
        String::from_utf8_lossy(&said.stdout).contains("a b.bin"),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
}
