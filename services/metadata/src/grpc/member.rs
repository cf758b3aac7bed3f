//! MemberService.

use std::sync::Arc;

use granary_core::{
    Error, Result,
    name::{ApiKeyName, quote},
};
use granary_proto::identity::v1::{
    CreateMemberRequest, DeleteMemberRequest, GetMemberRequest, ListMembersRequest,
    ListMembersResponse, Member as WireMember, MemberState, ProjectRole, UpdateMemberRequest,
    member_service_server::MemberService,
};
use granary_runtime::{
    auth,
    rpc::{caller, required},
};
use tonic::{Request, Response, Status};

use super::{identity, name, paged, paging, reply, time};
use crate::{
    Context, check,
    lane::Lane,
    member::{self, Change, Named, NewMember},
    role::Role,
    store::{
        member::{Identity, Member},
        request,
    },
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub lane: Lane,
    /// The issuer of the tokens of API keys.
    pub own: String,
    /// Those of whom members can be.
    pub issuers: Arc<[String]>,
}

/// A role on the wire.
pub(super) fn wire_role(role: Role) -> ProjectRole {
    match role {
        Role::Owner => ProjectRole::Owner,
        Role::Editor => ProjectRole::Editor,
        Role::Labeler => ProjectRole::Labeler,
        Role::Viewer => ProjectRole::Viewer,
        Role::Worker => ProjectRole::Worker,
    }
}

/// A role from the wire, which must be set.
pub(super) fn parse_role(field: &str, role: i32) -> Result<Role> {
    match ProjectRole::try_from(role) {
        Ok(ProjectRole::Owner) => Ok(Role::Owner),
        Ok(ProjectRole::Editor) => Ok(Role::Editor),
        Ok(ProjectRole::Labeler) => Ok(Role::Labeler),
        Ok(ProjectRole::Viewer) => Ok(Role::Viewer),
        Ok(ProjectRole::Worker) => Ok(Role::Worker),
        Ok(ProjectRole::Unspecified) => Err(Error::invalid(field, "is required")),
        Err(_) => Err(Error::invalid(
            field,
            format!("expected a role in a project, got {role}"),
        )),
    }
}

fn wire(member: Member) -> WireMember {
    let state = match member.who {
        Some(_) => MemberState::Active,
        None => MemberState::Invited,
    };
    let etag = member.etag();
    let (issuer, subject) = member
        .who
        .map(|who| (who.issuer, who.subject))
        .unwrap_or_default();
    WireMember {
        name: member.name.to_string(),
        role: wire_role(member.role).into(),
        issuer,
        subject,
        email: member.email,
        state: state.into(),
        create_time: time(member.created),
        etag,
    }
}

/// An address that somebody can have: one `@` between a local part and a domain, and nothing that does not show.
fn check_email(email: &str) -> Result<()> {
    check::text("member.email", email, 254)?;
    let parts = email.split_once('@');
    let plain = !email.contains(|c: char| c.is_whitespace() || c.is_control());
    match parts {
        Some((local, domain))
            if plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') =>
        {
            Ok(())
        }
        _ => Err(Error::invalid(
            "member.email",
            format!("expected an e-mail address, got {}", quote(email)),
        )),
    }
}

impl Handler {
    fn parse(&self, request: CreateMemberRequest) -> Result<NewMember> {
        let member = required("member", request.member)?;
        Ok(NewMember {
            project: name("parent", &request.parent)?,
            role: parse_role("member.role", member.role)?,
            who: self.parse_who(&member)?,
            email: member.email,
            request: request::parse(&request.request_id)?,
        })
    }

