//! The settings of every command that calls a server: flags before environment before file before defaults.

use std::path::{Path, PathBuf};

use granary_core::{Error, Result, name::ProjectName};
use granary_runtime::secret::Secret;
use url::Url;

use crate::{
    login::Store,
    paths,
    settings::{File, Login, secret},
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
    /// The project [default: that of the API key, if there is one, or else `default`]
    #[arg(
        long,
        global = true,
        env = "GRANARY_PROJECT",
        value_name = "PROJECT",
        help_heading = "Connection"
    )]
    pub(crate) project: Option<String>,
    /// The token [default: that of an API key, of a login, or of the local server, in the file `token` of its data directory]
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
    /// A file with an API key, or else the key itself in GRANARY_API_KEY: tokens are got for it
    #[arg(
        long,
        global = true,
        env = "GRANARY_API_KEY_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) api_key_file: Option<PathBuf>,
    // For the environment: on a command line, others of this machine can see it.
    #[arg(
        long,
        global = true,
        env = "GRANARY_API_KEY",
        value_parser = secret,
        hide = true,
        hide_env_values = true
    )]
    pub(crate) api_key: Option<Secret>,
    /// Certificate authorities (PEM) that the server's certificate may be of, beside those of this machine
    #[arg(
        long,
        global = true,
        env = "GRANARY_CA_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) ca_file: Option<PathBuf>,
}

/// As whom.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// A token that was given.
    Token(Secret),
    /// An API key, and where it was.
    ApiKey(Secret, String),
    /// A login at the server.
    Login(Store),
    /// The administrator of this machine's server.
    Local(Secret),
}

/// Which server, as whom, and where in it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) endpoint: Url,
    pub(crate) project: ProjectName,
    /// Whether somebody said so, and it is not the default.
    pub(crate) names_project: bool,
    /// As given by flag, environment or file.
    pub(crate) token: Option<Secret>,
    /// The API key of the environment.
    pub(crate) api_key: Option<Secret>,
    /// Where else an API key is.
    pub(crate) api_key_file: Option<PathBuf>,
    /// How people log in.
    pub(crate) login: Login,
    /// Certificate authorities that are trusted beside those of this machine.
    pub(crate) ca_file: Option<PathBuf>,
    /// The data directory of this machine's server, if the file says where it is.
    pub(crate) data_dir: Option<PathBuf>,
}

impl Flags {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn settle(&self, file: File) -> Result<Config> {
        let first = |flag: &Option<String>, file: Option<String>| {
            [flag.clone(), file]
                .into_iter()
                .flatten()
                .find(|text| !text.is_empty())
        };
        let endpoint = first(&self.endpoint, file.endpoint);
        let project = first(&self.project, file.project);
        let given =
            |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.reveal().is_empty());
        let file_of =
            |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let key_is_given = given(&self.api_key).is_some() || file_of(&self.api_key_file).is_some();
        Ok(Config {
            endpoint: read_endpoint(endpoint.as_deref().unwrap_or("http://127.0.0.1:7070"))?,
            names_project: project.is_some(),
            project: read_project(project.as_deref().unwrap_or("default"))?,
            // Whatever is given now comes before all that stands in the file.
            token: given(&self.token).or(given(&file.token).filter(|_| !key_is_given)),
            api_key: given(&self.api_key),
            api_key_file: file_of(&self.api_key_file).or(file.api_key_file),
            login: file.login.unwrap_or_default(),
            ca_file: [self.ca_file.clone(), file.ca_file]
                .into_iter()
                .flatten()
                .find(|path| !path.as_os_str().is_empty()),
            data_dir: file.data_dir,
        })
    }
}

