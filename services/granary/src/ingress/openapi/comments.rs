//! The comments of the protos.

use std::collections::HashMap;

use granary_proto::prost_reflect::{FieldDescriptor, FileDescriptor};

use crate::ingress::bindings::Binding;

/// By file, and by place in it.
#[derive(Debug)]
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    /// All comments of the protos that these calls come from.
    pub(super) fn of(bindings: &[Binding]) -> Self {
        let mut all = HashMap::new();
        let files = bindings
            .first()
            .map(|binding| binding.method.parent_pool().files().collect::<Vec<_>>());
        for file in files.unwrap_or_default() {
            let proto = file.file_descriptor_proto();
            let places = proto
                .source_code_info
                .iter()
                .flat_map(|info| &info.location);
            for place in places {
                let text = place
                    .leading_comments
                    .as_deref()
                    .or(place.trailing_comments.as_deref());
                if let Some(text) = text {
                    all.insert((file.name().to_owned(), place.path.clone()), flowing(text));
                }
            }
        }
        Self(all)
    }

    /// The comment of what is there; empty if it has none.
    pub(super) fn get(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0
            .get(&(file.name().to_owned(), path.to_vec()))
            .cloned()
            .unwrap_or_default()
    }

    /// The comment of a field.
    pub(super) fn of_field(&self, field: &FieldDescriptor) -> String {
        self.get(&field.parent_file(), field.path())
    }
}

// Lines flow together, but for empty ones.
fn flowing(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines.join(" ")
    });
    paragraphs
        .filter(|paragraph| !paragraph.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_flow_and_paragraphs_stay() {
        assert_eq!(flowing(" One\n two.\n\n Three.\n"), "One two.\n\nThree.");
    }
}
