//! What Envoy in front of the server costs a call.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use granary_proto::identity::v1::{GetPrincipalRequest, token_service_client::TokenServiceClient};
use granary_runtime::{Link, auth::TokenSource};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::{
    Args,
    report::Report,
    server::{Server, free_port, program},
};

const CALLS: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(15);
/// Of `/proc/PID/stat`, on every Linux that people use.
const TICKS_A_SECOND: f64 = 100.0;

/// The same call over one connection, straight to the server and through Envoy, in turns.
pub(crate) async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let (Some(program), Some(tls)) = (variable("GRANARY_TEST_ENVOY"), variable("GRANARY_TEST_TLS"))
    else {
        report.line(
            "a call through Envoy",
            "skipped: GRANARY_TEST_ENVOY and GRANARY_TEST_TLS are not set",
        );
        return Ok(());
    };
    granary_runtime::install_tls();
    let server = Server::start(&["--job-slots", "0"]).await?;
    let envoy = Envoy::start(&program, &tls, &server)?;
    let (straight, through) = (server.connect().await?, envoy.connect(&tls, &server).await?);
    // Connections, caches and tables of headers are filled first.
    calls(&straight).await?;
    calls(&through).await?;
    let (mut direct, mut fronted) = (Vec::new(), Vec::new());
    let (begun, mut rounds) = (envoy.processor_seconds()?, 0);
    for _ in 0..args.rounds.max(1) {
        direct.push(calls(&straight).await?);
        fronted.push(calls(&through).await?);
        rounds += CALLS;
    }
    let work = envoy.processor_seconds()? - begun;
    let (direct, fronted) = (middle(direct), middle(fronted));
    report.line(
        "a call, straight",
        format!("{direct:>10.1} us (GetPrincipal, one at a time)"),
    );
    report.line(
        "a call through Envoy",
        format!("{fronted:>10.1} us, {:.1} us more", fronted - direct),
    );
    let count = f64::from(u32::try_from(rounds)?);
    report.line(
        "Envoy's own work",
        format!("{:>10.1} us of a processor for a call", work * 1e6 / count),
    );
    Ok(())
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// The time of a call in the middle, in microseconds.
async fn calls(way: &Link) -> anyhow::Result<f64> {
    let mut tokens = TokenServiceClient::new(way.clone());
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        tokens.get_principal(GetPrincipalRequest::default()).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(middle(times))
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// An Envoy that ends with this value.
#[derive(Debug)]
struct Envoy {
    child: Child,
    port: u16,
}

impl Envoy {
    fn start(envoy: &Path, tls: &Path, server: &Server) -> anyhow::Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let folder = server.folder().join("ingress");
        let written = Command::new(program()?)
            .args(["ingress", "config", "--upstream", server.endpoint()])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin", &format!("127.0.0.1:{admin}")])
            .args(["--rate-per-address", "0", "--rate-per-principal", "0"])
            .arg("--certificate")
            .arg(tls.join("tls.crt"))
            .arg("--key")
            .arg(tls.join("tls.key"))
            .arg("--data-dir")
            .arg(server.folder().join("data"))
            .arg("--to")
            .arg(&folder)
            .status()?;
        anyhow::ensure!(written.success(), "granary ingress config failed");
        let child = Command::new(envoy)
            .args(["--disable-hot-restart", "--concurrency", "1"])
            .args(["--log-level", "error", "--config-path"])
            .arg(folder.join("envoy.yaml"))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, port })
    }

    async fn connect(&self, tls: &Path, server: &Server) -> anyhow::Result<Link> {
        let authority = Certificate::from_pem(std::fs::read(tls.join("ca.crt"))?);
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", self.port))?
            .tls_config(ClientTlsConfig::new().ca_certificate(authority))?
            .tcp_nodelay(true);
        let begun = Instant::now();
        let channel = loop {
            match endpoint.connect().await {
                Ok(channel) => break channel,
                Err(error) if begun.elapsed() > PATIENCE => {
                    return Err(error).context("Envoy did not start");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        Ok(Link::remote(channel, TokenSource::fixed(&server.token()?)?))
    }

    /// How much it has worked so far.
    fn processor_seconds(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the program comes before, in parentheses, and may hold anything.
        let (_, rest) = text.rsplit_once(')').context("no such process")?;
        let ticks: Vec<f64> = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / TICKS_A_SECOND)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
