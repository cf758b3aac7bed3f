//! What `job submit` takes on its command line: inputs, and names with values.

use std::{collections::BTreeMap, str::FromStr};

use granary_core::{
    Error, Result,
    name::{AssetName, DatasetName, JobName, ProjectName, SessionName, SnapshotName, quote},
    suggest::did_you_mean,
    value::Value,
};
use granary_proto::{
    convert::wire_value,
    job::v1::{Entrypoint, Input},
    metadata::v1::Value as WireValue,
};

use crate::names;

const KINDS: &str = "snapshot:D/S, session:D/S, dataset:D, asset:D/A, job:J or a full name";

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Before the first `=`; not empty.
    pub(crate) name: String,
    /// After it.
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected NAME=VALUE".into()),
        }
    }
}

/// Values by name, typed as in metadata files; a name that comes twice is an error.
pub(crate) fn attributes(pairs: &[Pair]) -> Result<BTreeMap<String, Value>> {
    by_name("--attribute", pairs, |text| Ok(Value::infer(text)))
}

/// Texts by name.
pub(crate) fn texts(flag: &str, pairs: &[Pair]) -> Result<BTreeMap<String, String>> {
    by_name(flag, pairs, |text| Ok(text.to_owned()))
}

fn by_name<T>(
    flag: &str,
    pairs: &[Pair],
    mut convert: impl FnMut(&str) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let mut made = BTreeMap::new();
    for pair in pairs {
        if made
            .insert(pair.name.clone(), convert(&pair.value)?)
            .is_some()
        {
            return Err(Error::invalid(
                flag,
                format!("{} is given twice", quote(&pair.name)),
            ));
        }
    }
    Ok(made)
}

/// The inputs of a job: `MAPPING=REF`; several references for one mapping are put together, and `MAPPING=` is an input of nothing.
pub(crate) fn inputs(project: &ProjectName, pairs: &[Pair]) -> Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::new();
    for pair in pairs {
        let references = match pair.value.as_str() {
            "" => Vec::new(),
            text => vec![
                reference(project, text)
                    .map_err(|error| error.within(&format!("--input {}", pair.name)))?,
            ],
        };
        match inputs.iter_mut().find(|input| input.mapping == pair.name) {
            Some(input) => input.references.extend(references),
            None => inputs.push(Input {
                mapping: pair.name.clone(),
                references,
                ..Input::default()
            }),
        }
    }
    Ok(inputs)
}

fn reference(project: &ProjectName, text: &str) -> Result<String> {
    let unknown = || Error::invalid("", format!("expected {KINDS}, got {}", quote(text)));
    if text.starts_with("projects/") {
        let fits = SnapshotName::parse(text).is_ok()
            || SessionName::parse(text).is_ok()
            || AssetName::parse(text).is_ok()
            || DatasetName::parse(text).is_ok()
            || JobName::parse(text).is_ok();
        return if fits {
            Ok(text.to_owned())
        } else {
            Err(unknown())
        };
    }
    let (kind, id) = text.split_once(':').ok_or_else(unknown)?;
    Ok(match kind {
        "snapshot" => names::snapshot(project, id)?.to_string(),
        "session" => names::session(project, id)?.to_string(),
        "dataset" => names::dataset(project, id)?.to_string(),
        "asset" => names::asset(project, id)?.to_string(),
        "job" => names::job(project, id)?.to_string(),
        _ => return Err(unknown()),
    })
}

