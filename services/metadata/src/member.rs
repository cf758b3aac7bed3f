//! Members of projects. Who is one changes in units, of which only one goes on at a time: a project that has an owner keeps one, whoever
//! leaves at the same moment.

use granary_core::{
    Error, Result, id,
    name::{MemberName, ProjectName},
};

use crate::{
    Context,
    lane::Lane,
    project,
    role::Role,
    store::{
        dataset as projects,
        member::{self as store, Identity, Member},
        page::{self, Page},
        request::{self, Key},
        unit::Unit,
    },
};

const METHOD: &str = "CreateMember";
/// The most members and invitations of a project.
const MOST: i64 = 10_000;

/// A member to add: a principal, or an invitation for an e-mail address.
pub(crate) struct NewMember {
    pub project: ProjectName,
    pub role: Role,
    pub who: Option<Identity>,
    pub email: String,
    pub request: Option<String>,
}

/// A change of a member.
pub(crate) struct Change {
    pub name: MemberName,
    pub role: Role,
    /// What the caller believes to be current, or empty.
    pub etag: String,
}

/// One who is named by a name, or as the caller: the member `me`.
pub(crate) struct Named {
    pub name: MemberName,
    pub caller: Identity,
}

impl Member {
    /// Changes with each change.
    pub(crate) fn etag(&self) -> String {
        format!("{}-{}", self.revision, self.updated)
    }

    /// Whether it is one of those that a project must not lose the last of.
    fn rules(&self) -> bool {
        self.role == Role::Owner && self.who.is_some()
    }
}

/// Adds a member.
pub(crate) async fn create(lane: &Lane, new: NewMember) -> Result<Member> {
    lane.write(move |unit| Box::pin(create_in(unit, new)))
        .await?
}

// A limit that is reached is the answer to this write, not a fault of the transaction: hence the inner result.
async fn create_in(unit: &Unit, new: NewMember) -> Result<Result<Member>> {
    let key = new
        .request
        .clone()
        .map(|id| (new.project.project.clone(), METHOD, id));
    if let Some(found) = earlier(unit, key.as_ref(), &new).await? {
        return Ok(Ok(found));
    }
    if projects::project(&unit.tx, &new.project).await?.is_none() {
        return Err(Error::not_found(new.project));
    }
    if let Some(found) = known(unit, &new).await? {
        let reason = format!("with the role {}", found.role.as_str());
        return Err(Error::already_exists(&found.name, reason));
    }
    if store::count(&unit.tx, &new.project).await? >= MOST {
        return Ok(Err(Error::Exhausted {
            reason: format!("{} has {MOST} members: remove some first", new.project),
            retry_after: None,
            quota_of: None,
        }));
    }
    let member = add(unit, new.project, new.role, new.who, new.email).await?;
    let request = key.map(|key| (key, member.name.to_string()));
    request::remember(unit, request.as_slice()).await?;
    Ok(Ok(member))
}

/// Adds a member that is known to be none yet.
pub(crate) async fn add(
    unit: &Unit,
    project: ProjectName,
    role: Role,
    who: Option<Identity>,
    email: String,
) -> Result<Member> {
    let member = Member {
        name: MemberName::new(project.project, id::new("m"))?,
        role,
        who,
        email,
        revision: 1,
        created: unit.now,
        updated: unit.now,
    };
    store::insert(&unit.tx, &member).await?;
    unit.emit(&member.name.project, "member.added", &member.name);
    Ok(member)
}

/// The member that the same request made before.
async fn earlier(unit: &Unit, key: Option<&Key>, new: &NewMember) -> Result<Option<Member>> {
    let Some(key) = key else { return Ok(None) };
    let answered = request::answered(&unit.tx, std::slice::from_ref(key)).await?;
    let Some(resource) = answered.get(key) else {
        return Ok(None);
    };
    let name = MemberName::parse(resource)?;
    let found = store::get(&unit.tx, &name)
        .await?
        .ok_or_else(|| Error::not_found(&name))?;
    let alike = match &new.who {
        Some(who) => found.who.as_ref() == Some(who),
        None => store::address(&found.email) == store::address(&new.email),
    };
    if alike {
        Ok(Some(found))
    } else {
        Err(request::reused(&key.2, resource))
    }
}

/// The member that a new one would be, if it is one already.
async fn known(unit: &Unit, new: &NewMember) -> Result<Option<Member>> {
    if let Some(who) = &new.who {
        return store::of(&unit.tx, &new.project, who).await;
    }
    match store::address(&new.email) {
        Some(address) => store::at(&unit.tx, &new.project, &address).await,
        None => Ok(None),
    }
}

