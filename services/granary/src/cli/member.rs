//! `granary member`: who may do what in the project.

use granary_core::{Error, Violation};
use granary_proto::identity::v1::{
    CreateMemberRequest, DeleteMemberRequest, GetPrincipalRequest, ListMembersRequest,
    Member as Message, ProjectRole, UpdateMemberRequest,
};

use super::context::{Context, Limit};
use crate::{
    client::{Client, call, request_id},
    failure::{Failure, Outcome},
    human, names,
    output::{Listing, Table},
    page,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Member {
    /// Lists members and invitations
    List(Limit),
    /// Gives somebody a role: at once, or as an invitation that waits for who has an e-mail address
    Add {
        #[command(flatten)]
        who: Who,
        /// What the member may do
        #[arg(long, value_enum, value_name = "ROLE")]
        role: RoleFlag,
    },
    /// Changes the role of a member
    Update {
        /// MEMBER, its full name, its e-mail address or its subject
        member: String,
        /// What the member may do from now on
        #[arg(long, value_enum, value_name = "ROLE")]
        role: RoleFlag,
    },
    /// Removes a member, or withdraws an invitation
    Remove {
        /// MEMBER, its full name, its e-mail address or its subject
        member: String,
    },
    /// Leaves the project; the last owner cannot
    Leave,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    /// Invite whoever has this address, in a token whose issuer has verified it
    #[arg(
        long,
        value_name = "ADDRESS",
        required_unless_present = "subject",
        conflicts_with = "subject"
    )]
    email: Option<String>,
    /// The subject (`sub`) of the member's tokens
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// The issuer (`iss`) of the member's tokens [default: that of your own token]
    #[arg(long, value_name = "ISSUER", requires = "subject")]
    issuer: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RoleFlag {
    /// Members, API keys, and what editors may do
    Owner,
    /// Datasets, uploads, snapshots, pipelines, jobs, and what labelers may do
    Editor,
    /// Labels, and what viewers may do
    Labeler,
    /// Reads
    Viewer,
    /// Runs jobs: reads inputs, writes outputs
    Worker,
}

impl From<RoleFlag> for ProjectRole {
    fn from(flag: RoleFlag) -> Self {
        match flag {
            RoleFlag::Owner => Self::Owner,
            RoleFlag::Editor => Self::Editor,
            RoleFlag::Labeler => Self::Labeler,
            RoleFlag::Viewer => Self::Viewer,
            RoleFlag::Worker => Self::Worker,
        }
    }
}

impl Member {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List(limit) => list(context, limit).await,
            Self::Add { who, role } => add(context, who, role).await,
            Self::Update { member, role } => {
                let client = context.client().await?;
                let request = UpdateMemberRequest {
                    member: Some(Message {
                        name: find(context, &client, &member).await?,
                        role: ProjectRole::from(role).into(),
                        ..Message::default()
                    }),
                    update_mask: Some(prost_types::FieldMask {
                        paths: vec!["role".into()],
                    }),
                };
                context
                    .out
                    .item(&call!(client.members().update_member(request))?, details)
            }
            Self::Remove { member } => {
                let client = context.client().await?;
                let name = find(context, &client, &member).await?;
                call!(client.members().delete_member(DeleteMemberRequest { name }))?;
                context.out.note(&format!("{member} removed"));
                Ok(())
            }
            Self::Leave => {
                let client = context.client().await?;
                let project = context.project();
                let name = format!("{project}/members/me");
                call!(client.members().delete_member(DeleteMemberRequest { name }))?;
                context.out.note(&format!("you left {project}"));
                Ok(())
            }
        }
    }
}

async fn add(context: &Context, who: Who, role: RoleFlag) -> Outcome {
    let client = context.client().await?;
    let issuer = match (&who.subject, who.issuer) {
        (Some(_), None) => {
            let me = call!(
                client
                    .tokens()
                    .get_principal(GetPrincipalRequest::default())
            )?;
            me.issuer
        }
        (_, issuer) => issuer.unwrap_or_default(),
    };
    let request = CreateMemberRequest {
        parent: context.project().to_string(),
        member: Some(Message {
            role: ProjectRole::from(role).into(),
            issuer,
            subject: who.subject.unwrap_or_default(),
            email: who.email.unwrap_or_default(),
            ..Message::default()
        }),
        request_id: request_id(),
    };
    let added = call!(client.members().create_member(request)).map_err(by_flag)?;
    context.out.item(&added, details)
}

