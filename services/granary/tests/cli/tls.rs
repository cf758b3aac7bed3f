//! Endpoints with TLS that the command cannot use, and what it says.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the program under test gets an environment of its own, and what goes wrong in helpers is the end of the test"
)]

use std::path::{Path, PathBuf};

use crate::common::{Done, World, finish, program};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls")
        .join(name)
}

/// A server with TLS that answers health only; it ends with the guard. Its port.
async fn server(certificate: &str, key: &str) -> (u16, tokio_util::sync::DropGuard) {
    let read = |name| std::fs::read(file(name)).unwrap();
    let identity = Identity::from_pem(read(certificate), read(key));
    let tls = ServerTlsConfig::new().identity(identity);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .tls_config(tls)
        .unwrap()
        .add_service(health);
    let stopped = stop.clone().cancelled_owned();
    let serving = server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped);
    tokio::spawn(serving);
    (port, stop.drop_guard())
}

async fn list(endpoint: &str, more: &[&str]) -> Done {
    let mut command = program();
    command
        .args(["--endpoint", endpoint, "--token", "x"])
        .args(more)
        .args(["dataset", "list"]);
    finish(command).await
}

#[tokio::test]
async fn a_certificate_that_is_not_taken_says_why_and_what_to_do() {
    let authority = file("authority.crt");
    let trusting = ["--ca-file", authority.to_str().unwrap()];
    let (port, _good) = server("server.crt", "server.key").await;
    list(&format!("https://localhost:{port}"), &[])
        .await
        .failed(1, "its certificate is of an authority that is not trusted here: name the file with that authority's certificate (PEM) with --ca-file");
    list(&format!("https://127.0.0.1:{port}"), &trusting)
        .await
        .failed(
            1,
            "its certificate is for localhost, and not for 127.0.0.1: call it by a name",
        );
    list(&format!("https://localhost:{port}"), &trusting)
        .await
        .failed(
            1,
            "it does not know this call, and is older than this command or no Granary server",
        );
    let (port, _ended) = server("ended.crt", "server.key").await;
    list(&format!("https://localhost:{port}"), &trusting)
        .await
        .failed(1, "its certificate ended on 2021-01-01");
    let (port, _authority) = server("authority.crt", "authority.key").await;
    list(&format!("https://localhost:{port}"), &trusting)
        .await
        .failed(1, "its certificate is that of an authority");
}

#[tokio::test]
async fn an_endpoint_of_the_other_kind_is_told() {
    let (port, _guard) = server("server.crt", "server.key").await;
    let plain = format!("http://localhost:{port}");
    let said = format!("{plain} answers with TLS only: write the endpoint with https://");
    list(&plain, &[]).await.failed(1, &said);
    // Waiting does not help, and nobody waits.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.bin"), "a").unwrap();
    let mut upload = program();
    upload
        .args([
            "--endpoint",
            &plain,
            "--token",
            "x",
            "upload",
            "--no-metadata",
        ])
        .args(["--dataset", "raw"])
        .arg(folder.path())
        .args(["--session", "s"]);
    finish(upload).await.failed(1, &said);
    let mut with_key = program();
    with_key
        .args(["--endpoint", &plain, "dataset", "list"])
        .env("GRANARY_API_KEY", "granary_none");
    finish(with_key).await.failed(1, &said);

    let world = World::start().await;
    let port = world.endpoint().rsplit_once(':').unwrap().1.to_owned();
    list(&format!("https://127.0.0.1:{port}"), &[])
        .await
        .failed(
            1,
            &format!(
                "it answers without TLS: is it another port, or http://127.0.0.1:{port} (--endpoint"
            ),
        );
}

#[tokio::test]
async fn a_certificate_for_the_ingress_is_looked_at_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("ingress");
    let config = async |certificate: &str, key: &str, more: &[&str]| {
        let mut command = program();
        command
            .args(["ingress", "config", "--to"])
            .arg(&to)
            .arg("--certificate")
            .arg(file(certificate))
            .arg("--key")
            .arg(file(key))
            .arg("--signing-key-file")
            .arg(folder.path().join("issuer-key"))
            .args(more);
        finish(command).await
    };
    granary_runtime::auth::Issuer::open(&folder.path().join("issuer-key")).unwrap();
    config("server.crt", "authority.key", &[])
        .await
        .failed(2, "authority.key is not the key of the certificate")
        .failed(2, "--key: ");
    config("none", "server.key", &[])
        .await
        .failed(2, "--certificate: ");
    assert!(!to.exists());
    config("none", "none", &["--at", "/etc/granary/ingress"])
        .await
        .failed(0, "warning: ");
    config("server.crt", "server.key", &[]).await.ok();
    assert!(to.join("envoy.yaml").exists());
}
