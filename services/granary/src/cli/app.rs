//! `granary app`: the catalogue of what jobs can run.

use std::path::PathBuf;

use granary_core::Error;
use granary_proto::job::v1::{
    ApplyCatalogRequest, ApplyCatalogResponse, Entrypoint, GetEntrypointRequest,
    ListEntrypointsRequest,
};
use serde_json::{Map, Value as Json};

use super::context::{Context, Limit};
use crate::{
    catalog,
    client::call,
    failure::{Failure, Outcome},
    human, names,
    output::{Listing, Table},
    page, show, yaml,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum App {
    /// Lists entrypoints: application, version and what can be run
    List {
        /// Only of this application
        #[arg(long, value_name = "APPLICATION", default_value = "-")]
        app: String,
        /// Only of this version
        #[arg(long, value_name = "VERSION", default_value = "-")]
        app_version: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows an entrypoint
    Get {
        /// APPLICATION/VERSION/ENTRYPOINT or its full name
        entrypoint: String,
    },
    /// Replaces the catalogue as a whole
    Apply {
        /// YAML: application, version, entrypoint; - reads standard input
        #[arg(long, short = 'f', value_name = "FILE")]
        file: PathBuf,
        /// Only checks it
        #[arg(long)]
        check: bool,
    },
}

impl App {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List {
                app,
                app_version,
                limit,
            } => {
                list(
                    context,
                    format!("applications/{app}/versions/{app_version}"),
                    limit,
                )
                .await
            }
            Self::Get { entrypoint } => {
                let name = names::entrypoint(&entrypoint)
                    .map_err(Failure::usage)?
                    .to_string();
                let client = context.client().await?;
                context.out.item(
                    &call!(
                        client
                            .applications()
                            .get_entrypoint(GetEntrypointRequest { name })
                    )?,
                    details,
                )
            }
            Self::Apply { file, check } => {
                let entrypoints = read(&file)?;
                let client = context.client().await?;
                let request = ApplyCatalogRequest {
                    entrypoints,
                    validate_only: check,
                };
                let answer = call!(client.applications().apply_catalog(request))
                    .map_err(|error| Failure::at(file.display(), error))?;
                context.out.item(&answer, changes)
            }
        }
    }
}

fn read(file: &std::path::Path) -> Outcome<Vec<Entrypoint>> {
    let mut whole = Map::new();
    for document in yaml::documents(file)? {
        let Json::Object(applications) = document.json else {
            let wrong = format!(
                "expected names of applications, got {}",
                yaml::found(&document.json)
            );
            return Err(Failure::at(document.place, Error::invalid("", wrong)));
        };
        for (application, versions) in applications {
            if whole.contains_key(&application) {
                return Err(Failure::at(
                    document.place,
                    Error::invalid(application, "comes twice: put its versions together"),
                ));
            }
            whole.insert(application, versions);
        }
    }
    catalog::entrypoints(&Json::Object(whole)).map_err(|error| Failure::at(file.display(), error))
}

async fn list(context: &Context, parent: String, limit: Limit) -> Outcome {
    let client = context.client().await?;
    let headers = [
        "ENTRYPOINT",
        "INPUTS",
        "OUTPUTS",
        "PARAMETERS",
        "MEMORY",
        "CPUS",
        "TIMEOUT",
    ];
    let mut listing = Listing::new(&context.out, "entrypoints", headers);
    let get = async |page_size, page_token| {
        let request = ListEntrypointsRequest {
            parent: parent.clone(),
            page_size,
            page_token,
        };
        let response = call!(client.applications().list_entrypoints(request))?;
        Ok::<_, Failure>((response.entrypoints, response.next_page_token))
    };
    page::each(limit.limit, get, |entrypoints| {
        listing.page(&entrypoints, row)
    })
    .await?;
    listing.finish()
}

fn row(entrypoint: &Entrypoint) -> [String; 7] {
    let handler = entrypoint.handler.clone().unwrap_or_default();
    let resources = entrypoint.resources.unwrap_or_default();
    let keys = |map: &std::collections::BTreeMap<String, String>| {
        map.keys().cloned().collect::<Vec<_>>().join(",")
    };
    [
        human::short(&entrypoint.name),
        keys(&handler.files_down),
        keys(&handler.files_up),
        entrypoint
            .parameters
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(","),
        human::size(resources.memory_bytes),
        resources.cpus.to_string(),
        timeout(entrypoint),
    ]
}

fn timeout(entrypoint: &Entrypoint) -> String {
    let timeout = entrypoint.resources.and_then(|resources| resources.timeout);
    timeout
        .and_then(|timeout| timeout.try_into().ok())
        .map(granary_core::units::format_duration)
        .unwrap_or_default()
}

fn details(entrypoint: &Entrypoint) -> Table {
    let (app, handler) = (
        entrypoint.app.clone().unwrap_or_default(),
        entrypoint.handler.clone().unwrap_or_default(),
    );
    let resources = entrypoint.resources.unwrap_or_default();
    let mut table = Table::fields()
        .field("Name", &entrypoint.name)
        .field("Command", app.cmd.join(" "))
        .field("Environment", app.env.join(", "))
        .field("Image", &handler.image_url)
        .field("Memory", human::size(resources.memory_bytes))
        .field("Processors", resources.cpus.to_string())
        .field("Timeout", timeout(entrypoint))
        .field("Updated", human::time(entrypoint.update_time.as_ref()));
    for (mapping, folder) in &handler.files_down {
        table = table.field(&format!("input.{mapping}"), format!("/files/{folder}"));
    }
    for (kind, folder) in &handler.files_up {
        table = table.field(&format!("collected.{kind}"), format!("/files/{folder}"));
    }
    for (name, parameter) in &entrypoint.parameters {
        let default = parameter
            .default
            .as_ref()
            .map_or("required".into(), |value| {
                format!("default {}", show::value(value))
            });
        table = table.field(
            &format!("parameter.{name}"),
            format!("{}, {default}: {}", parameter.r#type, parameter.description),
        );
    }
    table
}

fn changes(answer: &ApplyCatalogResponse) -> Table {
    let mut table = Table::new(["ENTRYPOINT", "CHANGE"]);
    for (change, names) in [
        ("created", &answer.created),
        ("updated", &answer.updated),
        ("removed", &answer.removed),
    ] {
        names
            .iter()
            .for_each(|name| table.row([human::short(name), change.to_owned()]));
    }
    if table.len() == 0 {
        Table::fields().field("Catalogue", "unchanged")
    } else {
        table
    }
}
