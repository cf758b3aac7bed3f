//! Members of projects.

use granary_core::{
    Result,
    name::{MemberName, ProjectName},
};
use granary_runtime::db::sql::{Row, Sql, values};
use sea_orm::ConnectionTrait;

use crate::role::Role;

/// Whom a token stands for, everywhere: the subject of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub issuer: String,
    pub subject: String,
}

/// A member as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub name: MemberName,
    pub role: Role,
    /// None while it is an invitation.
    pub who: Option<Identity>,
    /// The e-mail address as it was written, or empty.
    pub email: String,
    pub revision: i64,
    pub created: i64,
    pub updated: i64,
}

/// An e-mail address as addresses are compared; none if there is none. Only ASCII has case here: beyond it there are letters that fold into
/// others, and somebody could come with an address that only looks like the invited one.
pub(crate) fn address(email: &str) -> Option<String> {
    (!email.is_empty()).then(|| email.to_ascii_lowercase())
}

fn read(row: &mut Row) -> Result<Member> {
    let name = MemberName {
        project: row.get()?,
        member: row.get()?,
    };
    let role = row.get::<String>()?.parse()?;
    let who = (row.get()?, row.get()?);
    Ok(Member {
        name,
        role,
        who: match who {
            (Some(issuer), Some(subject)) => Some(Identity { issuer, subject }),
            _ => None,
        },
        email: row.get()?,
        revision: row.get()?,
        created: row.get()?,
        updated: row.get()?,
    })
}

const MEMBERS: &str = "SELECT project, member, role, issuer, subject, email, revision, created, updated FROM members WHERE ";

/// The member, if it is there.
pub(crate) async fn get(on: &impl ConnectionTrait, name: &MemberName) -> Result<Option<Member>> {
    let mut sql = Sql::new(on.get_database_backend(), MEMBERS);
    sql.push("project = ").bind(name.project.as_str());
    sql.push(" AND member = ").bind(name.member.as_str());
    sql.first(on, read).await
}

/// The member that a principal is in a project.
pub(crate) async fn of(
    on: &impl ConnectionTrait,
    project: &ProjectName,
    who: &Identity,
) -> Result<Option<Member>> {
    let mut sql = Sql::new(on.get_database_backend(), MEMBERS);
    sql.push("issuer = ").bind(who.issuer.as_str());
    sql.push(" AND subject = ").bind(who.subject.as_str());
    sql.push(" AND project = ").bind(project.project.as_str());
    sql.first(on, read).await
}

/// The member or invitation of an address in a project.
pub(crate) async fn at(
    on: &impl ConnectionTrait,
    project: &ProjectName,
    address: &str,
) -> Result<Option<Member>> {
    let mut sql = Sql::new(on.get_database_backend(), MEMBERS);
    sql.push("address = ").bind(address);
    sql.push(" AND project = ").bind(project.project.as_str());
    sql.first(on, read).await
}

/// Up to `limit` members of a project after `last`. Ids sort by the time at which they were made.
pub(crate) async fn list(
    on: &impl ConnectionTrait,
    project: &ProjectName,
    last: &str,
    limit: u32,
) -> Result<Vec<Member>> {
    let mut sql = Sql::new(on.get_database_backend(), MEMBERS);
    sql.push("project = ").bind(project.project.as_str());
    sql.push(" AND member > ").bind(last);
    sql.push(" ORDER BY member LIMIT ").bind(i64::from(limit));
    sql.all(on, read).await
}

/// How many members and invitations a project has.
pub(crate) async fn count(on: &impl ConnectionTrait, project: &ProjectName) -> Result<i64> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT COUNT(*) FROM members WHERE project = ",
    );
    sql.bind(project.project.as_str());
    Ok(sql.first(on, Row::get).await?.unwrap_or(0))
}

/// Whether a project has an owner besides this member: one that can log in.
pub(crate) async fn has_other_owner(on: &impl ConnectionTrait, name: &MemberName) -> Result<bool> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT member FROM members WHERE role = 'owner' AND subject IS NOT NULL AND project = ",
    );
    sql.bind(name.project.as_str());
    sql.push(" AND member <> ").bind(name.member.as_str());
    sql.push(" LIMIT 1");
    Ok(sql.first(on, Row::get::<String>).await?.is_some())
}

/// Adds a member.
pub(crate) async fn insert(on: &impl ConnectionTrait, member: &Member) -> Result<()> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "INSERT INTO members (project, member, role, issuer, subject, email, address, revision, created, updated) VALUES ",
    );
    let who = member.who.as_ref();
    sql.tuple(values![
        member.name.project.as_str(),
        member.name.member.as_str(),
        member.role.as_str(),
        who.map(|who| who.issuer.clone()),
        who.map(|who| who.subject.clone()),
        member.email.as_str(),
        address(&member.email),
        member.revision,
        member.created,
        member.updated,
    ]);
    sql.run(on).await.map(drop)
}

/// Stores what can change of a member.
pub(crate) async fn update(on: &impl ConnectionTrait, member: &Member) -> Result<()> {
    let who = member.who.as_ref();
    let mut sql = Sql::new(on.get_database_backend(), "UPDATE members SET role = ");
    sql.bind(member.role.as_str());
    sql.push(", issuer = ")
        .bind(who.map(|who| who.issuer.clone()));
    sql.push(", subject = ")
        .bind(who.map(|who| who.subject.clone()));
    sql.push(", revision = ").bind(member.revision);
    sql.push(", updated = ").bind(member.updated);
    sql.push(" WHERE project = ")
        .bind(member.name.project.as_str());
    sql.push(" AND member = ").bind(member.name.member.as_str());
    sql.run(on).await.map(drop)
}

/// Removes a member.
pub(crate) async fn delete(on: &impl ConnectionTrait, name: &MemberName) -> Result<()> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "DELETE FROM members WHERE project = ",
    );
    sql.bind(name.project.as_str());
    sql.push(" AND member = ").bind(name.member.as_str());
    sql.run(on).await.map(drop)
}

/// The roles of a principal in up to `limit` projects, by project.
pub(crate) async fn roles(
    on: &impl ConnectionTrait,
    who: &Identity,
    limit: u32,
) -> Result<Vec<(ProjectName, Role)>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT project, role FROM members WHERE issuer = ",
    );
    sql.bind(who.issuer.as_str());
    sql.push(" AND subject = ").bind(who.subject.as_str());
    sql.push(" ORDER BY project LIMIT ").bind(i64::from(limit));
    let role = |row: &mut Row| {
        let project = ProjectName {
            project: row.get()?,
        };
        Ok((project, row.get::<String>()?.parse()?))
    };
    sql.all(on, role).await
}

/// Up to `limit` projects in which an invitation waits for an address.
pub(crate) async fn invitations(
    on: &impl ConnectionTrait,
    address: &str,
    limit: u32,
) -> Result<Vec<ProjectName>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT project FROM members WHERE subject IS NULL AND address = ",
    );
    sql.bind(address)
        .push(" ORDER BY project LIMIT ")
        .bind(i64::from(limit));
    let project = |row: &mut Row| {
        Ok(ProjectName {
            project: row.get()?,
        })
    };
    sql.all(on, project).await
}
