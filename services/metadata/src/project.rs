//! Projects.

use granary_core::{Error, Result, name::ProjectName};

use crate::{
    Context,
    lane::Lane,
    member,
    role::Role,
    store::{
        dataset::{self as store, Project},
        member::Identity,
        page::{self, Page},
        request,
        unit::Unit,
    },
};

const METHOD: &str = "CreateProject";

/// A project to create.
pub(crate) struct NewProject {
    pub name: ProjectName,
    pub display_name: String,
    /// Who creates it, and so owns it, with the address that the issuer has verified, if any.
    pub owner: (Identity, String),
    pub request: Option<String>,
}

/// Which projects somebody sees.
pub(crate) enum Seen {
    All,
    /// Those where this principal is a member.
    Of(Identity),
    /// That of an API key, or none if the key is good no more.
    One(Option<ProjectName>),
}

/// Makes the project `default` if it is missing.
pub(crate) async fn ensure_default(context: &Context) -> Result<()> {
    let name = ProjectName::new("default")?;
    if store::project(context.db.reader(), &name).await?.is_some() {
        return Ok(());
    }
    let unit = Unit::begin(context).await?;
    let project = Project {
        name,
        display_name: "Default".into(),
        created: unit.now,
    };
    add(&unit, &project).await?;
    unit.commit(context).await
}

/// Creates a project.
pub(crate) async fn create(lane: &Lane, new: NewProject) -> Result<Project> {
    lane.write(move |unit| Box::pin(create_in(unit, new))).await
}

async fn create_in(unit: &Unit, new: NewProject) -> Result<Project> {
    // Of no project yet.
    let key = new.request.map(|id| (String::new(), METHOD, id));
    let earlier = request::earlier(unit, key.as_ref(), &new.name.to_string()).await?;
    if let Some(found) = store::project(&unit.tx, &new.name).await? {
        return if earlier.is_some() {
            Ok(found)
        } else {
            Err(Error::already_exists(&new.name, ""))
        };
    }
    let project = Project {
        name: new.name,
        display_name: new.display_name,
        created: unit.now,
    };
    add(unit, &project).await?;
    let (owner, email) = new.owner;
    let name = project.name.clone();
    member::add(unit, name, Role::Owner, Some(owner), email).await?;
    request::remember(
        unit,
        key.map(|key| (key, project.name.to_string())).as_slice(),
    )
    .await?;
    Ok(project)
}

async fn add(unit: &Unit, project: &Project) -> Result<()> {
    if store::insert_project(&unit.tx, project).await? {
        unit.emit(&project.name.project, "project.created", &project.name);
    }
    Ok(())
}

/// The project.
pub(crate) async fn get(context: &Context, name: &ProjectName) -> Result<Project> {
    store::project(context.db.reader(), name)
        .await?
        .ok_or_else(|| Error::not_found(name))
}

/// A page of projects by name.
pub(crate) async fn list<M: prost::Message>(
    context: &Context,
    seen: &Seen,
    size: u32,
    last: Option<String>,
    wire: impl Fn(Project) -> M,
) -> Result<Page<M, String>> {
    let wire = &wire;
    page::read(size, last, move |last: Option<String>, limit| async move {
        let (reader, last) = (context.db.reader(), last.as_deref().unwrap_or_default());
        let rows = match seen {
            Seen::All => store::projects(reader, last, limit).await?,
            Seen::Of(who) => store::projects_of(reader, who, last, limit).await?,
            Seen::One(Some(name)) if name.project.as_str() > last => {
                store::project(reader, name).await?.into_iter().collect()
            }
            Seen::One(_) => Vec::new(),
        };
        Ok(rows
            .into_iter()
            .map(|p| (p.name.project.clone(), wire(p)))
            .collect())
    })
    .await
}
