//! From what was typed to a command: which flags it has, what is said of those that do not count, and its name.

use std::ffi::OsString;

use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _, builder::Resettable, error::ErrorKind,
    parser::ValueSource,
};

use super::{Cli, Command, admin};

/// Commands that call no server, and the flags of those who do: refused there, and not in their help.
const NO_CALLERS: [&str; 4] = ["serve", "completion", "ingress", "attempt"];
const OF_CALLERS: [&str; 7] = [
    "endpoint",
    "project",
    "token",
    "api_key_file",
    "api_key",
    "ca_file",
    "output",
];

pub(super) fn command() -> clap::Command {
    let command = Cli::command();
    let of_callers: Vec<clap::Arg> = command
        .get_arguments()
        .filter(|flag| OF_CALLERS.contains(&flag.get_id().as_str()))
        .map(|flag| flag.clone().hide(true))
        .collect();
    let command =
        command.mut_subcommands(|command| match NO_CALLERS.contains(&command.get_name()) {
            true => hiding(command, &of_callers),
            false => command,
        });
    let project = of_callers
        .into_iter()
        .find(|flag| flag.get_id() == "project");
    command.mut_subcommand("admin", |admin| {
        admin.mut_subcommand("reindex", |reindex| {
            reindex.args(project.map(admin::of_reindex))
        })
    })
}

fn hiding(command: clap::Command, flags: &[clap::Arg]) -> clap::Command {
    command
        .args(flags)
        .mut_subcommands(|command| hiding(command, flags))
}

pub(super) fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> clap::error::Result<Cli> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut command = command();
    let mut matches = command
        .try_get_matches_from_mut(&arguments)
        .map_err(|error| as_typed(error, &arguments))?;
    match useless(&matches) {
        Some(message) => Err(command.error(ErrorKind::ArgumentConflict, message)),
        None => {
            let (name, project) = (name_of(&matches), named_project(&matches));
            let cli = Cli::from_arg_matches_mut(&mut matches);
            let mut cli = cli.map_err(|error| error.format(&mut command))?;
            if let Command::Admin(admin::Admin::Reindex(reindex)) = &mut cli.command {
                reindex.project = project;
            }
            Ok(Cli { name, ..cli })
        }
    }
}

fn name_of(matches: &ArgMatches) -> String {
    let mut name = "granary".to_owned();
    let mut given = matches;
    while let Some((verb, inner)) = given.subcommand() {
        name.push(' ');
        name.push_str(verb);
        given = inner;
    }
    name
}

// The project that was named on the command line itself.
fn named_project(matches: &ArgMatches) -> Option<String> {
    let named = matches.value_source("project") == Some(ValueSource::CommandLine);
    let project = matches.get_one::<String>("project").filter(|_| named);
    project.cloned()
}

// The same error with a usage line of what was typed: flags that environment variables set would stand there as if they were needed.
fn as_typed(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return error;
    }
    let plain = |flag: clap::Arg| flag.env(Resettable::<clap::builder::OsStr>::Reset);
    command()
        .mut_args(plain)
        .mut_subcommands(|command| command.mut_args(plain))
        .try_get_matches_from_mut(arguments)
        .err()
        .unwrap_or(error)
}

// What was asked of a command that cannot heed it.
fn useless(matches: &ArgMatches) -> Option<String> {
    let (name, given) = matches
        .subcommand()
        .filter(|(name, _)| NO_CALLERS.contains(name))?;
    let given = given.subcommand().map_or(given, |(_, given)| given);
    let flag = OF_CALLERS
        .iter()
        .find(|flag| given.value_source(flag) == Some(ValueSource::CommandLine))?;
    Some(format!(
        "granary {name} calls no server: leave out --{}",
        flag.replace('_', "-")
    ))
}
