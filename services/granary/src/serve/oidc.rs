//! The settings of issuers outside: `[[oidc]]` tables in the file, or flags for one issuer or for several that are alike.

use std::path::PathBuf;

use granary_core::{Error, Result, name::quote};
use granary_runtime::auth::{
    Issuer,
    oidc::{ClaimNames, OidcIssuer, Who},
};
use serde::Deserialize;
use url::Url;

use super::Settings;

/// Flags of issuers. Given, they stand for all tables of the file.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Issuers of tokens (OpenID Connect)")]
pub(crate) struct Flags {
    /// An issuer whose tokens count, exactly as its tokens name it; with one, the bundled issuer makes tokens for API keys only
    #[arg(
        long = "oidc-issuer",
        env = "GRANARY_OIDC_ISSUER",
        value_name = "URL",
        value_delimiter = ','
    )]
    oidc_issuer: Vec<String>,
    /// For whom tokens must be: one of these
    #[arg(
        long = "oidc-audience",
        env = "GRANARY_OIDC_AUDIENCE",
        value_name = "AUDIENCE",
        value_delimiter = ','
    )]
    oidc_audience: Vec<String>,
    /// Where the keys of the one issuer are [default: as the issuer says]
    #[arg(long, env = "GRANARY_OIDC_JWKS_URL", value_name = "URL")]
    oidc_jwks_url: Option<String>,
    /// The claim with the subject [default: sub]
    #[arg(long, env = "GRANARY_OIDC_SUBJECT_CLAIM", value_name = "CLAIM")]
    oidc_subject_claim: Option<String>,
    /// The claim with the e-mail address [default: email]
    #[arg(long, env = "GRANARY_OIDC_EMAIL_CLAIM", value_name = "CLAIM")]
    oidc_email_claim: Option<String>,
    /// The claim that says whether the address was verified; empty for an issuer that gives no others [default: email_verified]
    #[arg(long, env = "GRANARY_OIDC_EMAIL_VERIFIED_CLAIM", value_name = "CLAIM")]
    oidc_email_verified_claim: Option<String>,
    /// The claim with the groups: a name or a path such as realm_access.roles [default: groups]
    #[arg(long, env = "GRANARY_OIDC_GROUPS_CLAIM", value_name = "CLAIM")]
    oidc_groups_claim: Option<String>,
    /// Who administers all projects: group:NAME or subject:SUBJECT
    #[arg(
        long = "oidc-administrator",
        env = "GRANARY_OIDC_ADMINISTRATOR",
        value_name = "WHO",
        value_delimiter = ','
    )]
    oidc_administrator: Vec<String>,
    /// Who runs the jobs of all projects: group:NAME or subject:SUBJECT
    #[arg(
        long = "oidc-worker",
        env = "GRANARY_OIDC_WORKER",
        value_name = "WHO",
        value_delimiter = ','
    )]
    oidc_worker: Vec<String>,
    /// Asks issuers without encryption, for those in the same cluster
    #[arg(long, env = "GRANARY_OIDC_ALLOW_HTTP")]
    oidc_allow_http: bool,
    /// Certificate authorities (PEM) to trust when asking issuers
    #[arg(long, env = "GRANARY_OIDC_CA_FILE", value_name = "FILE")]
    oidc_ca_file: Option<PathBuf>,
    /// A file with the token to ask issuers with, which those of Kubernetes want
    #[arg(long, env = "GRANARY_OIDC_TOKEN_FILE", value_name = "FILE")]
    oidc_token_file: Option<PathBuf>,
}

/// An `[[oidc]]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    issuer: String,
    audiences: Vec<String>,
    jwks_url: Option<String>,
    subject_claim: Option<String>,
    email_claim: Option<String>,
    email_verified_claim: Option<String>,
    groups_claim: Option<String>,
    #[serde(default)]
    administrators: Vec<String>,
    #[serde(default)]
    workers: Vec<String>,
    #[serde(default)]
    allow_http: bool,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

