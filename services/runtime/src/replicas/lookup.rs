//! What a name stands for, now and when it cannot be looked up.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// As long as the resolver of the C library waits for its first server.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A `HOST:PORT` that is looked up again and again.
#[derive(Debug)]
pub(super) struct Name {
    text: String,
    addresses: BTreeSet<SocketAddr>,
    /// Why it could not be looked up the last time, which is logged once.
    wrong: Option<String>,
}

impl Name {
    pub(super) fn new(text: String) -> Self {
        Self::known(text, BTreeSet::new())
    }

    /// One that stood for something before.
    pub(super) fn known(text: String, addresses: BTreeSet<SocketAddr>) -> Self {
        Self {
            text,
            addresses,
            wrong: None,
        }
    }

    /// What it stands for: what it stood for before, if it cannot be looked up now.
    pub(super) async fn look_up(&mut self) -> &BTreeSet<SocketAddr> {
        let wrong = match tokio::time::timeout(TIMEOUT, tokio::net::lookup_host(&self.text)).await {
            Ok(Ok(found)) => {
                self.addresses = found.collect();
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it takes too long".into()),
        };
        if let Some(error) = wrong.as_ref().filter(|_| wrong != self.wrong) {
            tracing::warn!(name = self.text, error, "cannot look up a service");
        }
        self.wrong = wrong;
        &self.addresses
    }
}
