//! `granary app`: the catalogue of what jobs can run.

use std::path::PathBuf;

use granary_core::{Error, name::quote};
use granary_proto::{
    job::v1::{
        ApplyCatalogRequest, ApplyCatalogResponse, Entrypoint, GetEntrypointRequest,
        ListEntrypointsRequest, ParameterSpec,
    },
    metadata::v1::{Value, value::Kind},
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
    /// Adds applications to the catalogue, or replaces them
    ///
    /// An application of the file is replaced as a whole, with its versions and entrypoints. Others stay, unless --prune is given.
    Apply {
        /// YAML: application, version, entrypoint; - reads standard input
        #[arg(long, short = 'f', value_name = "FILE")]
        file: PathBuf,
        /// Only checks it, and says what would change
        #[arg(long)]
        check: bool,
        /// Removes the applications that the file does not name
        #[arg(long)]
        prune: bool,
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
            Self::Apply { file, check, prune } => {
                let entrypoints = read(&file)?;
                let client = context.client().await?;
                let request = ApplyCatalogRequest {
                    entrypoints,
                    validate_only: check,
                    prune,
                };
                let answer = call!(client.applications().apply_catalog(request))
                    .map_err(|error| Failure::at(file.display(), error))?;
                context.out.item(&answer, changes)?;
                if check && context.out.is_table() {
                    context
                        .out
                        .note("nothing was changed: without --check it is");
                }
                if !answer.kept.is_empty() {
                    context.out.note(&stays(&answer.kept));
                }
                Ok(())
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
        .field("Network", if handler.network { "yes" } else { "" })
        .field("Profile", &handler.profile)
        .field("Memory", human::size(resources.memory_bytes))
        .field("Processors", resources.cpus.to_string())
        .field("Timeout", timeout(entrypoint))
        .field("Updated", human::time(entrypoint.update_time.as_ref()));
    for (mapping, folder) in &handler.files_down {
        table = table.field(
            &format!("input.{mapping}"),
            format!("$GRANARY_FILES/{folder}"),
        );
    }
    for (kind, folder) in &handler.files_up {
        table = table.field(
            &format!("collected.{kind}"),
            format!("$GRANARY_FILES/{folder}"),
        );
    }
    for (name, one) in &entrypoint.parameters {
        table = table.field(&format!("parameter.{name}"), parameter(one));
    }
    table
}

fn parameter(parameter: &ParameterSpec) -> String {
    let default = match &parameter.default {
        None => "required".to_owned(),
        Some(Value {
            kind: Some(Kind::Text(text)),
        }) => format!("default {}", quote(text)),
        Some(value) => format!("default {}", show::value(value)),
    };
    let meaning = match parameter.description.as_str() {
        "" => String::new(),
        text => format!(": {text}"),
    };
    format!("{}, {default}{meaning}", parameter.r#type)
}

// Which applications the file says nothing of.
fn stays(kept: &[String]) -> String {
    const SHOWN: usize = 5;
    let applications: std::collections::BTreeSet<&str> = kept
        .iter()
        .filter_map(|name| name.split('/').nth(1))
        .collect();
    let more = applications.len().saturating_sub(SHOWN);
    let shown: Vec<&str> = applications.into_iter().take(SHOWN).collect();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "not in the file, and left as they are: {}{more}; --prune removes them",
        human::shown(&shown.join(", "))
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_says_its_default_and_what_it_means() {
        let text = |default: Option<&str>, description: &str| {
            parameter(&ParameterSpec {
                r#type: "text".into(),
                default: default.map(|text| Value {
                    kind: Some(Kind::Text(text.into())),
                }),
                description: description.into(),
            })
        };
        assert_eq!(text(Some("hi"), ""), "text, default \"hi\"");
        assert_eq!(text(None, "how to greet"), "text, required: how to greet");
    }

    #[test]
    fn applications_that_stay_are_named_once() {
        let kept = [
            "a/versions/v1/entrypoints/x",
            "a/versions/v2/entrypoints/x",
            "b/versions/v1/entrypoints/y",
        ]
        .map(|name| format!("applications/{name}"));
        assert_eq!(
            stays(&kept),
            "not in the file, and left as they are: a, b; --prune removes them"
        );
    }
}