/// The issuers of flags or else of the file, checked.
pub(crate) fn issuers(flags: Flags, file: Vec<Table>) -> Result<Vec<OidcIssuer>> {
    let tables = flags.tables()?.unwrap_or(file);
    let mut all = Vec::with_capacity(tables.len());
    for (i, table) in tables.into_iter().enumerate() {
        let issuer = table
            .settle()
            .map_err(|error| error.within(&format!("oidc[{i}]")))?;
        if all
            .iter()
            .any(|other: &OidcIssuer| other.issuer == issuer.issuer)
        {
            let field = format!("oidc[{i}].issuer");
            return Err(Error::invalid(
                field,
                "comes twice: put its audiences together",
            ));
        }
        all.push(issuer);
    }
    Ok(all)
}

impl Flags {
    // Nothing if no issuer is given; then nothing else of it may be.
    fn tables(self) -> Result<Option<Vec<Table>>> {
        let given = |list: Vec<String>| -> Vec<String> {
            list.into_iter().filter(|text| !text.is_empty()).collect()
        };
        let issuers = given(self.oidc_issuer);
        let (audiences, jwks_url) = (given(self.oidc_audience), self.oidc_jwks_url);
        if issuers.is_empty() {
            if !audiences.is_empty() || jwks_url.is_some() {
                return Err(Error::invalid(
                    "oidc_issuer",
                    "is missing: the other flags of issuers say how to treat its tokens",
                ));
            }
            return Ok(None);
        }
        if issuers.len() > 1 && jwks_url.is_some() {
            return Err(Error::invalid(
                "oidc_jwks_url",
                "is for one issuer: give several in [[oidc]] tables of the file",
            ));
        }
        let (administrators, workers) = (given(self.oidc_administrator), given(self.oidc_worker));
        let table = |issuer| Table {
            issuer,
            audiences: audiences.clone(),
            jwks_url: jwks_url.clone(),
            subject_claim: self.oidc_subject_claim.clone(),
            email_claim: self.oidc_email_claim.clone(),
            email_verified_claim: self.oidc_email_verified_claim.clone(),
            groups_claim: self.oidc_groups_claim.clone(),
            administrators: administrators.clone(),
            workers: workers.clone(),
            allow_http: self.oidc_allow_http,
            ca_file: self.oidc_ca_file.clone(),
            token_file: self.oidc_token_file.clone(),
        };
        Ok(Some(issuers.into_iter().map(table).collect()))
    }
}

impl Table {
    fn settle(self) -> Result<OidcIssuer> {
        let usual = ClaimNames::default();
        let issuer = OidcIssuer {
            jwks_url: self
                .jwks_url
                .as_deref()
                .map(|text| url("jwks_url", text))
                .transpose()?,
            claims: ClaimNames {
                subject: self.subject_claim.unwrap_or(usual.subject),
                email: self.email_claim.unwrap_or(usual.email),
                email_verified: match self.email_verified_claim {
                    Some(name) if name.is_empty() => None,
                    Some(name) => Some(name),
                    None => usual.email_verified,
                },
                groups: self.groups_claim.unwrap_or(usual.groups),
            },
            administrators: who("administrators", &self.administrators)?,
            workers: who("workers", &self.workers)?,
            allow_http: self.allow_http,
            ca_file: self.ca_file,
            token_file: self.token_file,
            ..OidcIssuer::new(self.issuer, self.audiences)
        };
        issuer.check()?;
        Ok(issuer)
    }
}

impl Settings {
    /// The issuers of the tokens of people and machines: those outside, or else the bundled one.
    pub(crate) fn issuers_of_people(&self, own: &Issuer) -> Vec<String> {
        if self.oidc.is_empty() {
            return vec![own.name().to_owned()];
        }
        self.oidc
            .iter()
            .map(|issuer| issuer.issuer.clone())
            .collect()
    }

    /// What to know before anybody logs in: without an administrator, nobody can make a project or let others into one.
    pub(crate) fn without_administrator(&self) -> Option<String> {
        let nobody = self
            .oidc
            .iter()
            .all(|issuer| issuer.administrators.is_empty());
        (nobody && !self.oidc.is_empty()).then(|| {
            "nobody administers this server: nobody can make projects or add the first members of `default` until --oidc-administrator, or \
             administrators in a table [[oidc]], says who may, such as group:platform or subject:SUBJECT"
                .to_owned()
        })
    }
}

fn url(field: &str, text: &str) -> Result<Url> {
    Url::parse(text)
        .map_err(|_| Error::invalid(field, format!("expected a URL, got {}", quote(text))))
}

