//! Lists of any length, printed page by page: a table, or one document such as `{"sessions": [...]}`.

use granary_proto::json::to_json;
use prost::{Message, Name};

use super::{Format, Out, Table, pretty, yaml};
use crate::failure::Outcome;

/// A list that is being printed.
#[derive(Debug)]
pub(crate) struct Listing {
    out: Out,
    key: &'static str,
    table: Table,
    printed: usize,
}

impl Listing {
    /// A list under `key` in a document, with these headers in a table.
    pub(crate) fn new<const N: usize>(
        out: &Out,
        key: &'static str,
        headers: [&'static str; N],
    ) -> Self {
        Self {
            out: out.clone(),
            key,
            table: Table::new(headers),
            printed: 0,
        }
    }

    /// Prints some of the items.
    pub(crate) fn page<M: Message + Name, const N: usize>(
        &mut self,
        items: &[M],
        mut row: impl FnMut(&M) -> [String; N],
    ) -> Outcome {
        let text = match self.out.format() {
            Format::Table | Format::Csv => {
                items.iter().for_each(|item| self.table.row(row(item)));
                self.printed += self.table.len();
                if items.is_empty() {
                    String::new()
                } else {
                    self.table.drain()
                }
            }
            Format::Json => self.json(items)?,
            Format::Yaml => self.yaml(items)?,
        };
        if text.is_empty() {
            Ok(())
        } else {
            self.out.print(&text)
        }
    }

    fn json<M: Message + Name>(&mut self, items: &[M]) -> granary_core::Result<String> {
        let mut text = String::new();
        for item in items {
            text.push_str(&if self.printed == 0 {
                format!("{{\n  \"{}\": [\n    ", self.key)
            } else {
                ",\n    ".to_owned()
            });
            text.push_str(&pretty(&to_json(item)?)?.replace('\n', "\n    "));
            self.printed += 1;
        }
        Ok(text)
    }

    fn yaml<M: Message + Name>(&mut self, items: &[M]) -> granary_core::Result<String> {
        let mut text = String::new();
        for item in items {
            if self.printed == 0 {
                text.push_str(&format!("{}:\n", self.key));
            }
            text.push_str(&yaml(&serde_json::Value::Array(vec![to_json(item)?])));
            self.printed += 1;
        }
        Ok(text)
    }

    /// Whether nothing was printed yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.printed == 0
    }

    /// Ends the document; says so when a table has no rows.
    pub(crate) fn finish(self) -> Outcome {
        match (self.out.format(), self.printed) {
            (Format::Table, 0) => {
                self.out.note(&format!("no {}", self.key.replace('_', " ")));
                Ok(())
            }
            (Format::Json, 0) => self.out.line(&format!("{{\n  \"{}\": []\n}}", self.key)),
            (Format::Json, _) => self.out.print("\n  ]\n}\n"),
            (Format::Yaml, 0) => self.out.line(&format!("{}: []", self.key)),
            _ => Ok(()),
        }
    }
}
