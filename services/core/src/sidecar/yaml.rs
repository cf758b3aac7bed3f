//! YAML, read as a stream of events: aliases are never expanded, and nesting stops at the limit.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Number, Value as Json};

use super::collect::Collector;
use super::error::{Problem, SidecarError, excerpt};
use super::{Format, MAX_DEPTH};
use crate::value::Value;

pub(super) fn read(text: &str, collector: &mut Collector) -> Result<(), SidecarError> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        line: 1,
    };
    let mut documents = 0;
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(()),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if documents > 0 => {
                let message = r#"more than one document ("---")"#;
                return Err(reader.error(Problem::syntax(Format::Yaml, message)));
            }
            Event::MappingStart(..) => {
                documents += 1;
                reader.mapping(collector)?;
            }
            Event::SequenceStart(..) => {
                return Err(reader.error(Problem::NotMapping { found: "a list" }));
            }
            Event::Scalar(..) => {
                return Err(reader.error(Problem::NotMapping { found: "one value" }));
            }
            Event::Alias(_) => return Err(reader.error(Problem::Alias)),
            Event::SequenceEnd | Event::MappingEnd => return Err(reader.broken()),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// Where the last event started.
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, SidecarError> {
        let event: Option<Result<(Event<'a>, Span), ScanError>> = self.events.next();
        match event {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => {
                let line = error.marker().line();
                let problem = Problem::syntax(Format::Yaml, error.info());
                Err(SidecarError::at(line, problem))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    fn error(&self, problem: Problem) -> SidecarError {
        SidecarError::at(self.line, problem)
    }

    fn broken(&self) -> SidecarError {
        self.error(Problem::syntax(Format::Yaml, "unexpected end"))
    }

    /// The entries of a mapping whose start was read; recursion ends at the collector's depth.
    fn mapping(&mut self, collector: &mut Collector) -> Result<(), SidecarError> {
        loop {
            let Some(key) = self.key()? else {
                return Ok(());
            };
            let event = self.next()?;
            let line = self.line;
            let taken = match event {
                Event::Scalar(text, style, _, tag) => match scalar(&text, style, tag.as_deref()) {
                    Ok(Some(Value::Text(text))) if style != ScalarStyle::Plain => {
                        collector.put_quoted(&key, text)
                    }
                    Ok(Some(value)) => collector.put(&key, value),
                    Ok(None) => Ok(()),
                    Err(problem) => Err(problem),
                },
                Event::SequenceStart(..) => {
                    let items = self.list(collector.depth() + 1)?;
                    collector.put_list(&key, items)
                }
                Event::MappingStart(..) => {
                    collector.enter(&key).map_err(|p| self.error(p))?;
                    self.mapping(collector)?;
                    collector.leave();
                    Ok(())
                }
                Event::Alias(_) => Err(Problem::Alias),
                _ => return Err(self.broken()),
            };
            taken.map_err(|problem| SidecarError::at(line, problem))?;
        }
    }

    /// The next key, or `None` at the mapping's end.
    fn key(&mut self) -> Result<Option<String>, SidecarError> {
        match self.next()? {
            Event::MappingEnd => Ok(None),
            Event::Scalar(key, ..) => Ok(Some(key.into_owned())),
            Event::Alias(_) => Err(self.error(Problem::Alias)),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                Err(self.error(Problem::KeyNotText))
            }
            _ => Err(self.broken()),
        }
    }

    /// The items of a list whose start was read and that nests `depth` deep.
    fn list(&mut self, depth: usize) -> Result<Vec<Json>, SidecarError> {
        if depth > MAX_DEPTH {
            return Err(self.error(Problem::TooDeep));
        }
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(items),
                event => items.push(self.item(event, depth)?),
            }
        }
    }

    fn item(&mut self, event: Event<'a>, depth: usize) -> Result<Json, SidecarError> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                let value = scalar(&text, style, tag.as_deref());
                value.map(json).map_err(|problem| self.error(problem))
            }
            Event::SequenceStart(..) => Ok(Json::Array(self.list(depth + 1)?)),
            Event::MappingStart(..) if depth < MAX_DEPTH => {
                let mut map = Map::new();
                while let Some(key) = self.key()? {
                    let event = self.next()?;
                    let value = self.item(event, depth + 1)?;
                    map.insert(key, value);
                }
                Ok(Json::Object(map))
            }
            Event::MappingStart(..) => Err(self.error(Problem::TooDeep)),
            Event::Alias(_) => Err(self.error(Problem::Alias)),
            _ => Err(self.broken()),
        }
    }
}

/// A scalar's value; `None` for null.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Option<Value>, Problem> {
    let typed = match tag {
        None => style == ScalarStyle::Plain,
        Some(tag) => is_typed(tag)?,
    };
    Ok(match text {
        "~" | "null" | "Null" | "NULL" if typed => None,
        text if typed => Some(Value::infer(text)),
        text => Some(Value::from(text)),
    })
}

/// Whether a tag leaves the type to the text: YAML's own tags do, but for `!!str` and the bare `!`.
fn is_typed(tag: &Tag) -> Result<bool, Problem> {
    let suffix = tag.suffix.as_str();
    if tag.is_yaml_core_schema() {
        match suffix {
            "str" => return Ok(false),
            "int" | "float" | "bool" | "null" | "timestamp" => return Ok(true),
            _ => {}
        }
    } else if tag.handle == "!" && suffix.is_empty() {
        return Ok(false);
    }
    let handle = match tag.is_yaml_core_schema() {
        true => "!!",
        false => tag.handle.as_str(),
    };
    let tag = excerpt(&format!("{handle}{suffix}"));
    Err(Problem::Tag { tag })
}

fn json(value: Option<Value>) -> Json {
    match value {
        None => Json::Null,
        // Through its own digits, so that whole numbers stay whole.
        Some(Value::Number(number)) => serde_json::to_value(Value::Number(number))
            .unwrap_or_else(|_| Number::from_f64(number).map_or(Json::Null, Json::Number)),
        Some(Value::Boolean(boolean)) => Json::Bool(boolean),
        Some(Value::Text(text)) => Json::String(text),
        Some(timestamp @ Value::Timestamp(_)) => Json::String(timestamp.to_string()),
    }
}
