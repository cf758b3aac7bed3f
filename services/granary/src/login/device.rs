//! The device flow (RFC 8628): somebody says yes in a browser anywhere, while this command asks again and again.

use std::time::Duration;

use granary_core::{Error, Result};
use granary_runtime::secret::Secret;
use serde::Deserialize;
use tokio::time::Instant;

use super::provider::{Declined, Given};
use crate::human;

const USUAL_INTERVAL: Duration = Duration::from_secs(5);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// By how much an issuer that wants it slower has it slower (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// A login that somebody has to confirm.
#[derive(Debug, Deserialize)]
pub(crate) struct Start {
    pub(super) device_code: Secret,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl Start {
    /// What to do, for people.
    pub(crate) fn invitation(&self) -> String {
        let mut text = format!(
            "open {} and enter the code {}",
            human::shown(&self.verification_uri),
            human::shown(&self.user_code)
        );
        if let Some(url) = &self.verification_uri_complete {
            text.push_str(&format!("\nor open {}", human::shown(url)));
        }
        text
    }
}

/// When to ask, and when to stop.
#[derive(Debug)]
pub(super) struct Polling {
    interval: Duration,
    end: Instant,
}

/// What an answer leads to.
#[derive(Debug)]
pub(super) enum Step {
    Done(Given),
    /// Ask again after this.
    Wait(Duration),
}

impl Polling {
    pub(super) fn new(start: &Start) -> Self {
        let wait = Duration::from_secs(start.expires_in).min(LONGEST_WAIT);
        let interval = start.interval.map_or(USUAL_INTERVAL, Duration::from_secs);
        Self {
            interval: interval.clamp(Duration::from_secs(1), LONGEST_INTERVAL),
            end: Instant::now() + wait,
        }
    }

    /// How long to wait before the first time.
    pub(super) fn first(&self) -> Duration {
        self.interval
    }

    /// What comes after an answer, which is a refusal or a failure as long as nobody has said yes.
    pub(super) fn next(&mut self, answer: Result<Result<Given, Declined>>) -> Result<Step> {
        let declined = match answer {
            Ok(Ok(given)) => return Ok(Step::Done(given)),
            Ok(Err(declined)) => declined,
            // An issuer that does not answer has too much to do, or is gone for a moment.
            Err(error) if error.is_transient() => {
                self.slow_down(self.interval);
                return self.wait();
            }
            Err(error) => return Err(error),
        };
        match declined.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => self.slow_down(SLOWER),
            "access_denied" => return Err(ended("the login was declined")),
            "expired_token" => return Err(too_late()),
            _ => return Err(declined.into_error("the issuer does not let this command log in")),
        }
        self.wait()
    }

    fn slow_down(&mut self, by: Duration) {
        self.interval = (self.interval + by).min(LONGEST_INTERVAL);
    }

    fn wait(&self) -> Result<Step> {
        if Instant::now() + self.interval > self.end {
            return Err(too_late());
        }
        Ok(Step::Wait(self.interval))
    }
}

fn too_late() -> Error {
    ended("nobody confirmed the login in time")
}

fn ended(why: &str) -> Error {
    Error::Unauthenticated {
        reason: format!("{why}: run `granary login` again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        serde_json::from_value(
            serde_json::json!({"device_code": "d", "user_code": "ABCD-EFGH", "expires_in": 100,
            "verification_uri": "https://id.example/device", "interval": 4}),
        )
        .unwrap()
    }

    fn declined(error: &str) -> Result<Result<Given, Declined>> {
        Ok(Err(Declined {
            error: error.into(),
            error_description: None,
        }))
    }

    fn away() -> Result<Result<Given, Declined>> {
        Err(Error::Unavailable {
            reason: "away".into(),
            cause: None,
        })
    }

    fn pause(polling: &mut Polling, answer: Result<Result<Given, Declined>>) -> u64 {
        match polling.next(answer).unwrap() {
            Step::Wait(pause) => pause.as_secs(),
            Step::Done(_) => 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_issuer_says_how_often_it_is_asked() {
        let mut polling = Polling::new(&start());
        assert_eq!(polling.first().as_secs(), 4);
        assert_eq!(pause(&mut polling, declined("authorization_pending")), 4);
        assert_eq!(pause(&mut polling, declined("slow_down")), 9);
        assert_eq!(pause(&mut polling, declined("authorization_pending")), 9);
        assert_eq!(pause(&mut polling, away()), 18);
        tokio::time::advance(Duration::from_secs(90)).await;
        let error = polling.next(declined("authorization_pending")).unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_cannot_be_ends_with_its_reason() {
        for (code, said) in [
            ("access_denied", "declined"),
            ("expired_token", "in time"),
            ("unauthorized_client", "unauthorized_client"),
        ] {
            let error = Polling::new(&start())
                .next(declined(code))
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn an_invitation_cannot_drive_the_terminal() {
        let text = start().invitation();
        assert_eq!(
            text,
            "open https://id.example/device and enter the code ABCD-EFGH"
        );
        let mut start = start();
        start.user_code = "\u{1b}[2J".into();
        assert!(!start.invitation().contains('\u{1b}'));
        assert!(!format!("{start:?}").contains("\"d\""));
    }
}
