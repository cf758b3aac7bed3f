//! `granary project`: tenants.

use granary_proto::metadata::v1::{
    CreateProjectRequest, GetProjectRequest, ListProjectsRequest, Project as Message,
};

use super::{
    context::{Context, Limit},
    quota, usage,
};
use crate::{
    client::{call, request_id},
    failure::{Failure, Outcome},
    human, names,
    output::{Listing, Table},
    page,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Project {
    /// Lists projects
    List(Limit),
    /// Shows a project
    Get {
        /// PROJECT or its full name; the current one if not given
        project: Option<String>,
    },
    /// Creates a project
    Create {
        /// Its id: 1 to 63 of a-z, 0-9 and `-`, starting with a letter
        project: String,
        /// A name for people
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        display_name: String,
    },
    /// Lists what a project used, by day; with `--output csv` in exact numbers, for bills
    Usage(usage::Usage),
    /// How much a project may hold, call and run
    #[command(subcommand)]
    Quota(quota::Quota),
}

impl Project {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List(limit) => list(context, limit).await,
            Self::Usage(usage) => usage.run(context).await,
            Self::Quota(quota) => quota.run(context).await,
            Self::Get { project } => {
                let name = match project {
                    Some(project) => names::project(&project).map_err(Failure::usage)?,
                    None => context.project().clone(),
                };
                let client = context.client().await?;
                let project = call!(client.projects().get_project(GetProjectRequest {
                    name: name.to_string()
                }))?;
                context.out.item(&project, details)
            }
            Self::Create {
                project,
                display_name,
            } => {
                let client = context.client().await?;
                let request = CreateProjectRequest {
                    project: Some(Message {
                        display_name,
                        ..Message::default()
                    }),
                    project_id: project,
                    request_id: request_id(),
                };
                context
                    .out
                    .item(&call!(client.projects().create_project(request))?, details)
            }
        }
    }
}

async fn list(context: &Context, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let mut listing = Listing::new(
        &context.out,
        "projects",
        ["PROJECT", "DISPLAY NAME", "CREATED"],
    );
    let get = async |page_size, page_token| {
        let response = call!(client.projects().list_projects(ListProjectsRequest {
            page_size,
            page_token
        }))?;
        Ok::<_, Failure>((response.projects, response.next_page_token))
    };
    page::each(limit.limit, get, |projects| {
        listing.page(&projects, |p| {
            [
                human::short(&p.name),
                p.display_name.clone(),
                human::time(p.create_time.as_ref()),
            ]
        })
    })
    .await?;
    listing.finish()
}

fn details(project: &Message) -> Table {
    Table::fields()
        .field("Name", &project.name)
        .field("Display name", &project.display_name)
        .field("Created", human::time(project.create_time.as_ref()))
}