/// The parameters of a job, typed as its entrypoint says.
pub(crate) fn parameters(
    entrypoint: &Entrypoint,
    pairs: &[Pair],
) -> Result<BTreeMap<String, WireValue>> {
    let mut made = BTreeMap::new();
    for pair in pairs {
        let flag = format!("--param {}", pair.name);
        let Some(spec) = entrypoint.parameters.get(&pair.name) else {
            let known = entrypoint.parameters.keys().map(String::as_str);
            let advice = match entrypoint.parameters.is_empty() {
                true => "it has none".to_owned(),
                false => did_you_mean(&pair.name, known),
            };
            return Err(Error::invalid(
                flag,
                format!("no parameter of this entrypoint; {advice}"),
            ));
        };
        let value = typed(&spec.r#type, &pair.value).map_err(|error| error.within(&flag))?;
        if made.insert(pair.name.clone(), wire_value(value)).is_some() {
            return Err(Error::invalid(flag, "is given twice"));
        }
    }
    Ok(made)
}

fn typed(kind: &str, text: &str) -> Result<Value> {
    let expected = |what: &str| Error::invalid("", format!("expected {what}, got {}", quote(text)));
    match kind {
        "number" => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(Value::Number)
            .ok_or_else(|| expected("a number")),
        "boolean" => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| expected("true or false")),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_proto::job::v1::ParameterSpec;

    fn pair(text: &str) -> Pair {
        text.parse().unwrap()
    }

    fn p() -> ProjectName {
        ProjectName::new("p").unwrap()
    }

    #[test]
    fn a_value_may_hold_the_separator() {
        assert_eq!(
            pair("a=b=c"),
            Pair {
                name: "a".into(),
                value: "b=c".into()
            }
        );
        assert_eq!(
            pair("a="),
            Pair {
                name: "a".into(),
                value: String::new()
            }
        );
        assert!("=b".parse::<Pair>().is_err());
        assert!("ab".parse::<Pair>().is_err());
    }

    #[test]
    fn references_of_one_mapping_are_put_together() {
        let pairs = [
            pair("data_ids=snapshot:d/s"),
            pair("model=job:j1"),
            pair("data_ids=projects/q/datasets/d/sessions/x"),
        ];
        let inputs = inputs(&p(), &pairs).unwrap();
        assert_eq!(
            inputs[0].references,
            [
                "projects/p/datasets/d/snapshots/s",
                "projects/q/datasets/d/sessions/x"
            ]
        );
        assert_eq!(inputs[1].references, ["projects/p/jobs/j1"]);
    }

    #[test]
    fn an_input_of_nothing_is_said_as_such() {
        let inputs = inputs(&p(), &[pair("artifact_ids=")]).unwrap();
        assert_eq!(inputs[0].mapping, "artifact_ids");
        assert!(inputs[0].references.is_empty());
    }

    #[test]
    fn a_wrong_reference_says_what_to_write() {
        for text in ["a=recordings", "a=thing:x", "a=projects/p", "a=session:x"] {
            let error = inputs(&p(), &[pair(text)]).unwrap_err().to_string();
            assert!(
                error.starts_with("--input a") && error.contains("expected"),
                "{error}"
            );
        }
    }

    #[test]
    fn parameters_have_the_type_that_the_entrypoint_says() {
        let spec = |kind: &str| ParameterSpec {
            r#type: kind.into(),
            ..ParameterSpec::default()
        };
        let parameters_of = BTreeMap::from([
            ("level".to_owned(), spec("number")),
            ("name".to_owned(), spec("text")),
        ]);
        let entrypoint = Entrypoint {
            parameters: parameters_of,
            ..Entrypoint::default()
        };
        let made = parameters(&entrypoint, &[pair("level=2"), pair("name=2")]).unwrap();
        assert_eq!(made["level"], wire_value(Value::Number(2.0)));
        assert_eq!(made["name"], wire_value(Value::Text("2".into())));
        let error = |text: &str| {
            parameters(&entrypoint, &[pair(text)])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("level=high"),
            "--param level: expected a number, got \"high\""
        );
        assert_eq!(
            error("levl=1"),
            "--param levl: no parameter of this entrypoint; did you mean \"level\"?"
        );
    }

    #[test]
    fn attributes_are_typed_as_in_metadata_files() {
        let made = attributes(&[pair("fatigue=4"), pair("model=X2")]).unwrap();
        assert_eq!(made["fatigue"], Value::Number(4.0));
        assert!(attributes(&[pair("a=1"), pair("a=2")]).is_err());
    }
}
