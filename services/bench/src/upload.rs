//! A session of 600 MB in 1,000 files, against what others do with the same files and the same MinIO.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::Context as _;
use url::Url;

use crate::{
    Args,
    report::Report,
    server::{self, Server},
};

const FILES: usize = 1000;
const FILE_BYTES: usize = 600_000;

pub(crate) async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let Some(others) = Others::at_hand()? else {
        report.line(
            "upload",
            "left out: no MinIO (run by `make bench`, which starts one)",
        );
        return Ok(());
    };
    let store = format!("s3://bench?endpoint=http://{}", others.address);
    let server = Server::start_with(
        &["--job-slots", "0", "--object-store", &store],
        &others.keys(),
    )
    .await?;
    let folder = server.folder().join("session");
    make(&folder)?;
    others.make_bucket()?;
    let (mut ours, mut mcs, mut awss) = (Vec::new(), Vec::new(), Vec::new());
    let mut client_peak = 0.0_f64;
    for round in 0..args.rounds {
        mcs.push(timed(&mut others.mc(&folder, round))?.0);
        let (seconds, peak) = timed(&mut upload(&server, &folder, round)?)?;
        ours.push(seconds);
        client_peak = client_peak.max(peak);
        awss.push(timed(&mut others.aws(&folder, round))?.0);
    }
    let (ours, mcs, awss) = (median(ours), median(mcs), median(awss));
    report.line(
        "upload of 600 MB",
        format!("{ours:>10.2} s, mc mirror {mcs:.2} s, aws s3 cp {awss:.2} s"),
    );
    report.figure("  speed against mc", mcs / ours, "of mc", 0.8, "at least");
    report.figure(
        "  memory of the client",
        client_peak,
        "MiB",
        200.0,
        "at most",
    );
    report.figure(
        "  memory of the server",
        server.peak_mib()?,
        "MiB",
        200.0,
        "at most",
    );
    Ok(())
}

/// What others do with the same files on the same MinIO.
struct Others {
    address: String,
    key: String,
    secret: String,
    mc: String,
    aws: String,
}

impl Others {
    fn at_hand() -> anyhow::Result<Option<Self>> {
        let Ok(s3) = std::env::var("GRANARY_TEST_S3") else {
            return Ok(None);
        };
        let s3 = Url::parse(&s3)?;
        Ok(Some(Self {
            address: format!(
                "{}:{}",
                s3.host_str().unwrap_or_default(),
                s3.port().unwrap_or(80)
            ),
            key: s3.username().to_owned(),
            secret: s3.password().unwrap_or_default().to_owned(),
            mc: std::env::var("GRANARY_TEST_MC").context("GRANARY_TEST_MC")?,
            aws: std::env::var("GRANARY_TEST_AWS").context("GRANARY_TEST_AWS")?,
        }))
    }

    fn keys(&self) -> [(&str, &str); 2] {
        [
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
        ]
    }

    fn mc_command(&self) -> Command {
        let mut command = Command::new(&self.mc);
        command.env(
            "MC_HOST_bench",
            format!("http://{}:{}@{}", self.key, self.secret, self.address),
        );
        command
    }

    fn make_bucket(&self) -> anyhow::Result<()> {
        timed(
            self.mc_command()
                .args(["mb", "--ignore-existing", "bench/floor"]),
        )
        .map(drop)
    }

    fn mc(&self, folder: &Path, round: usize) -> Command {
        let mut command = self.mc_command();
        command
            .arg("mirror")
            .arg(folder)
            .arg(format!("bench/floor/mc-{round}"));
        command
    }

    fn aws(&self, folder: &Path, round: usize) -> Command {
        let mut command = Command::new(&self.aws);
        command
            .args([
                "--endpoint-url",
                &format!("http://{}", self.address),
                "s3",
                "cp",
                "--recursive",
                "--quiet",
            ])
            .arg(folder)
            .arg(format!("s3://floor/aws-{round}"))
            .envs(self.keys())
            .env("AWS_DEFAULT_REGION", "us-east-1");
        command
    }
}

fn upload(server: &Server, folder: &Path, round: usize) -> anyhow::Result<Command> {
    let mut command = Command::new(server::program()?);
    command
        .args([
            "upload",
            "--dataset",
            "bench",
            "--session",
            &format!("round-{round}"),
        ])
        .arg(folder)
        .args(["--endpoint", server.endpoint()])
        .env("GRANARY_TOKEN", server.token()?);
    Ok(command)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..FILES {
        let mut bytes = Vec::with_capacity(FILE_BYTES + 8);
        while bytes.len() < FILE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(FILE_BYTES);
        std::fs::write(folder.join(format!("part-{number:04}.bin")), bytes)?;
    }
    std::fs::write(
        folder.join("metadata.txt"),
        "fatigue: 3\nhardware_model: X2\n",
    )?;
    Ok(())
}

// Seconds, and the most memory in MiB that the kernel reported while it ran, asked every 20 ms.
fn timed(command: &mut Command) -> anyhow::Result<(f64, f64)> {
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    let exit = loop {
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        if let Ok(text) = std::fs::read_to_string(&status)
            && let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            peak = line
                .trim()
                .trim_end_matches(" kB")
                .parse::<f64>()
                .map_or(peak, |kib| kib / 1024.0);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let seconds = begin.elapsed().as_secs_f64();
    let mut said = String::new();
    if let Some(mut out) = child.stderr.take() {
        std::io::Read::read_to_string(&mut out, &mut said)?;
    }
    anyhow::ensure!(
        exit.success(),
        "{} failed: {said}",
        PathBuf::from(command.get_program()).display()
    );
    Ok((seconds, peak))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