/// The member.
pub(crate) async fn get(context: &Context, named: Named) -> Result<Member> {
    let reader = context.db.reader();
    let found = if named.is_me() {
        store::of(reader, &named.name.parent(), &named.caller).await?
    } else {
        store::get(reader, &named.name).await?
    };
    found.ok_or_else(|| Error::not_found(&named.name))
}

/// A page of the members of a project, oldest first.
pub(crate) async fn list<M: prost::Message>(
    context: &Context,
    project: &ProjectName,
    size: u32,
    last: Option<String>,
    wire: impl Fn(Member) -> M,
) -> Result<Page<M, String>> {
    project::get(context, project).await?;
    let wire = &wire;
    page::read(size, last, move |last: Option<String>, limit| async move {
        let last = last.as_deref().unwrap_or_default();
        let rows = store::list(context.db.reader(), project, last, limit).await?;
        Ok(rows
            .into_iter()
            .map(|m| (m.name.member.clone(), wire(m)))
            .collect())
    })
    .await
}

/// Changes the role of a member.
pub(crate) async fn update(lane: &Lane, change: Change) -> Result<Member> {
    lane.write(move |unit| Box::pin(update_in(unit, change)))
        .await
}

async fn update_in(unit: &Unit, change: Change) -> Result<Member> {
    let found = store::get(&unit.tx, &change.name).await?;
    let mut member = found.ok_or_else(|| Error::not_found(&change.name))?;
    if !change.etag.is_empty() && change.etag != member.etag() {
        return Err(Error::Aborted {
            resource: member.name.to_string(),
            reason: "the etag is no longer current".into(),
        });
    }
    if member.role == change.role {
        return Ok(member);
    }
    keep_an_owner(unit, &member).await?;
    member.role = change.role;
    changed(unit, member).await
}

/// Removes a member: those who rule the project remove anybody, others only themselves.
pub(crate) async fn delete(lane: &Lane, named: Named, rules: bool) -> Result<()> {
    lane.write(move |unit| Box::pin(delete_in(unit, named, rules)))
        .await
}

async fn delete_in(unit: &Unit, named: Named, rules: bool) -> Result<()> {
    let found = if named.is_me() {
        store::of(&unit.tx, &named.name.parent(), &named.caller).await?
    } else {
        store::get(&unit.tx, &named.name).await?
    };
    let own = |member: &Member| member.who.as_ref() == Some(&named.caller);
    if !rules && !named.is_me() && !found.as_ref().is_some_and(own) {
        return Err(Error::Denied {
            reason: "only owners remove other members; leave by removing the member `me`".into(),
        });
    }
    let member = found.ok_or_else(|| Error::not_found(&named.name))?;
    keep_an_owner(unit, &member).await?;
    store::delete(&unit.tx, &member.name).await?;
    unit.emit(&member.name.project, "member.removed", &member.name);
    Ok(())
}

impl Named {
    fn is_me(&self) -> bool {
        self.name.member == "me"
    }
}

/// Fails if the project would have no owner without this one.
async fn keep_an_owner(unit: &Unit, member: &Member) -> Result<()> {
    if !member.rules() || store::has_other_owner(&unit.tx, &member.name).await? {
        return Ok(());
    }
    Err(Error::precondition(
        &member.name,
        "it is the last owner of the project: make another member an owner first",
    ))
}

async fn changed(unit: &Unit, mut member: Member) -> Result<Member> {
    member.revision += 1;
    member.updated = unit.now;
    store::update(&unit.tx, &member).await?;
    unit.emit(&member.name.project, "member.changed", &member.name);
    Ok(member)
}

/// Gives the invitation of an address to a principal, if it still waits; says which role the principal then has in the project.
pub(crate) async fn accept(
    lane: &Lane,
    project: ProjectName,
    who: Identity,
    address: String,
) -> Result<Option<Role>> {
    lane.write(move |unit| Box::pin(accept_in(unit, project, who, address)))
        .await
}

async fn accept_in(
    unit: &Unit,
    project: ProjectName,
    who: Identity,
    address: String,
) -> Result<Option<Role>> {
    if let Some(member) = store::of(&unit.tx, &project, &who).await? {
        return Ok(Some(member.role));
    }
    match store::at(&unit.tx, &project, &address).await? {
        Some(invitation) if invitation.who.is_none() => {
            let member = Member {
                who: Some(who),
                ..invitation
            };
            Ok(Some(changed(unit, member).await?.role))
        }
        _ => Ok(None),
    }
}
