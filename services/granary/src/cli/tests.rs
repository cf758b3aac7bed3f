use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_tree_is_sound() {
    command().debug_assert();
}

#[test]
fn every_command_and_flag_says_what_it_is() {
    fn walk(command: &clap::Command, path: &str) {
        assert!(command.get_about().is_some(), "{path} has no description");
        for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
            assert!(
                argument.get_help().is_some(),
                "{path} {} has no description",
                argument.get_id()
            );
        }
        for sub in command.get_subcommands() {
            walk(sub, &format!("{path} {}", sub.get_name()));
        }
    }
    walk(&command(), "granary");
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    let code = |args: &[&str]| parse(args).unwrap_err().exit_code();
    assert_eq!(code(&["granary", "--help"]), 0);
    assert_eq!(code(&["granary", "sessions"]), 2);
    assert_eq!(code(&["granary", "upload", "x"]), 2);
    assert_eq!(
        code(&[
            "granary",
            "job",
            "submit",
            "--app",
            "a",
            "--version",
            "v",
            "--entrypoint",
            "e",
            "--input",
            "x"
        ]),
        2
    );
}

#[test]
fn commands_that_call_no_server_refuse_the_flags_of_those_who_do() {
    for (arguments, said) in [
        (
            "serve --endpoint=http://lab:7070",
            "serve calls no server: leave out --endpoint",
        ),
        (
            "--endpoint=http://lab:7070 serve",
            "serve calls no server: leave out --endpoint",
        ),
        ("-o json serve", "serve calls no server: leave out --output"),
        ("serve -o json", "serve calls no server: leave out --output"),
        (
            "--token=abc serve",
            "serve calls no server: leave out --token",
        ),
        (
            "completion bash --project=p",
            "completion calls no server: leave out --project",
        ),
        (
            "ingress config --to=x --ca-file=y",
            "ingress calls no server: leave out --ca-file",
        ),
    ] {
        let error = parse(format!("granary {arguments}").split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let help = parse(["granary", "serve", "--help"])
        .unwrap_err()
        .to_string();
    for flag in ["--endpoint", "--project", "--token", "--output"] {
        assert!(!help.contains(flag), "{help}");
    }
    for flag in ["--config", "--log", "--verbose", "--data-dir"] {
        assert!(help.contains(flag), "{help}");
    }
    let cli = parse(["granary", "serve", "-vv"]).unwrap();
    assert_eq!(cli.command.usual(), Usual::Lasting);
    let cli = parse(["granary", "dataset", "list", "-o", "json"]).unwrap();
    assert_eq!(
        (cli.output, cli.command.usual()),
        (Format::Json, Usual::Brief)
    );
}

#[test]
fn the_project_of_reindex_is_all_unless_it_is_named() {
    let help = parse(["granary", "admin", "reindex", "--help"]).unwrap_err();
    let help = help.to_string();
    let said = help.lines().filter(|line| line.contains("--project"));
    assert_eq!(said.count(), 1, "{help}");
    assert!(help.contains("Only this project [default: all]"), "{help}");
    assert!(!help.contains("GRANARY_PROJECT"), "{help}");
    for arguments in [
        ["granary", "admin", "reindex", "--project=lab"],
        ["granary", "--project=lab", "admin", "reindex"],
    ] {
        let Command::Admin(admin::Admin::Reindex(reindex)) = parse(arguments).unwrap().command
        else {
            panic!("{arguments:?}")
        };
        assert_eq!(reindex.project.as_deref(), Some("lab"), "{arguments:?}");
    }
}

#[test]
fn secrets_are_not_printed() {
    for arguments in [
        ["granary", "--token=hunter2", "dataset", "list"],
        ["granary", "dataset", "list", "--token=hunter2"],
        ["granary", "serve", "--secret-key=hunter2", "-v"],
        [
            "granary",
            "serve",
            "--database-url=postgres://u:hunter2@h/d",
            "-v",
        ],
    ] {
        let cli = parse(arguments).unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"), "{cli:?}");
    }
}

#[test]
fn the_help_says_where_settings_come_from() {
    let help = command().render_help().to_string();
    for part in ["GRANARY_CONFIG", "config.toml", "database_url", "data_dir"] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn a_token_in_the_environment_is_not_shown_in_help() {
    let help = Cli::command().render_long_help().to_string();
    assert!(help.contains("GRANARY_TOKEN"), "{help}");
    let token = Cli::command()
        .get_arguments()
        .find(|a| a.get_id() == "token")
        .unwrap()
        .is_hide_env_values_set();
    assert!(token);
}
