//! `granary api-key`: keys for machines.

use granary_core::{
    Error,
    name::{ProjectName, quote},
    units::Span,
};
use granary_proto::{
    identity::v1::{
        ApiKey as Message, CreateApiKeyRequest, ListApiKeysRequest, ProjectRole,
        RevokeApiKeyRequest,
    },
    json::to_json,
};
use prost_types::Timestamp;

use super::{
    context::{Context, Limit},
    member::role,
};
use crate::{
    client::{Client, call},
    failure::{Failure, Outcome},
    human, names,
    output::{Listing, Table},
    page,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ApiKey {
    /// Makes a key and prints it; it cannot be shown again
    ///
    /// A machine gets it as GRANARY_API_KEY; the commands and workers that find it there exchange it for short-lived tokens by themselves.
    Create(Create),
    /// Lists keys, revoked ones too, and when they were last used
    List(Limit),
    /// Revokes a key for good; whoever uses it is locked out within 10 seconds
    Revoke {
        /// KEY, its full name, or what it is for if no other good key is for the same
        key: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What it is for
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    display_name: String,
    /// What it may do in the project
    #[arg(long, value_enum, value_name = "ROLE")]
    role: RoleFlag,
    /// How long it is good, such as 90d; until it is revoked if not given
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<Span>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RoleFlag {
    /// Datasets, uploads, snapshots, pipelines, jobs, labels: for collectors
    Editor,
    /// Labels, and reads
    Labeler,
    /// Reads
    Viewer,
    /// Runs jobs: for workers
    Worker,
}

impl From<RoleFlag> for ProjectRole {
    fn from(flag: RoleFlag) -> Self {
        match flag {
            RoleFlag::Editor => Self::Editor,
            RoleFlag::Labeler => Self::Labeler,
            RoleFlag::Viewer => Self::Viewer,
            RoleFlag::Worker => Self::Worker,
        }
    }
}

impl ApiKey {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List(limit) => list(context, limit).await,
            Self::Revoke { key } => {
                names::check_no_secret(&key).map_err(Failure::usage)?;
                let client = context.client().await?;
                let name = find(context, &client, &key).await?;
                context.out.item(
                    &call!(
                        client
                            .api_keys()
                            .revoke_api_key(RevokeApiKeyRequest { name })
                    )?,
                    details,
                )
            }
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Outcome {
        let expire_time = self.lifetime.map(ends).transpose()?;
        let client = context.client().await?;
        let request = CreateApiKeyRequest {
            parent: context.project().to_string(),
            api_key: Some(Message {
                display_name: self.display_name,
                role: ProjectRole::from(self.role).into(),
                expire_time,
                ..Message::default()
            }),
        };
        let answer = call!(client.api_keys().create_api_key(request))?;
        if !context.out.is_table() {
            return context.out.document(&to_json(&answer)?);
        }
        let key = answer.api_key.unwrap_or_default();
        let end = match &key.expire_time {
            Some(end) => format!("it ends at {}", human::time(Some(end))),
            None => {
                "it never ends, until it is revoked: --lifetime 90d would have it end by itself"
                    .to_owned()
            }
        };
        context.out.note(&format!(
            "{} made: keep it like a password, it is not shown again; whoever is to use it gets it as GRANARY_API_KEY; {end}",
            key.name
        ));
        // Alone on its line, to be taken by a script.
        context.out.line(&answer.secret)
    }
}

fn ends(Span(lifetime): Span) -> Outcome<Timestamp> {
    let end = jiff::SignedDuration::try_from(lifetime)
        .ok()
        .and_then(|lifetime| jiff::Timestamp::now().checked_add(lifetime).ok());
    let end = end.ok_or_else(|| {
        Failure::usage(Error::invalid(
            "--lifetime",
            "expected less than 8,000 years",
        ))
    })?;
    Ok(Timestamp {
        seconds: end.as_second(),
        nanos: 0,
    })
}

async fn keys(
    context: &Context,
    client: &Client,
    page_size: i32,
    page_token: String,
) -> Outcome<(Vec<Message>, String)> {
    let request = ListApiKeysRequest {
        parent: context.project().to_string(),
        page_size,
        page_token,
    };
    let response = call!(client.api_keys().list_api_keys(request))?;
    Ok((response.api_keys, response.next_page_token))
}

/// The name of the key that somebody means.
async fn find(context: &Context, client: &Client, meant: &str) -> Outcome<String> {
    if meant.starts_with("projects/") {
        let name = names::api_key(context.project(), meant).map_err(Failure::usage)?;
        return Ok(name.to_string());
    }
    let mut found = Vec::new();
    let get = async |size, token| keys(context, client, size, token).await;
    page::each(None, get, |keys: Vec<Message>| {
        found.extend(
            keys.into_iter()
                .filter(|key| human::last(&key.name) == meant || key.display_name == meant),
        );
        Ok::<_, Failure>(())
    })
    .await?;
    one_of(found, meant, context.project())
}

/// An id is one key's; of those that are for the same, the one that is good.
fn one_of(found: Vec<Message>, meant: &str, project: &ProjectName) -> Outcome<String> {
    if let Some(key) = found.iter().find(|key| human::last(&key.name) == meant) {
        return Ok(key.name.clone());
    }
    let good: Vec<&str> = found
        .iter()
        .filter(|key| key.revoke_time.is_none())
        .map(|key| human::last(&key.name))
        .collect();
    match good[..] {
        [key] => Ok(format!("{project}/apiKeys/{key}")),
        [] => Err(Error::not_found(format!("API key {} in {project}", quote(meant))).into()),
        _ => Err(Failure::flag(
            "key",
            format!("several are for that: say {}", good.join(" or ")),
        )),
    }
}

async fn list(context: &Context, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "api_keys",
        [
            "KEY",
            "FOR",
            "ROLE",
            "STATE",
            "CREATED",
            "LAST USED",
            "ENDS",
        ],
    );
    let get = async |size, token| keys(context, &client, size, token).await;
    page::each(limit.limit, get, |keys| {
        listing.page(&keys, |key| {
            [
                human::short(&key.name),
                key.display_name.clone(),
                role(key.role()),
                state(key).into(),
                human::time(key.create_time.as_ref()),
                human::time(key.last_use_time.as_ref()),
                human::time(key.expire_time.as_ref()),
            ]
        })
    })
    .await?;
    listing.finish()
}

fn state(key: &Message) -> &'static str {
    let now = jiff::Timestamp::now().as_second();
    match (&key.revoke_time, &key.expire_time) {
        (Some(_), _) => "REVOKED",
        (None, Some(end)) if end.seconds <= now => "EXPIRED",
        (None, _) => "GOOD",
    }
}

fn details(key: &Message) -> Table {
    Table::fields()
        .field("Name", &key.name)
        .field("For", &key.display_name)
        .field("Role", role(key.role()))
        .field("State", state(key))
        .field("Created", human::time(key.create_time.as_ref()))
        .field("Last used", human::time(key.last_use_time.as_ref()))
        .field("Ends", human::time(key.expire_time.as_ref()))
        .field("Revoked", human::time(key.revoke_time.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_until_it_ends_or_is_revoked() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let state = |revoke_time, expire_time| {
            state(&Message {
                revoke_time,
                expire_time,
                ..Message::default()
            })
        };
        assert_eq!(state(None, None), "GOOD");
        assert_eq!(state(None, at(1)), "EXPIRED");
        assert_eq!(state(None, at(i64::MAX)), "GOOD");
        assert_eq!(state(at(1), at(1)), "REVOKED");
    }

    #[test]
    fn a_key_is_meant_by_its_id_or_by_what_it_is_for() {
        let key = |id: &str, text: &str, revoked: bool| Message {
            name: format!("projects/p/apiKeys/{id}"),
            display_name: text.into(),
            revoke_time: revoked.then_some(Timestamp::default()),
            ..Message::default()
        };
        let project = ProjectName::new("p").unwrap();
        let meant = |meant: &str, keys: Vec<Message>| match one_of(keys, meant, &project) {
            Ok(name) => human::last(&name).to_owned(),
            Err(failure) => failure.message().unwrap(),
        };
        let old = || key("k1", "truck", true);
        let new = || key("k2", "truck", false);
        assert_eq!(meant("truck", vec![old(), new()]), "k2");
        assert_eq!(meant("k1", vec![old()]), "k1");
        assert_eq!(
            meant("k3", vec![key("k4", "k3", false), key("k3", "", false)]),
            "k3"
        );
        let two = meant("truck", vec![new(), key("k5", "truck", false)]);
        assert!(two.contains("say k2 or k5"), "{two}");
        let none = meant("truck", vec![old()]);
        assert!(
            none.contains("API key \"truck\" in projects/p not found"),
            "{none}"
        );
    }

    #[test]
    fn a_lifetime_without_end_is_refused() {
        assert!(ends(Span(std::time::Duration::from_secs(60))).is_ok());
        assert!(ends(Span(std::time::Duration::MAX)).is_err());
    }
}
