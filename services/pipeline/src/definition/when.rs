//! `when`: which assets a step applies to.

use granary_core::{
    Error, Result,
    filter::{self, Filter},
    value::Value,
};

use crate::item::{Item, SessionInfo};

/// The fields of a step that looks at single assets.
const ASSET_FIELDS: [&str; 5] = [
    "path",
    "media_type",
    "size_bytes",
    "attributes.*",
    "session.attributes.*",
];
/// The fields of a step that looks at the session as a whole.
const SESSION_FIELDS: [&str; 1] = ["session.attributes.*"];

/// A filter on what is known before any step has run.
#[derive(Debug)]
pub(crate) struct When(Filter);

impl When {
    /// Reads a filter; the error has no field and names the column.
    pub(crate) fn parse(text: &str, whole_session: bool) -> Result<Self> {
        let wrong = |error: filter::FilterError| Error::invalid("", error.to_string());
        let filter = filter::parse(text).map_err(wrong)?;
        let known: &[&str] = if whole_session {
            &SESSION_FIELDS
        } else {
            &ASSET_FIELDS
        };
        filter::check_fields(&filter, known).map_err(wrong)?;
        for (field, op, value) in filter.comparisons() {
            let one = Filter::Compare {
                field: field.clone(),
                op,
                value: value.clone(),
            };
            filter::eval(&one, &sample).map_err(wrong)?;
        }
        Ok(Self(filter))
    }

    /// Whether a step applies to an asset.
    pub(crate) fn applies(&self, item: &Item, session: &SessionInfo) -> bool {
        self.holds(&|path| lookup(path, Some(item), session))
    }

    /// Whether a step applies to the session as a whole.
    pub(crate) fn applies_to_session(&self, session: &SessionInfo) -> bool {
        self.holds(&|path| lookup(path, None, session))
    }

    // Types were checked when the definition was read, so that an error cannot happen here.
    fn holds(&self, lookup: &dyn Fn(&[String]) -> Option<Value>) -> bool {
        matches!(self.0, Filter::True) || filter::eval(&self.0, lookup).unwrap_or(false)
    }
}

/// A value of each field's type, to find literals that it does not compare with.
fn sample(path: &[String]) -> Option<Value> {
    match path.first()?.as_str() {
        "path" | "media_type" => Some(Value::from("")),
        "size_bytes" => Some(Value::Number(0.0)),
        _ => None,
    }
}

fn lookup(path: &[String], item: Option<&Item>, session: &SessionInfo) -> Option<Value> {
    let [first, rest @ ..] = path else {
        return None;
    };
    match (first.as_str(), rest, item) {
        ("path", [], Some(item)) => Some(Value::from(item.path.as_str())),
        ("media_type", [], Some(item)) => Some(Value::from(item.media_type.as_str())),
        #[expect(clippy::cast_precision_loss, reason = "filters compare doubles")]
        ("size_bytes", [], Some(item)) => Some(Value::Number(item.size as f64)),
        ("attributes", [_, ..], Some(item)) => {
            let key = rest.join(".");
            item.attributes
                .get(&key)
                .or_else(|| session.attributes.get(&key))
                .cloned()
        }
        ("session", [attributes, key @ ..], _) if attributes == "attributes" => {
            session.attributes.get(&key.join(".")).cloned()
        }
        _ => None,
    }
}
