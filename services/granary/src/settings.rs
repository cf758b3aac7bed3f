//! The file of settings: one for the server and for those who call it.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use granary_core::{Error, Result, suggest::did_you_mean, units::Span};
use granary_runtime::secret::Secret;
use serde::Deserialize;

use crate::{human, ingress, paths, serve::oidc};

/// What a file of settings says; flags and environment variables win over it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) endpoint: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) token: Option<Secret>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Option<String>,
    pub(crate) s3_listen: Option<String>,
    pub(crate) s3_public_endpoint: Option<String>,
    pub(crate) database_url: Option<Secret>,
    pub(crate) object_store: Option<String>,
    pub(crate) job_slots: Option<usize>,
    pub(crate) log: Option<String>,
    pub(crate) log_format: Option<String>,
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) login: Option<Login>,
    pub(crate) signing_key_file: Option<PathBuf>,
    pub(crate) clock_skew: Option<String>,
    pub(crate) audit_kept: Option<String>,
    pub(crate) trusted_hops: Option<usize>,
    #[serde(default)]
    pub(crate) oidc: Vec<oidc::Table>,
    #[serde(default)]
    pub(crate) ingress: ingress::Table,
    pub(crate) kubernetes: Option<granary_kubernetes::Table>,
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(crate) roles: Vec<String>,
    pub(crate) internal_listen: Option<String>,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(crate) metadata_endpoint: Vec<String>,
    #[serde(default, deserialize_with = "one_or_more")]
    pub(crate) storage_endpoint: Vec<String>,
    pub(crate) drain_delay: Option<Span>,
    pub(crate) metrics_listen: Option<String>,
}

/// How people log in, for `granary login`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) issuer: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) scope: Option<String>,
}

impl File {
    /// Reads the file that was named, or else the one in its usual place, if it is there.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self> {
        match named.filter(|file| !file.as_os_str().is_empty()) {
            Some(file) => Self::from(file),
            None => paths::default_config_file()
                .filter(|file| file.is_file())
                .map_or_else(|| Ok(Self::default()), |file| Self::from(&file)),
        }
    }

    fn from(file: &Path) -> Result<Self> {
        let wrong = |why: String| Error::invalid(human::shown(&file.display().to_string()), why);
        let text = std::fs::read_to_string(file).map_err(|error| {
            wrong(format!(
                "cannot read the settings: {}",
                human::io_error(&error)
            ))
        })?;
        Figment::from(Toml::string(&text))
            .extract()
            .map_err(|error| wrong(without_values(error)))
    }
}

/// A text, or several in brackets.
fn one_or_more<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    let wrong = |_| serde::de::Error::custom("expected text in quotes, or several in brackets");
    Texts::deserialize(value)
        .map(|texts| match texts {
            Texts::One(text) => vec![text],
            Texts::More(texts) => texts,
        })
        .map_err(wrong)
}

/// Takes a secret from a flag or from the environment.
pub(crate) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

// Only what is wrong and where: the error's own text may quote a token or a password.
fn without_values(error: figment::Error) -> String {
    use figment::error::Kind;
    let one = |error: figment::Error| match &error.kind {
        Kind::UnknownField(field, known) => {
            let hint = did_you_mean(field, known.iter().copied());
            format!("unknown setting {field:?}; {hint}")
        }
        Kind::Message(message) if error.path.is_empty() => {
            let first = message.lines().next().unwrap_or_default();
            format!("not valid TOML: {first}")
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected)
            if ["usize", "u32"].contains(&expected.to_string().as_str()) =>
        {
            format!("{}: expected a whole number", error.path.join("."))
        }
        Kind::InvalidType(_, expected) if expected.contains("boolean") => {
            format!("{}: expected true or false", error.path.join("."))
        }
        Kind::InvalidType(_, expected) if expected.contains("sequence") => {
            format!("{}: expected a list in brackets", error.path.join("."))
        }
        Kind::InvalidType(_, expected) if expected.contains("struct") => {
            format!("{}: expected a table", error.path.join("."))
        }
        Kind::MissingField(name) => {
            let path: Vec<_> = error
                .path
                .iter()
                .map(String::as_str)
                .chain([&**name])
                .collect();
            format!("{}: is missing", path.join("."))
        }
        _ => format!("{}: expected text in quotes", error.path.join(".")),
    };
    error.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file with this text.
    pub(crate) fn file(text: &str) -> File {
        read(text).unwrap()
    }

    fn read(text: &str) -> Result<File> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        File::read(Some(&file))
    }

    #[test]
    fn a_wrong_file_is_named_and_its_values_are_not_shown() {
        for (text, said) in [
            (
                "tokn = \"hunter2\"\n",
                "unknown setting \"tokn\"; did you mean \"token\"?",
            ),
            ("token = 12345678\n", "token: expected text in quotes"),
            (
                "data_dir = [\"hunter2\"]\n",
                "data_dir: expected text in quotes",
            ),
            (
                "job_slots = \"hunter2\"\n",
                "job_slots: expected a whole number",
            ),
            (
                "job_slots = -12345678\n",
                "job_slots: expected a whole number",
            ),
            (
                "[[oidc]]\nissuer = \"https://hunter2\"\n",
                "oidc.0.audiences: is missing",
            ),
            (
                "[[oidc]]\nissuer = \"https://hunter2\"\naudiences = \"a\"\n",
                "oidc.0.audiences: expected a list in brackets",
            ),
            (
                "[[oidc]]\nissuer = \"https://hunter2\"\naudiences = []\nallow_http = 1\n",
                "oidc.0.allow_http: expected true or false",
            ),
            (
                "[[oidc]]\nisuer = \"https://hunter2\"\n",
                "unknown setting \"isuer\"; did you mean \"issuer\"?",
            ),
            (
                "token = \"hunter2\n",
                "not valid TOML: TOML parse error at line 1",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("config.toml: ") && error.contains(said),
                "{error}"
            );
            assert!(
                !error.contains("hunter2") && !error.contains("1234"),
                "{error}"
            );
        }
        let error = File::read(Some(Path::new("nowhere.toml"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nowhere.toml: cannot read the settings: not found"
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let file = file("token = \"hunter2\"\ndatabase_url = \"postgres://u:hunter2@h/d\"\n");
        assert!(!format!("{file:?}").contains("hunter2"), "{file:?}");
    }
}
