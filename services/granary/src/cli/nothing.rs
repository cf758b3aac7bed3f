//! Why a filter may have found nothing: attributes that nothing has, or that are of another type than what they are compared with.

use std::collections::{BTreeMap, BTreeSet};

use granary_core::{
    filter::{self, Literal, LiteralKind, Op},
    name::quote,
    sidecar::attribute_key,
    suggest::nearest,
    value::{Value, ValueKind},
};
use granary_proto::{
    convert,
    metadata::v1::{ListAssetsRequest, ListSessionsRequest, Value as WireValue},
};

use crate::{
    client::{Client, call},
    human,
    output::Out,
};

/// So many attributes of a filter are asked for.
const MOST: usize = 10;
/// So many sessions and assets are looked at for names that may have been meant.
const LOOKED_AT: i32 = 20;

type Attributes = BTreeMap<String, WireValue>;

/// Says on standard error what in the filter cannot match, as far as that can be told; a server that does not answer leaves it unsaid.
pub(crate) async fn explain(client: &Client, out: &Out, parent: &str, filter: &str) {
    for (key, compared) in asked(filter).into_iter().take(MOST) {
        let Ok(found) = example(client, parent, &key).await else {
            return;
        };
        match found {
            None => {
                let Ok(known) = known(client, parent).await else {
                    return;
                };
                let hint = nearest(&key, known.iter().map(String::as_str))
                    .map(|name| format!("; did you mean {}?", quote(name)))
                    .unwrap_or_default();
                let scope = scope(parent);
                out.note(&format!(
                    "no session and no asset of {scope} has the attribute {}{hint}",
                    quote(&key)
                ));
            }
            Some((of, value)) => {
                if let Some(text) = mismatch(&key, &of, &value, &compared) {
                    out.note(&text);
                }
            }
        }
    }
}

fn scope(parent: &str) -> String {
    match human::last(parent) {
        "-" => "this project".to_owned(),
        dataset => dataset.to_owned(),
    }
}

// The attributes that a filter asks for, each with what it is compared with.
fn asked(filter: &str) -> BTreeMap<String, Vec<Literal>> {
    let mut asked: BTreeMap<String, Vec<Literal>> = BTreeMap::new();
    let Ok(filter) = filter::parse(filter) else {
        return asked;
    };
    for (field, op, literal) in filter.comparisons() {
        let below = ["attributes", "session.attributes"]
            .iter()
            .find_map(|map| field.below(map));
        let map = matches!(
            field.path.join(".").as_str(),
            "attributes" | "session.attributes"
        );
        let is_pattern = matches!(literal.kind, LiteralKind::Pattern(_));
        match below {
            Some(key) if op == Op::Has || is_pattern => _ = asked.entry(key).or_default(),
            Some(key) => asked.entry(key).or_default().push(literal.clone()),
            None if map && op == Op::Has && !is_pattern => {
                asked.entry(literal.key()).or_default();
            }
            None => {}
        }
    }
    asked
}

// What has the attribute, and its value there.
async fn example(
    client: &Client,
    parent: &str,
    key: &str,
) -> granary_core::Result<Option<(String, Value)>> {
    // What cannot be a key is nobody's.
    if attribute_key(key).is_err() {
        return Ok(None);
    }
    let filter = format!("attributes.\"{key}\":*");
    let sessions = sessions(client, parent, &filter, 1).await?;
    let assets = match sessions.is_empty() {
        true => assets(client, parent, &filter, 1).await?,
        false => Vec::new(),
    };
    let found = sessions.into_iter().chain(assets).next();
    found
        .and_then(|(name, mut attributes)| Some((name, attributes.remove(key)?)))
        .map(|(name, value)| Ok((name, convert::value(key, value)?)))
        .transpose()
}

async fn sessions(
    client: &Client,
    parent: &str,
    filter: &str,
    page_size: i32,
) -> granary_core::Result<Vec<(String, Attributes)>> {
    let request = ListSessionsRequest {
        parent: parent.to_owned(),
        page_size,
        filter: filter.to_owned(),
        ..ListSessionsRequest::default()
    };
    let found = call!(client.sessions().list_sessions(request))?.sessions;
    let found = found.into_iter();
    Ok(found
        .map(|session| (human::short(&session.name), session.attributes))
        .collect())
}

async fn assets(
    client: &Client,
    parent: &str,
    filter: &str,
    page_size: i32,
) -> granary_core::Result<Vec<(String, Attributes)>> {
    let request = ListAssetsRequest {
        parent: parent.to_owned(),
        page_size,
        filter: filter.to_owned(),
        ..ListAssetsRequest::default()
    };
    let found = call!(client.assets().list_assets(request))?.assets;
    let found = found.into_iter();
    Ok(found
        .map(|asset| {
            let path = format!("{}/{}", human::short(&asset.session), asset.path);
            (path, asset.attributes)
        })
        .collect())
}

async fn known(client: &Client, parent: &str) -> granary_core::Result<BTreeSet<String>> {
    let sessions = sessions(client, parent, "", LOOKED_AT).await?;
    let assets = assets(client, parent, "", LOOKED_AT).await?;
    let all = sessions.into_iter().chain(assets);
    Ok(all
        .flat_map(|(_, attributes)| attributes.into_keys())
        .collect())
}

// Nothing if any comparison may hold.
fn mismatch(key: &str, of: &str, value: &Value, compared: &[Literal]) -> Option<String> {
    let fits = |literal: &Literal| match value.kind() {
        ValueKind::Timestamp => literal.timestamp().is_some(),
        kind => literal.kind.as_str() == kind.as_str(),
    };
    let first = compared.first()?;
    if compared.iter().any(fits) {
        return None;
    }
    let shown = match value {
        Value::Text(text) => quote(text),
        other => other.to_string(),
    };
    Some(format!(
        "attributes.{key} of {} is the {} {shown}, and is compared with a {}",
        human::shown(of),
        value.kind(),
        first.kind.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_of_a_filter_are_found_however_they_are_asked_for() {
        let text = "attributes.a = 1 AND (session.attributes.b:* OR NOT attributes:\"c d\") AND state = READY AND attributes.e = \"x*\"";
        let found = asked(text);
        let keys: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(keys, ["a", "b", "c_d", "e"]);
        assert_eq!(found["a"].len(), 1);
        assert!(found["e"].is_empty(), "a pattern says nothing of the type");
        assert!(asked("a = ").is_empty());
    }

    #[test]
    fn a_comparison_with_another_type_is_said() {
        let said = |filter: &str, value: Value| {
            let asked = asked(filter);
            mismatch("a", "d/s", &value, &asked["a"])
        };
        assert_eq!(
            said("attributes.a = 4", Value::from("4")).unwrap(),
            "attributes.a of d/s is the text \"4\", and is compared with a number"
        );
        assert_eq!(said("attributes.a = \"4\"", Value::from("5")), None);
        assert_eq!(
            said("attributes.a = 4 OR attributes.a = \"x\"", Value::from(3.0)),
            None
        );
        let time = Value::infer("2021-03-01T00:00:00Z");
        assert_eq!(said("attributes.a > \"2021-02-28\"", time), None);
    }
}
