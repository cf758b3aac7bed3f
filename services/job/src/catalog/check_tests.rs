use granary_core::Error;
use granary_proto::{
    job::v1::{ParameterSpec, Resources},
    metadata::v1::{Value, value::Kind},
};

use super::*;

fn entrypoint() -> Entrypoint {
    Entrypoint {
        name: "applications/summary/versions/v1/entrypoints/train".into(),
        app: Some(AppSpec {
            cmd: vec!["python3".into(), "{params.level}".into()],
            env: vec!["OMP_NUM_THREADS".into()],
        }),
        handler: Some(HandlerSpec {
            image_url: String::new(),
            files_down: BTreeMap::from([("data_ids".into(), "data".into())]),
            files_up: BTreeMap::from([
                ("output".into(), "out".into()),
                ("log".into(), "logs/run".into()),
            ]),
            ..HandlerSpec::default()
        }),
        resources: None,
        parameters: BTreeMap::from([(
            "level".into(),
            ParameterSpec {
                r#type: "number".into(),
                default: None,
                description: String::new(),
            },
        )]),
        update_time: None,
    }
}

fn violations(change: impl FnOnce(&mut Entrypoint)) -> Vec<String> {
    let mut changed = entrypoint();
    change(&mut changed);
    match check(vec![changed]) {
        Ok(_) => Vec::new(),
        Err(Error::Invalid(violations)) => violations.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
    }
}

fn app(entrypoint: &mut Entrypoint) -> &mut AppSpec {
    entrypoint.app.get_or_insert_default()
}

fn handler(entrypoint: &mut Entrypoint) -> &mut HandlerSpec {
    entrypoint.handler.get_or_insert_default()
}

#[test]
fn a_right_catalogue_is_right() {
    assert!(violations(|_| ()).is_empty());
}

#[test]
fn wrong_commands_are_named_exactly() {
    assert_eq!(
        violations(|e| e.app = None),
        ["summary.v1.train.app: is required"]
    );
    assert_eq!(
        violations(|e| app(e).cmd.clear()),
        ["summary.v1.train.app.cmd: expected the program and its arguments, 1 to 256, got 0"]
    );
    assert_eq!(
        violations(|e| app(e).cmd = vec![
            "p".into(),
            "{params.levle}".into(),
            "--x={params.level}".into()
        ]),
        [
            "summary.v1.train.app.cmd[1]: there is no parameter \"levle\" (did you mean level? there is level)",
            "summary.v1.train.app.cmd[2]: a placeholder must be a whole argument such as `{params.NAME}`, got \"--x={params.level}\"",
        ]
    );
    assert_eq!(
        violations(|e| app(e).env = vec!["PATH".into(), "GRANARY_TOKEN".into(), "A B".into()]),
        [
            "summary.v1.train.app.env[0]: PATH is set by the worker and cannot be a job's",
            "summary.v1.train.app.env[1]: GRANARY_TOKEN is set by the worker and cannot be a job's",
            "summary.v1.train.app.env[2]: expected a name of letters, digits and `_`, got \"A B\"",
        ]
    );
}

#[test]
fn folders_stay_within_and_apart() {
    let down = |folder: &str| {
        let folder = folder.to_owned();
        violations(move |e| drop(handler(e).files_down.insert("data_ids".into(), folder)))
    };
    let field = "summary.v1.train.handler.files_down.data_ids";
    assert_eq!(
        down("../up"),
        [format!(
            "{field}: expected no part `.` or `..`, got \"../up\""
        )]
    );
    assert_eq!(
        down("/etc"),
        [format!(
            "{field}: expected a relative path without a leading slash, got \"/etc\""
        )]
    );
    let overlap =
        "the folder \"out\" overlaps with that of summary.v1.train.handler.files_down.data_ids";
    assert_eq!(
        down("out"),
        [format!(
            "summary.v1.train.handler.files_up.output: {overlap}"
        )]
    );
    assert_eq!(
        down("out/in"),
        [format!(
            "summary.v1.train.handler.files_up.output: {overlap}"
        )]
    );
    assert!(
        down("outer").is_empty(),
        "a common beginning of a name is no overlap"
    );
    assert_eq!(
        violations(|e| drop(
            handler(e)
                .files_up
                .insert("results".into(), "results".into())
        )),
        ["summary.v1.train.handler.files_up.results: expected output, artifact or log"]
    );
}

#[test]
fn parameters_and_resources_are_checked() {
    let text = Value {
        kind: Some(Kind::Text("x".into())),
    };
    assert_eq!(
        violations(|e| e.parameters.get_mut("level").unwrap().default = Some(text)),
        ["summary.v1.train.parameters.level.default: expected a number, got text \"x\""]
    );
    assert_eq!(
        violations(|e| e.parameters.get_mut("level").unwrap().r#type = "int".into()),
        ["summary.v1.train.parameters.level.type: expected number, text or boolean, got \"int\""]
    );
    assert_eq!(
        violations(|e| e.resources = Some(Resources {
            gpus: 100,
            ..Resources::default()
        })),
        ["summary.v1.train.resources.gpus: expected 0 to 64, got 100"]
    );
}

#[test]
fn all_entrypoints_are_checked_at_once() {
    let mut second = entrypoint();
    second.app = None;
    let third = Entrypoint {
        name: "train".into(),
        ..entrypoint()
    };
    let error = check(vec![entrypoint(), second, third])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "summary.v1.train.app: is required; summary.v1.train: is there twice; entrypoints[2].name: expected a name like \
         applications/{application}/versions/{version}/entrypoints/{entrypoint}, got \"train\""
    );
    assert!(check(Vec::new()).is_err());
}
