//! The settings of every client command: flags before environment before file before defaults.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Format as _, Serialized, Toml},
};
use granary_core::{Error, Result, name::ProjectName};
use granary_runtime::secret::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::paths;

/// Flags that say which server, as whom, and where in it.
#[derive(Debug, Clone, Default, clap::Args, Serialize)]
pub(crate) struct Flags {
    /// The server [default: http://127.0.0.1:7070]
    #[arg(
        long,
        global = true,
        env = "GRANARY_ENDPOINT",
        value_name = "URL",
        help_heading = "Connection"
    )]
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) endpoint: Option<String>,
    /// The project [default: default]
    #[arg(
        long,
        global = true,
        env = "GRANARY_PROJECT",
        value_name = "PROJECT",
        help_heading = "Connection"
    )]
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) project: Option<String>,
    /// The token [default: that of the local server, in the file `token` of its data directory]
    #[arg(
        long,
        global = true,
        env = "GRANARY_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) token: Option<String>,
}

fn is_unset(value: &Option<String>) -> bool {
    value.as_deref().is_none_or(str::is_empty)
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layered {
    endpoint: String,
    project: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// Which server, as whom, and where in it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) endpoint: Url,
    pub(crate) project: ProjectName,
    /// As given by flag, environment or file.
    pub(crate) token: Option<Secret>,
}

impl Flags {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn settle(&self) -> Result<Config> {
        let named = paths::named_config_file();
        if let Some(file) = &named
            && !file.is_file()
        {
            return Err(Error::invalid(
                "GRANARY_CONFIG",
                format!("cannot read the file {}", file.display()),
            ));
        }
        self.layered(named.or_else(paths::default_config_file).as_deref())
    }

    fn layered(&self, file: Option<&Path>) -> Result<Config> {
        let mut layers = Figment::from(Serialized::defaults(Layered {
            endpoint: "http://127.0.0.1:7070".into(),
            project: "default".into(),
            token: None,
        }));
        if let Some(file) = file.filter(|file| file.is_file()) {
            layers = layers.merge(Toml::file_exact(file));
        }
        let place = || {
            file.map(|file| file.display().to_string())
                .unwrap_or_default()
        };
        let layered: Layered = layers
            .merge(Serialized::defaults(self))
            .extract()
            .map_err(|error| Error::invalid(place(), without_values(&error)))?;
        Ok(Config {
            endpoint: endpoint(&layered.endpoint)?,
            project: project(&layered.project)?,
            token: layered
                .token
                .filter(|token| !token.is_empty())
                .map(Secret::new),
        })
    }
}

// Only what is wrong and where: the error's own text may quote a token.
fn without_values(error: &figment::Error) -> String {
    use figment::error::Kind;
    error
        .clone()
        .into_iter()
        .map(|one| match &one.kind {
            Kind::UnknownField(field, known) => format!(
                "unknown setting {field:?}: expected one of {}",
                known.join(", ")
            ),
            Kind::Message(message) if one.path.is_empty() => format!(
                "not valid TOML: {}",
                message.lines().next().unwrap_or_default()
            ),
            _ => format!("{}: expected text in quotes", one.path.join(".")),
        })
        .collect::<Vec<_>>()
        .join("; ")
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
        let named = paths::named_data_dir();
        if named.is_none() && !self.is_local() {
            return Err(Error::Unauthenticated {
                reason: format!(
                    "no token for {}: give one with --token, GRANARY_TOKEN, or `token` in the configuration file",
                    self.shown()
                ),
            });
        }
        read_token(&named.unwrap_or_else(paths::default_data_dir).join("token"))
    }

    /// The error of a token that the server refused: which one it was, and where another may be.
    pub(crate) fn refused(&self) -> Error {
        let local = paths::named_data_dir()
            .unwrap_or_else(paths::default_data_dir)
            .join("token");
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

fn read_token(file: &PathBuf) -> Result<Secret> {
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

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let (_folder, file) =
            file("endpoint = \"http://lab:1\"\nproject = \"sleep\"\ntoken = \"abc\"\n");
        let flags = Flags {
            endpoint: Some("https://other".into()),
            project: Some(String::new()),
            token: None,
        };
        let config = flags.layered(Some(&file)).unwrap();
        assert_eq!(config.shown(), "https://other");
        assert_eq!(config.project.project, "sleep");
        assert_eq!(config.token.unwrap().reveal(), "abc");
        assert_eq!(
            Flags::default().layered(None).unwrap().shown(),
            "http://127.0.0.1:7070"
        );
    }

    #[test]
    fn a_wrong_file_is_named_and_its_values_are_not_shown() {
        let (_folder, wrong) = file("tokn = \"secret\"\n");
        let error = Flags::default()
            .layered(Some(&wrong))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("config.toml") && error.contains("\"tokn\": expected one of"),
            "{error}"
        );
        let (_folder, typed) = file("token = 12345678\n");
        let error = Flags::default()
            .layered(Some(&typed))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("token: expected text in quotes") && !error.contains("1234"),
            "{error}"
        );
    }

    #[test]
    fn the_local_token_stays_on_this_machine() {
        let config = |endpoint: &str| {
            Flags {
                endpoint: Some(endpoint.into()),
                ..Flags::default()
            }
            .layered(None)
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
            assert!(flags.layered(None).is_err(), "{endpoint}");
        }
        let flags = Flags {
            project: Some("Up".into()),
            ..Flags::default()
        };
        assert!(
            flags
                .layered(None)
                .unwrap_err()
                .to_string()
                .starts_with("project: expected")
        );
    }
}