/// What is wrong with the member, by the flags that say who it is.
fn by_flag(error: Error) -> Error {
    let Error::Invalid(violations) = error else {
        return error;
    };
    let flag = |violation: Violation| match violation.field.strip_prefix("member.") {
        Some(field) => Violation {
            field: format!("--{field}"),
            ..violation
        },
        None => violation,
    };
    Error::Invalid(violations.into_iter().map(flag).collect())
}

async fn members(
    context: &Context,
    client: &Client,
    size: i32,
    token: String,
) -> Outcome<(Vec<Message>, String)> {
    let request = ListMembersRequest {
        parent: context.project().to_string(),
        page_size: size,
        page_token: token,
    };
    let response = call!(client.members().list_members(request))?;
    Ok((response.members, response.next_page_token))
}

/// The name of the member that somebody means.
async fn find(context: &Context, client: &Client, who: &str) -> Outcome<String> {
    if who.starts_with("projects/") {
        let name = names::member(context.project(), who).map_err(Failure::usage)?;
        return Ok(name.to_string());
    }
    let mut found = Vec::new();
    let get = async |size, token| members(context, client, size, token).await;
    page::each(None, get, |members: Vec<Message>| {
        found.extend(
            members
                .into_iter()
                .filter(|m| means(who, m))
                .map(|m| m.name),
        );
        Ok::<_, Failure>(())
    })
    .await?;
    match <[String; 1]>::try_from(found) {
        Ok([name]) => Ok(name),
        Err(found) if found.is_empty() => {
            Err(Error::not_found(format!("{who} in {}", context.project())).into())
        }
        Err(found) => {
            let ids: Vec<_> = found.iter().map(|name| human::last(name)).collect();
            let expected = format!("several members are called that: say {}", ids.join(" or "));
            Err(Failure::flag("member", expected))
        }
    }
}

fn means(who: &str, member: &Message) -> bool {
    human::last(&member.name) == who
        || member.subject == who
        || (!member.email.is_empty() && member.email.eq_ignore_ascii_case(who))
}

async fn list(context: &Context, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "members",
        [
            "MEMBER", "ROLE", "STATE", "E-MAIL", "SUBJECT", "ISSUER", "ADDED",
        ],
    );
    let get = async |size, token| members(context, &client, size, token).await;
    page::each(limit.limit, get, |members| {
        listing.page(&members, |member| {
            [
                human::short(&member.name),
                role(member.role()),
                state(member),
                member.email.clone(),
                member.subject.clone(),
                member.issuer.clone(),
                human::time(member.create_time.as_ref()),
            ]
        })
    })
    .await?;
    listing.finish()
}

/// A role as it is written on the command line.
pub(super) fn role(role: ProjectRole) -> String {
    human::state(role.as_str_name(), "PROJECT_ROLE").to_lowercase()
}

fn state(member: &Message) -> String {
    human::state(member.state().as_str_name(), "MEMBER_STATE").into()
}

fn details(member: &Message) -> Table {
    Table::fields()
        .field("Name", &member.name)
        .field("Role", role(member.role()))
        .field("State", state(member))
        .field("E-mail", &member.email)
        .field("Subject", &member.subject)
        .field("Issuer", &member.issuer)
        .field("Added", human::time(member.create_time.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_meant_by_its_id_its_address_or_its_subject() {
        let member = Message {
            name: "projects/p/members/m1".into(),
            subject: "auth0|7".into(),
            email: "Bob@example.org".into(),
            ..Message::default()
        };
        for who in ["m1", "auth0|7", "bob@EXAMPLE.org"] {
            assert!(means(who, &member), "{who}");
        }
        for who in ["m", "bob", "AUTH0|7"] {
            assert!(!means(who, &member), "{who}");
        }
    }
}