fn read_endpoint(text: &str) -> Result<Url> {
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

fn read_project(text: &str) -> Result<ProjectName> {
    match text.strip_prefix("projects/") {
        Some(_) => ProjectName::parse(text).map_err(|error| error.within("project")),
        None => ProjectName::new(text),
    }
}

impl Config {
    /// As whom calls are made: what was given, or a login at the server, or the local server's administrator, whose token goes to this machine
    /// only unless its data directory was named.
    pub(crate) fn identity(&self) -> Result<Identity> {
        if let Some(token) = &self.token {
            return Ok(Identity::Token(token.clone()));
        }
        if let Some(key) = &self.api_key {
            return Ok(Identity::ApiKey(key.clone(), "GRANARY_API_KEY".into()));
        }
        if let Some(file) = &self.api_key_file {
            return Ok(Identity::ApiKey(
                read_key(file)?,
                file.display().to_string(),
            ));
        }
        if let Some(store) = self.logged_in()? {
            return Ok(Identity::Login(store));
        }
        if paths::named_data_dir().is_none() && !self.is_local() {
            return Err(Error::Unauthenticated {
                reason: format!(
                    "no token for {}: run `granary login`, or give an API key with GRANARY_API_KEY, or a token with --token, GRANARY_TOKEN, \
                     or `token` in the configuration file",
                    self.shown()
                ),
            });
        }
        read_token(&self.token_file()).map(Identity::Local)
    }

    fn logged_in(&self) -> Result<Option<Store>> {
        // Without a folder for settings there is no login.
        let Ok(store) = Store::of(&self.shown()) else {
            return Ok(None);
        };
        Ok(store.read()?.map(|_| store))
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
        let (which, advice) = match self.identity() {
            Ok(Identity::Token(_)) => (
                "the token that was given",
                format!("it is wrong or expired; the local administrator's is in {}", local.display()),
            ),
            Ok(Identity::ApiKey(_, place)) => (
                "the API key",
                format!(
                    "that of {place} is wrong, expired or revoked, or its project does not allow this; an owner of the project can make \
                     another with `granary api-key create`"
                ),
            ),
            Ok(Identity::Login(_)) => (
                "the login of this machine",
                "it has ended, or the server no longer trusts its issuer: run `granary login` again".into(),
            ),
            Ok(Identity::Local(_)) | Err(_) => (
                "the token of this machine's server",
                format!(
                    "it is wrong or expired; {} is of another server: give one with --token or GRANARY_TOKEN",
                    local.display()
                ),
            ),
        };
        Error::Unauthenticated {
            reason: format!("{} refused {which}: {advice}", self.shown()),
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

fn read_key(file: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::Unauthenticated {
        reason: format!(
            "no API key: {} cannot be read ({})",
            crate::human::shown(&file.display().to_string()),
            crate::human::io_error(&error)
        ),
    })?;
    Ok(Secret::new(text.trim()))
}

fn read_token(file: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::Unauthenticated {
        reason: format!(
            "no token: {} cannot be read ({}); run `granary login` where the server has an issuer for people, or give a token with --token or \
             GRANARY_TOKEN, or say where the server's data directory is with GRANARY_DATA_DIR",
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
            ..Flags::default()
        };
        let config = flags.settle(file).unwrap();
        assert_eq!(config.shown(), "https://other");
        assert_eq!(config.project.project, "sleep");
        assert!(config.names_project);
        assert_eq!(config.token.unwrap().reveal(), "abc");
        let config = Flags::default().settle(File::default()).unwrap();
        assert_eq!(config.shown(), "http://127.0.0.1:7070");
        assert!(!config.names_project && config.project.project == "default");
    }

    #[test]
    fn what_is_given_now_says_who_it_is_before_what_stands_in_the_file() {
        let secret = |text: &str| Some(Secret::new(text));
        let identity = |flags: Flags, text: &str| {
            let identity = flags.settle(file(text)).unwrap().identity().unwrap();
            match identity {
                Identity::Token(token) => format!("token {}", token.reveal()),
                Identity::ApiKey(key, place) => format!("key {} of {place}", key.reveal()),
                other => format!("{other:?}"),
            }
        };
        let key = || Flags {
            api_key: secret("k1"),
            ..Flags::default()
        };
        let both = || Flags {
            token: secret("t1"),
            ..key()
        };
        assert_eq!(identity(both(), "token = \"t2\"\n"), "token t1");
        assert_eq!(
            identity(key(), "token = \"t2\"\n"),
            "key k1 of GRANARY_API_KEY"
        );
        assert_eq!(identity(Flags::default(), "token = \"t2\"\n"), "token t2");
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("key");
        std::fs::write(&at, "k2\n").unwrap();
        let text = format!("api_key_file = {:?}\n", at.display().to_string());
        assert_eq!(
            identity(Flags::default(), &text),
            format!("key k2 of {}", at.display())
        );
        let by_flag = Flags {
            api_key_file: Some(at.clone()),
            ..Flags::default()
        };
        assert_eq!(
            identity(by_flag, "token = \"t2\"\n"),
            format!("key k2 of {}", at.display())
        );
        let missing = Flags {
            api_key_file: Some("nowhere".into()),
            ..Flags::default()
        };
        let error = missing
            .settle(File::default())
            .unwrap()
            .identity()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no API key: nowhere cannot be read (not found)"
        );
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
