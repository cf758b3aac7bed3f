//! `granary ingress`: the configuration of Envoy in front of the server.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use granary_core::{Error, Result, units::Span};
use granary_runtime::{auth::Issuer, outbound::Outbound};
use url::Url;

use crate::{
    failure::{Failure, Outcome},
    ingress::{self, Own},
    output::Out,
    paths,
    serve::{self, oidc},
    settings::File,
    signals,
};

/// What tokens of the bundled issuer are for.
const AUDIENCE: &str = "granary";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Ingress {
    Config(Box<Config>),
    Drain(Drain),
}

/// Waits for SIGTERM, then has Envoy say that it is not well and take no new connections
///
/// For a container beside Envoy's: calls in progress go on until they end, and clients go elsewhere.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// Where Envoy's administration listens
    #[arg(
        long,
        env = "GRANARY_INGRESS_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9901"
    )]
    admin: std::net::SocketAddr,
}

/// Writes what Envoy is started with into a folder: `envoy --config-path DIR/envoy.yaml`
///
/// It goes by the table [ingress] of the file of settings, and by what `granary serve` goes by: the issuers of tokens, and the key of the bundled
/// one, of which Envoy gets the public half. Run it again, and restart Envoy, when one of them changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Where the files go
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Where Envoy finds them, if it sees them elsewhere [default: the folder of --to]
    #[arg(long, value_name = "DIR")]
    at: Option<PathBuf>,
    #[command(flatten)]
    settings: ingress::Flags,
    /// The data directory of the server, which has the key of the bundled issuer [default: ~/.local/share/granary]
    #[arg(long, env = "GRANARY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The key of the bundled issuer, if it is elsewhere
    #[arg(long, env = "GRANARY_SIGNING_KEY_FILE", value_name = "FILE")]
    signing_key_file: Option<PathBuf>,
    /// How far the clocks of issuers may differ from this machine's, at most 5m [default: 30s]
    #[arg(long, env = "GRANARY_CLOCK_SKEW", value_name = "DURATION")]
    clock_skew: Option<Span>,
    #[command(flatten)]
    oidc: oidc::Flags,
}

impl Ingress {
    pub(crate) async fn run(self, file: File, out: &Out) -> Outcome {
        match self {
            Self::Config(config) => config.run(file, out).await,
            Self::Drain(drain) => drain.run(out).await,
        }
    }
}

impl Drain {
    async fn run(self, out: &Out) -> Outcome {
        let stop = signals::stop()?;
        let envoy = Outbound::new(Duration::from_secs(5), None, false)?;
        stop.cancelled().await;
        for path in ["healthcheck/fail", "drain_listeners?graceful"] {
            let url = format!("http://{}/{path}", self.admin);
            let url = Url::parse(&url).map_err(|error| Error::internal("calling Envoy", error))?;
            let answer = envoy.post_form(&url, &[]).await?;
            if answer.status != 200 {
                let what = format!("Envoy answered {} to {path}", answer.status);
                return Err(Error::precondition(self.admin, what).into());
            }
        }
        out.note("Envoy takes no new connections");
        Ok(())
    }
}

impl Config {
    async fn run(self, file: File, out: &Out) -> Outcome {
        let own = own(
            self.signing_key_file.or(file.signing_key_file),
            self.data_dir.or(file.data_dir),
        )?;
        let issuers = oidc::issuers(self.oidc, file.oidc).map_err(Failure::usage)?;
        let skew = serve::clock_skew(self.clock_skew, file.clock_skew.as_deref())
            .map_err(Failure::usage)?;
        let folder = ingress::absolute("to", self.at.as_ref().unwrap_or(&self.to))
            .map_err(Failure::usage)?;
        let settings = self
            .settings
            .settle(file.ingress, folder, own)
            .map_err(Failure::usage)?;
        let warnings = ingress::check(&settings, self.at.is_some(), SystemTime::now())
            .map_err(Failure::usage)?;
        for warning in warnings {
            out.say(&format!("granary: warning: {warning}"));
        }
        let settings = settings.with_issuers(&issuers, skew).await?;
        let files = ingress::files(&settings)?;
        ingress::write(&self.to, &files)?;
        out.note(&format!("wrote {}", self.to.join("envoy.yaml").display()));
        Ok(())
    }
}

// Never made here: the server would have another one.
fn own(key: Option<PathBuf>, data_dir: Option<PathBuf>) -> Result<Own> {
    let file = key.unwrap_or_else(|| {
        data_dir
            .unwrap_or_else(paths::default_data_dir)
            .join("issuer-key")
    });
    let issuer = Issuer::read(&file).map_err(|error| match file.exists() {
        true => error,
        false => Error::precondition(
            file.display(),
            "there is no signing key: start `granary serve` first, which makes one in its data directory, or name it with --signing-key-file",
        ),
    })?;
    Ok(Own {
        name: issuer.name().to_owned(),
        audience: AUDIENCE.to_owned(),
        keys: issuer.jwks(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let error = own(None, Some(folder.path().to_owned()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("issuer-key") && error.contains("granary serve"),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