fn who(field: &str, list: &[String]) -> Result<Vec<Who>> {
    let read = |(i, text): (usize, &String)| {
        text.parse()
            .map_err(|error: Error| Error::invalid(format!("{field}[{i}]"), error.to_string()))
    };
    list.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::file;

    fn flags(issuers: &[&str]) -> Flags {
        Flags {
            oidc_issuer: issuers.iter().map(|text| (*text).to_owned()).collect(),
            oidc_audience: vec!["granary".into()],
            ..Flags::default()
        }
    }

    #[test]
    fn issuers_come_from_tables_or_from_flags() {
        let text = r#"
            [[oidc]]
            issuer = "https://lab.eu.auth0.com/"
            audiences = ["https://granary.example"]
            groups_claim = "https://granary.example/groups"
            administrators = ["group:platform", "subject:auth0|1"]

            [[oidc]]
            issuer = "http://keycloak:8080/realms/lab"
            audiences = ["granary"]
            jwks_url = "http://keycloak:8080/realms/lab/protocol/openid-connect/certs"
            email_verified_claim = ""
            allow_http = true
        "#;
        let read = || file(text).oidc;
        let both = issuers(Flags::default(), read()).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(
            both[0].administrators,
            [
                Who::Group("platform".into()),
                Who::Subject("auth0|1".into())
            ]
        );
        assert_eq!(both[0].claims.groups, "https://granary.example/groups");
        assert_eq!(
            both[0].claims.email_verified.as_deref(),
            Some("email_verified")
        );
        assert_eq!(
            (both[1].claims.email_verified.as_deref(), both[1].allow_http),
            (None, true)
        );
        let one = issuers(flags(&["https://id.example"]), read()).unwrap();
        assert_eq!(
            one,
            [OidcIssuer::new(
                "https://id.example",
                vec!["granary".into()]
            )]
        );
        assert_eq!(
            issuers(flags(&["https://a.example", "https://b.example"]), vec![])
                .unwrap()
                .len(),
            2
        );
        assert!(issuers(Flags::default(), vec![]).unwrap().is_empty());
    }

    #[test]
    fn issuers_without_an_administrator_are_said() {
        let said = |text: &str| {
            let oidc = issuers(Flags::default(), file(text).oidc).unwrap();
            let folder = PathBuf::from("unused");
            let settings = Settings {
                oidc,
                ..Settings::in_folder(folder)
            };
            settings.without_administrator()
        };
        let one = "[[oidc]]\nissuer = \"https://a.example\"\naudiences = [\"granary\"]\n";
        assert_eq!(said(""), None);
        assert!(said(one).unwrap().contains("--oidc-administrator"));
        let with = format!(
            "{one}{}administrators = [\"group:platform\"]\n",
            one.replace("a.example", "b.example")
        );
        assert_eq!(said(&with), None);
    }

    #[test]
    fn what_cannot_work_is_named_with_its_place() {
        for (text, said) in [
            (
                "issuer = \"http://id.example\"\naudiences = [\"a\"]",
                "oidc[0].issuer: \"http://id.example/\" is not encrypted",
            ),
            (
                "issuer = \"https://id.example\"\naudiences = []",
                "oidc[0].audiences: name at least one",
            ),
            (
                "issuer = \"https://id.example\"\naudiences = [\"a\"]\nworkers = [\"pods\"]",
                "oidc[0].workers[0]: expected group:NAME or subject:SUBJECT, got \"pods\"",
            ),
            (
                "issuer = \"https://id.example\"\naudiences = [\"a\"]\njwks_url = \"keys\"",
                "oidc[0].jwks_url: expected a URL",
            ),
        ] {
            let error =
                issuers(Flags::default(), file(&format!("[[oidc]]\n{text}\n")).oidc).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        let twice =
            issuers(flags(&["https://a.example", "https://a.example"]), vec![]).unwrap_err();
        assert!(
            twice.to_string().starts_with("oidc[1].issuer: comes twice"),
            "{twice}"
        );
        let alone = issuers(flags(&[]), vec![]).unwrap_err();
        assert!(
            alone.to_string().starts_with("oidc_issuer: is missing"),
            "{alone}"
        );
    }
}
