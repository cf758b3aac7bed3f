//! What fails because something is away for a moment is tried again.

use std::time::Duration;

use granary_proto::job::v1::FailureClass;

use crate::attempt::Outcome;

const TRIES: u32 = 4;

/// Does it up to four times, with pauses that grow, as long as it fails by a fault that is not the job's.
pub(super) async fn tried(
    pause: Duration,
    mut work: impl AsyncFnMut() -> Result<(), Outcome>,
) -> Result<(), Outcome> {
    let mut tries = 0;
    loop {
        tries += 1;
        match work().await {
            Err(outcome)
                if outcome.failure == FailureClass::Infrastructure
                    && !outcome.handed_back
                    && tries < TRIES =>
            {
                tokio::time::sleep(pause * tries).await;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tries(failure: FailureClass, succeeds_at: u32) -> (u32, bool) {
        let mut tries = 0;
        let result = tried(Duration::ZERO, async || {
            tries += 1;
            if tries == succeeds_at {
                return Ok(());
            }
            Err(Outcome::failed(failure, "away"))
        });
        let ok = result.await.is_ok();
        (tries, ok)
    }

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again_and_not_for_ever() {
        assert_eq!(tries(FailureClass::Infrastructure, 3).await, (3, true));
        assert_eq!(tries(FailureClass::Infrastructure, 9).await, (TRIES, false));
        assert_eq!(tries(FailureClass::Application, 3).await, (1, false));
    }
}
