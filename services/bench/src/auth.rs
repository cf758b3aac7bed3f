//! What it costs to verify a token.

use std::time::{Duration, Instant};

use granary_runtime::auth::Issuer;

use crate::report::Report;

const TOKENS: usize = 2_000;
const AGAIN: usize = 200;

/// Each of many tokens once, and then all of them again and again.
pub(crate) async fn run(report: &mut Report) -> anyhow::Result<()> {
    let issuer = Issuer::ephemeral()?;
    let hour = Duration::from_secs(3600);
    let tokens = (0..TOKENS)
        .map(|n| Ok(issuer.issue(&format!("user-{n}"), None, hour)?.0))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let verifier = issuer.verifier();
    let verify_all = async || -> anyhow::Result<()> {
        for token in &tokens {
            let verdict = verifier.verify(token).await;
            verdict.map_err(|reason| anyhow::anyhow!("a good token was refused: {reason}"))?;
        }
        anyhow::Ok(())
    };
    let begun = Instant::now();
    verify_all().await?;
    let first = micros(begun.elapsed(), TOKENS);
    let begun = Instant::now();
    for _ in 0..AGAIN {
        verify_all().await?;
    }
    let again = micros(begun.elapsed(), TOKENS * AGAIN);
    report.line(
        "a token, the first time",
        format!("{first:>10.1} us (Ed25519)"),
    );
    report.figure("a token, seen before", again, "us", 20.0, "at most");
    Ok(())
}

fn micros(time: Duration, count: usize) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    time.as_secs_f64() * 1e6 / f64::from(count)
}
