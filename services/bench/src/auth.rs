//! What it costs to verify a token, of each kind.

use std::time::{Duration, Instant};

use granary_runtime::{auth::Verifier, task::Tasks};

use crate::{
    issuer::{Kind, OtherIssuer},
    report::Report,
};

const TOKENS: usize = 2_000;
const AGAIN: usize = 200;

/// Each of many tokens once, and then all of them again and again.
pub(crate) async fn run(report: &mut Report) -> anyhow::Result<()> {
    let (issuer, tasks) = (OtherIssuer::start().await?, Tasks::new());
    let verifier = issuer.verifier(&tasks)?;
    // The keys are there before the clock runs.
    verify_all(&verifier, &[issuer.token(Kind::EdDsa, "first")?]).await?;
    for kind in Kind::ALL {
        let tokens = (0..TOKENS)
            .map(|n| issuer.token(kind, &format!("user-{n}")))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let begun = Instant::now();
        verify_all(&verifier, &tokens).await?;
        let first = micros(begun.elapsed(), TOKENS);
        let begun = Instant::now();
        for _ in 0..AGAIN {
            verify_all(&verifier, &tokens).await?;
        }
        let again = micros(begun.elapsed(), TOKENS * AGAIN);
        let name = kind.name();
        let what = format!("token ({name}), first time");
        report.line(&what, format!("{first:>10.1} us"));
        let what = format!("token ({name}), seen before");
        report.figure(&what, again, "us", 20.0, "at most");
    }
    tasks.drain(Duration::from_secs(1)).await;
    Ok(())
}

async fn verify_all(verifier: &Verifier, tokens: &[String]) -> anyhow::Result<()> {
    for token in tokens {
        let verdict = verifier.verify(token).await;
        verdict.map_err(|reason| anyhow::anyhow!("a good token was refused: {reason}"))?;
    }
    Ok(())
}

fn micros(time: Duration, count: usize) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    time.as_secs_f64() * 1e6 / f64::from(count)
}
