//! `granary token`: who the caller is, and tokens for others.

use granary_core::units::Span;
use granary_proto::{
    convert::wire_duration,
    identity::v1::{CreateTokenRequest, GetPrincipalRequest, Principal, Role, RoleInProject},
};

use super::{context::Context, member::role};
use crate::{client::call, failure::Outcome, human, output::Table};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Token {
    /// Issues a token of an embedded server, for a machine, and prints it; it cannot be shown again
    Create {
        /// Whom it is for
        subject: String,
        /// What it may do in all projects [default: only what projects allow it as a member]
        #[arg(long, value_enum, value_name = "ROLE")]
        role: Option<RoleFlag>,
        /// How long it is valid, at most 30d
        #[arg(long, value_name = "DURATION", default_value = "1h")]
        lifetime: Span,
    },
    /// Says who the token in use stands for, and its roles
    Whoami,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RoleFlag {
    /// Everything
    Administrator,
    /// Pulls jobs, reads their inputs and writes their outputs
    Worker,
}

impl Token {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let client = context.client().await?;
        match self {
            Self::Create {
                subject,
                role,
                lifetime: Span(lifetime),
            } => {
                let everywhere = match role {
                    None => Role::Unspecified,
                    Some(RoleFlag::Administrator) => Role::Administrator,
                    Some(RoleFlag::Worker) => Role::Worker,
                };
                let request = CreateTokenRequest {
                    subject,
                    role: everywhere.into(),
                    lifetime: Some(wire_duration(lifetime)),
                };
                let answer = call!(client.tokens().create_token(request))?;
                if !context.out.is_table() {
                    return context
                        .out
                        .document(&granary_proto::json::to_json(&answer)?);
                }
                // Alone on its line, to be taken by a script.
                context.out.note(&format!(
                    "valid until {}",
                    human::time(answer.expire_time.as_ref())
                ));
                context.out.line(&answer.token)
            }
            Self::Whoami => {
                let request = GetPrincipalRequest {
                    with_projects: true,
                };
                let principal = call!(client.tokens().get_principal(request))?;
                context.out.item(&principal, details)
            }
        }
    }
}

fn details(principal: &Principal) -> Table {
    Table::fields()
        .field("Subject", &principal.subject)
        .field(
            "Role",
            match principal.role() {
                Role::Unspecified => "as projects give it".to_owned(),
                role => human::state(role.as_str_name(), "ROLE").to_lowercase(),
            },
        )
        .field("Projects", projects(&principal.projects))
        .field("Issuer", &principal.issuer)
        .field("E-mail", &principal.email)
        .field("Valid until", human::time(principal.expire_time.as_ref()))
}

/// Such as `sleep-lab (owner), default (viewer)`.
fn projects(roles: &[RoleInProject]) -> String {
    let one =
        |place: &RoleInProject| format!("{} ({})", human::last(&place.project), role(place.role()));
    roles.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use granary_proto::identity::v1::ProjectRole;

    use super::*;

    #[test]
    fn roles_are_said_by_project() {
        let place = |project: &str, role: ProjectRole| RoleInProject {
            project: format!("projects/{project}"),
            role: role.into(),
        };
        let roles = [
            place("a", ProjectRole::Owner),
            place("b", ProjectRole::Viewer),
        ];
        assert_eq!(projects(&roles), "a (owner), b (viewer)");
        assert_eq!(projects(&[]), "");
    }
}