    /// The principal; none for an invitation.
    fn parse_who(&self, member: &WireMember) -> Result<Option<Identity>> {
        let (issuer, subject) = (member.issuer.as_str(), member.subject.as_str());
        match (
            issuer.is_empty(),
            subject.is_empty(),
            member.email.is_empty(),
        ) {
            (true, true, false) => {
                check_email(&member.email)?;
                return self.check_invitations().map(|()| None);
            }
            (false, false, true) => {}
            (true, false, true) => {
                return Err(Error::invalid(
                    "member.issuer",
                    "is required beside subject",
                ));
            }
            (false, true, true) => {
                return Err(Error::invalid(
                    "member.subject",
                    "is required beside issuer",
                ));
            }
            _ => {
                return Err(Error::invalid(
                    "member",
                    "expected either issuer and subject, or an email to invite",
                ));
            }
        }
        check::text("member.issuer", issuer, 512)?;
        check::text("member.subject", subject, 256)?;
        if issuer == self.own && ApiKeyName::parse(subject).is_ok() {
            return Err(Error::invalid(
                "member.subject",
                "an API key has the role that it was made with, in its own project, and is no member",
            ));
        }
        self.check_issuer(issuer)?;
        Ok(Some(Identity {
            issuer: issuer.into(),
            subject: subject.into(),
        }))
    }

    /// Fails for an issuer whose tokens never get in here.
    fn check_issuer(&self, issuer: &str) -> Result<()> {
        if self.issuers.iter().any(|trusted| trusted == issuer) {
            return Ok(());
        }
        let trusted = self.issuers.join(", ");
        let got = quote(issuer);
        Err(Error::invalid(
            "member.issuer",
            format!(
                "expected an issuer whose tokens this server trusts ({trusted}), exactly as its settings name it, got {got}"
            ),
        ))
    }

    /// Fails where nobody can come with an address.
    fn check_invitations(&self) -> Result<()> {
        if self.issuers.iter().any(|issuer| *issuer != self.own) {
            return Ok(());
        }
        Err(Error::invalid(
            "member.email",
            "nobody could take this invitation: the tokens of this server's own issuer have no address; name the subject, or have the server \
             trust an issuer that gives addresses (`granary serve --oidc-issuer`)",
        ))
    }
}

fn parse_change(request: UpdateMemberRequest) -> Result<Change> {
    let member = required("member", request.member)?;
    let mask = request.update_mask.unwrap_or_default().paths;
    if let Some(path) = mask
        .iter()
        .find(|path| !matches!(path.as_str(), "role" | "*"))
    {
        return Err(Error::invalid(
            "update_mask",
            format!(
                "expected role, which is all that can change, got {}",
                quote(path)
            ),
        ));
    }
    Ok(Change {
        name: name("member.name", &member.name)?,
        role: parse_role("member.role", member.role)?,
        etag: member.etag,
    })
}

fn named(field: &str, text: &str, caller: &auth::Caller) -> Result<Named> {
    Ok(Named {
        name: name(field, text)?,
        caller: identity(caller.author()),
    })
}

#[tonic::async_trait]
impl MemberService for Handler {
    async fn create_member(
        &self,
        request: Request<CreateMemberRequest>,
    ) -> Result<Response<WireMember>, Status> {
        reply(async {
            let new = self.parse(request.into_inner())?;
            Ok(wire(member::create(&self.lane, new).await?))
        })
        .await
    }

    async fn get_member(
        &self,
        request: Request<GetMemberRequest>,
    ) -> Result<Response<WireMember>, Status> {
        let caller = caller(&request)?;
        reply(async {
            let named = named("name", &request.get_ref().name, &caller)?;
            Ok(wire(member::get(&self.context, named).await?))
        })
        .await
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let parent = name("parent", &request.parent)?;
            let question = ["ListMembers", &request.parent];
            let (size, last) = paging(&question, request.page_size, &request.page_token)?;
            let page = member::list(&self.context, &parent, size, last, wire).await?;
            let (members, next_page_token) = paged(&question, page)?;
            Ok(ListMembersResponse {
                members,
                next_page_token,
            })
        })
        .await
    }

    async fn update_member(
        &self,
        request: Request<UpdateMemberRequest>,
    ) -> Result<Response<WireMember>, Status> {
        reply(async {
            let change = parse_change(request.into_inner())?;
            Ok(wire(member::update(&self.lane, change).await?))
        })
        .await
    }

    async fn delete_member(
        &self,
        request: Request<DeleteMemberRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = caller(&request)?;
        let rules = matches!(
            caller.role,
            Some(auth::Role::Administrator | auth::Role::Owner)
        );
        reply(async {
            let named = named("name", &request.get_ref().name, &caller)?;
            member::delete(&self.lane, named, rules).await
        })
        .await
    }
}
