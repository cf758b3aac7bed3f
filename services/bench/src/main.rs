//! Speed and memory of a real server, as figures and as ratios to a floor that is measured in the same run.
//!
//! The server is the release program as a process of its own; the load comes from here, on the same machine. Nothing in here is a test: a
//! figure that is low fails nobody.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for the terminal that spawns its load"
)]

mod auth;
mod floor;
mod ingress;
mod issuer;
mod jobs;
mod load;
mod pipeline;
mod report;
mod rpc;
mod server;
mod upload;
mod wire;

use clap::Parser;

use report::Report;

/// Measures a release build of granary.
#[derive(Debug, Parser)]
struct Args {
    /// Only these parts: auth, rpc, ingress, pipeline, jobs, upload, memory.
    parts: Vec<String>,
    /// How many small JPEGs the pipeline gets.
    #[arg(long, default_value_t = 20_000)]
    assets: usize,
    /// How many jobs are claimed and completed.
    #[arg(long, default_value_t = 10_000)]
    jobs: usize,
    /// How many connections call at the same time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How many seconds each closed loop of calls runs.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many rounds calls and uploads are measured in; the one in the middle counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl Args {
    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|p| p == part)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report;
    let fsync = floor::fsync_rate()?;
    report.line("disk", format!("{fsync:.0} fsyncs/s of 4 KiB appends"));
    if args.wants("memory") {
        let server = server::Server::start(&["--job-slots", "2"]).await?;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        report.figure(
            "idle memory",
            server.resident_mib()?,
            "MiB",
            64.0,
            "at most",
        );
    }
    if args.wants("auth") {
        auth::run(&mut report).await?;
    }
    if args.wants("rpc") {
        rpc::run(&args, &mut report).await?;
    }
    if args.wants("ingress") {
        ingress::run(&args, &mut report).await?;
    }
    if args.wants("pipeline") {
        pipeline::run(&args, &mut report).await?;
    }
    if args.wants("jobs") {
        jobs::run(&args, &mut report).await?;
    }
    if args.wants("upload") {
        upload::run(&args, &mut report).await?;
    }
    report.line(
        "disk",
        format!("{:.0} fsyncs/s at the end", floor::fsync_rate()?),
    );
    Ok(())
}
