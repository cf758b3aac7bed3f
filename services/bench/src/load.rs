//! A closed loop of calls over many connections.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// When a loop ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After so much time.
    Time(Duration),
    /// After so many calls of each connection.
    Calls(usize),
}

/// What a loop reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// Calls a second.
    pub rate: f64,
    /// The latency that half of the calls stay under.
    pub p50: Duration,
    /// The latency that 99 of 100 calls stay under.
    pub p99: Duration,
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms",
            self.p50.as_secs_f64() * 1e3,
            self.p99.as_secs_f64() * 1e3
        )
    }
}

/// Each connection calls again as soon as it has its answer, until the end. An error ends the measurement.
pub(crate) async fn closed_loop<C, F, W>(
    connections: Vec<C>,
    until: Until,
    call: F,
) -> anyhow::Result<Reached>
where
    C: Send + 'static,
    F: Fn(C, usize, usize) -> W + Clone + Send + 'static,
    W: Future<Output = anyhow::Result<C>> + Send,
{
    let begin = Instant::now();
    let loops = connections
        .into_iter()
        .enumerate()
        .map(|(number, mut connection)| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while match until {
                    Until::Time(time) => begin.elapsed() < time,
                    Until::Calls(count) => latencies.len() < count,
                } {
                    let start = Instant::now();
                    connection = call(connection, number, latencies.len()).await?;
                    latencies.push(start.elapsed());
                }
                anyhow::Ok(latencies)
            })
        });
    let mut latencies = Vec::new();
    for finished in futures::future::join_all(loops).await {
        latencies.extend(finished??);
    }
    let elapsed = begin.elapsed();
    latencies.sort_unstable();
    let at = |share: usize| {
        latencies
            .get(latencies.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    Ok(Reached {
        rate: crate::floor::load_rate(latencies.len(), elapsed),
        p50: at(50),
        p99: at(99),
    })
}
