//! The settings of every command that calls a server: flags before environment before file before defaults.

use std::path::{Path, PathBuf};

use granary_core::{Error, Result, name::ProjectName};
use granary_runtime::secret::Secret;
use url::Url;

use crate::{
    paths,
    settings::{File, secret},
};

/// Flags that say which server, as whom, and where in it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Flags {
    /// The server [default: http://127.0.0.1:7070]
    #[arg(
        long,
        global = true,
        env = "GRANARY_ENDPOINT",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub(crate) endpoint: Option<String>,
    /// The project [default: default]
    #[arg(
        long,
        global = true,
        env = "GRANARY_PROJECT",
        value_name = "PROJECT",
        help_heading = "Connection"
    )]
    pub(crate) project: Option<String>,
    /// The token [default: that of the local server, in the file `token` of its data directory]
    #[arg(
        long,
        global = true,
        env = "GRANARY_TOKEN",
        value_name = "TOKEN",
        value_parser = secret,
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub(crate) token: Option<Secret>,
}

/// Which server, as whom, and where in it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) endpoint: Url,
    pub(crate) project: ProjectName,
    /// As given by flag, environment or file.
    pub(crate) token: Option<Secret>,
    /// The data directory of this machine's server, if the file says where it is.
    pub(crate) data_dir: Option<PathBuf>,
}

impl Flags {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn settle(&self, file: File) -> Result<Config> {
        let first = |flag: &Option<String>, file: Option<String>, default: &str| {
            [flag.clone(), file]
                .into_iter()
                .flatten()
                .find(|text| !text.is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        Ok(Config {
            endpoint: endpoint(&first(
                &self.endpoint,
                file.endpoint,
                "http://127.0.0.1:7070",
            ))?,
            project: project(&first(&self.project, file.project, "default"))?,
            token: [self.token.clone(), file.token]
                .into_iter()
                .flatten()
                .find(|token| !token.reveal().is_empty()),
            data_dir: file.data_dir,
        })
    }
}

fn endpoint(text: &str) -> Result<Url> {
    let wrong = || {
        Error::invalid(
            "endpoint",
            format!(
                "expected a URL such as http://127.0.0.1:7070, got {}",
                granary_core::name::quote(text)
            ),
        )
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let fine = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    if fine { Ok(url) } else { Err(wrong()) }
}

fn project(text: &str) -> Result<ProjectName> {
    match text.strip_prefix("projects/") {
        Some(_) => ProjectName::parse(text).map_err(|error| error.within("project")),
        None => ProjectName::new(text),
    }
}

impl Config {
    /// The token to send: the one that was given, or the local server's, which goes to this machine only unless its data directory was named.
    pub(crate) fn token(&self) -> Result<Secret> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        if paths::named_data_dir().is_none() && !self.is_local() {
            return Err(Error::Unauthenticated {
                reason: format!(
                    "no token for {}: give one with --token, GRANARY_TOKEN, or `token` in the configuration file",
                    self.shown()
                ),
            });
        }
        read_token(&self.token_file())
    }

    // Where the token of this machine's server is.
    fn token_file(&self) -> PathBuf {
        paths::named_data_dir()
            .or_else(|| self.data_dir.clone())
            .unwrap_or_else(paths::default_data_dir)
            .join("token")
    }

    /// The error of a token that the server refused: which one it was, and where another may be.
    pub(crate) fn refused(&self) -> Error {
        let local = self.token_file();
        let (which, advice) = match self.token {
            Some(_) => (
                "that was given",
                format!("the local administrator's is in {}", local.display()),
            ),
            None => (
                "of this machine's server",
                format!(
                    "{} is of another server: give one with --token or GRANARY_TOKEN",
                    local.display()
                ),
            ),
        };
        Error::Unauthenticated {
            reason: format!(
                "{} refused the token {which}: it is wrong or expired; {advice}",
                self.shown()
            ),
        }
    }

    /// The endpoint, as messages show it.
    pub(crate) fn shown(&self) -> String {
        self.endpoint.as_str().trim_end_matches('/').to_owned()
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match self.endpoint.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

fn read_token(file: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::Unauthenticated {
        reason: format!(
            "no token: {} cannot be read ({}); give one with --token or GRANARY_TOKEN, or say where the server's data directory is with \
             GRANARY_DATA_DIR",
            file.display(),
            crate::human::io_error(&error),
        ),
    })?;
    Ok(Secret::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::file;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = file("endpoint = \"http://lab:1\"\nproject = \"sleep\"\ntoken = \"abc\"\n");
        let flags = Flags {
            endpoint: Some("https://other".into()),
            project: Some(String::new()),
            token: None,
        };
        let config = flags.settle(file).unwrap();
        assert_eq!(config.shown(), "https://other");
        assert_eq!(config.project.project, "sleep");
        assert_eq!(config.token.unwrap().reveal(), "abc");
        let config = Flags::default().settle(File::default()).unwrap();
        assert_eq!(config.shown(), "http://127.0.0.1:7070");
    }

    #[test]
    fn the_local_token_stays_on_this_machine() {
        let config = |endpoint: &str| {
            Flags {
                endpoint: Some(endpoint.into()),
                ..Flags::default()
            }
            .settle(File::default())
            .unwrap()
        };
        assert!(config("http://127.0.0.1:7070").is_local());
        assert!(config("http://[::1]:7070").is_local());
        assert!(config("http://localhost:7070").is_local());
        assert!(!config("http://lab.example:7070").is_local());
        assert!(!config("http://127.0.0.1.lab.example:7070").is_local());
    }

    #[test]
    fn wrong_endpoints_and_projects_are_refused() {
        for endpoint in ["127.0.0.1:7070", "ftp://a", "http://", "http://u:p@a"] {
            let flags = Flags {
                endpoint: Some(endpoint.into()),
                ..Flags::default()
            };
            assert!(flags.settle(File::default()).is_err(), "{endpoint}");
        }
        let flags = Flags {
            project: Some("Up".into()),
            ..Flags::default()
        };
        assert!(
            flags
                .settle(File::default())
                .unwrap_err()
                .to_string()
                .starts_with("project: expected")
        );
    }
}
