//! Which project a call is about, read from its first message before anything else is.

use std::borrow::Cow;

use granary_core::{
    Error, Result,
    name::{ProjectName, quote},
};
use granary_proto::prost_reflect::{Kind, MessageDescriptor};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Where a message names something: a text field, maybe of an embedded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    path: &'static str,
    numbers: Vec<u32>,
    is_text: bool,
    is_list: bool,
}

impl Field {
    /// The field at `path` (`parent`, `member.name`) of a message; nothing if there is no such text.
    pub(super) fn find(message: &MessageDescriptor, path: &'static str) -> Option<Self> {
        Self::at(message, path).filter(|field| field.is_text && !field.is_list)
    }

    /// The same, maybe in a list.
    pub(super) fn find_any(message: &MessageDescriptor, path: &'static str) -> Option<Self> {
        Self::at(message, path).filter(|field| field.is_text)
    }

    /// A list, whose items may have a name at the end of the path.
    pub(super) fn find_list(message: &MessageDescriptor, path: &'static str) -> Option<Self> {
        Self::at(message, path).filter(|field| field.is_list)
    }

    fn at(message: &MessageDescriptor, path: &'static str) -> Option<Self> {
        let mut message = Some(message.clone());
        let mut found = Self {
            path,
            numbers: Vec::new(),
            is_text: false,
            is_list: false,
        };
        for part in path.split('.') {
            let field = message?.get_field_by_name(part)?;
            found.numbers.push(field.number());
            found.is_list |= field.is_list();
            found.is_text = field.kind() == Kind::String;
            message = match field.kind() {
                Kind::Message(inner) => Some(inner),
                _ => None,
            };
        }
        Some(found)
    }

    /// How many items a message has, and the resource that those with a name share: itself if it is one.
    pub(super) fn items<'a>(&self, message: &'a [u8]) -> (u32, Option<&'a str>) {
        let (mut count, mut common) = (0_u32, None);
        let whole = each(message, &self.numbers, &mut |item| {
            count = count.saturating_add(1);
            let name = std::str::from_utf8(item).unwrap_or_default();
            common = Some(common.map_or(name, |seen| shared(seen, name)));
        });
        let common = common.filter(|common| self.is_text && !common.is_empty());
        (count, whole.and(common))
    }

    /// The resource that an encoded request names; empty if it names none. Of several values the last counts, as for whoever decodes it.
    pub(super) fn resource<'a>(&self, message: &'a [u8]) -> Result<&'a str> {
        let malformed = || Error::invalid("", "the message cannot be decoded");
        let bytes = last(message, &self.numbers).ok_or_else(malformed)?;
        std::str::from_utf8(bytes.unwrap_or_default()).map_err(|_| malformed())
    }

    /// What a field says, as the name of a resource.
    pub(super) fn named<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.path {
            "project_id" => format!("projects/{text}").into(),
            _ => text.into(),
        }
    }

    /// The project of a resource: `p` of `projects/p/datasets/d`.
    pub(super) fn project<'a>(&self, resource: &'a str) -> Result<&'a str> {
        let id = resource
            .strip_prefix("projects/")
            .map(|rest| rest.split('/').next().unwrap_or_default());
        match id {
            Some("-") => Ok("-"),
            Some(id) if ProjectName::new(id).is_ok() => Ok(id),
            _ => Err(Error::invalid(
                self.path,
                format!(
                    "expected a name that begins with `projects/PROJECT`, got {}",
                    quote(resource)
                ),
            )),
        }
    }
}

// Nothing if the message is malformed, else the last value of the field, if it has any.
fn last<'a>(message: &'a [u8], numbers: &[u32]) -> Option<Option<&'a [u8]>> {
    let mut found = None;
    each(message, numbers, &mut |value| found = Some(value))?;
    Some(found)
}

/// The resource that two names are both in: the pairs of a collection and an id with which both begin.
pub(super) fn shared<'a>(one: &'a str, other: &str) -> &'a str {
    let (mut at, mut end) = (0, 0);
    for (i, (part, theirs)) in one.split('/').zip(other.split('/')).enumerate() {
        if part != theirs {
            break;
        }
        at += part.len() + 1;
        if i % 2 == 1 {
            end = at - 1;
        }
    }
    one.get(..end).unwrap_or_default()
}

// Gives each value of a field; nothing if the message is malformed.
fn each<'a>(mut message: &'a [u8], numbers: &[u32], take: &mut impl FnMut(&'a [u8])) -> Option<()> {
    let (number, inner) = numbers.split_first()?;
    while !message.is_empty() {
        let (tag, wire) = decode_key(&mut message).ok()?;
        if tag != *number || wire != WireType::LengthDelimited {
            skip_field(wire, tag, &mut message, DecodeContext::default()).ok()?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut message).ok()?).ok()?;
        let (value, rest) = message.split_at_checked(length)?;
        message = rest;
        if inner.is_empty() {
            take(value);
        } else {
            each(value, inner, take)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use granary_proto::{
        metadata::v1::{CreateDatasetRequest, Label, UpdateLabelRequest},
        prost_reflect::DescriptorPool,
        storage::v1::{BatchCompleteUploadsRequest, CompleteUploadRequest},
    };
    use prost::Message as _;

    use super::*;

    fn field(message: &str, path: &'static str) -> Option<Field> {
        let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
        Field::find(&pool.get_message_by_name(message).unwrap(), path)
    }

    #[test]
    fn the_project_is_found_wherever_the_field_lies() {
        let parent = field("granary.metadata.v1.CreateDatasetRequest", "parent").unwrap();
        let request = CreateDatasetRequest {
            parent: "projects/p1".into(),
            dataset_id: "d".into(),
            ..CreateDatasetRequest::default()
        };
        let bytes = request.encode_to_vec();
        let resource = parent.resource(&bytes).unwrap();
        assert_eq!(parent.project(resource).unwrap(), "p1");
        let name = field("granary.metadata.v1.UpdateLabelRequest", "label.name").unwrap();
        let request = UpdateLabelRequest {
            label: Some(Label {
                name: "projects/p2/datasets/d/labels/l".into(),
                ..Label::default()
            }),
            ..UpdateLabelRequest::default()
        };
        let bytes = request.encode_to_vec();
        assert_eq!(name.project(name.resource(&bytes).unwrap()).unwrap(), "p2");
    }

    #[test]
    fn several_are_named_by_what_they_share() {
        let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
        let message = "granary.storage.v1.BatchCompleteUploadsRequest";
        let message = pool.get_message_by_name(message).unwrap();
        let field = Field::find_list(&message, "requests.name").unwrap();
        let bytes = |names: &[&str]| {
            let requests = names.iter().map(|name| CompleteUploadRequest {
                name: (*name).into(),
            });
            let request = BatchCompleteUploadsRequest {
                parent: "projects/p".into(),
                requests: requests.collect(),
            };
            request.encode_to_vec()
        };
        for (names, expected) in [
            (&[][..], None),
            (
                &["projects/p/datasets/d/uploads/a"][..],
                Some("projects/p/datasets/d/uploads/a"),
            ),
            (
                &[
                    "projects/p/datasets/d/uploads/a",
                    "projects/p/datasets/d/uploads/ab",
                ],
                Some("projects/p/datasets/d"),
            ),
            (
                &[
                    "projects/p/datasets/d/uploads/a",
                    "projects/p/datasets/e/uploads/a",
                    "projects/p",
                ],
                Some("projects/p"),
            ),
            (&["projects/p/datasets/d", "projects/q/datasets/d"], None),
        ] {
            let bytes = bytes(names);
            let count = u32::try_from(names.len()).unwrap();
            assert_eq!(field.items(&bytes), (count, expected), "{names:?}");
        }
        let cut = bytes(&["projects/p/datasets/d"]);
        assert_eq!(field.items(&cut[..cut.len() - 1]).1, None);
        let unnamed = Field::find_list(&message, "requests").unwrap();
        assert_eq!(
            unnamed.items(&bytes(&["projects/p", "projects/p"])),
            (2, None)
        );
        assert!(Field::find(&message, "requests.name").is_none());
        assert!(Field::find_list(&message, "parent").is_none());
    }

    #[test]
    fn of_two_values_the_one_counts_that_a_decoder_takes() {
        let parent = field("granary.metadata.v1.CreateDatasetRequest", "parent").unwrap();
        let of = |parent: &str| {
            CreateDatasetRequest {
                parent: parent.into(),
                ..CreateDatasetRequest::default()
            }
            .encode_to_vec()
        };
        let both = [of("projects/mine"), of("projects/theirs")].concat();
        let decoded = CreateDatasetRequest::decode(both.as_slice()).unwrap();
        assert_eq!(decoded.parent, "projects/theirs");
        assert_eq!(parent.resource(&both).unwrap(), decoded.parent);
        let name = field("granary.metadata.v1.UpdateLabelRequest", "label.name").unwrap();
        let of = |name: &str| {
            UpdateLabelRequest {
                label: Some(Label {
                    name: name.into(),
                    ..Label::default()
                }),
                ..UpdateLabelRequest::default()
            }
            .encode_to_vec()
        };
        let both = [of("projects/mine/x"), of("projects/theirs/x"), of("")].concat();
        let decoded = UpdateLabelRequest::decode(both.as_slice()).unwrap();
        assert_eq!(name.resource(&both).unwrap(), decoded.label.unwrap().name);
    }

    #[test]
    fn what_names_no_project_is_refused_with_its_field() {
        let parent = field("granary.metadata.v1.CreateDatasetRequest", "parent").unwrap();
        for bad in [
            "",
            "projects/",
            "projects/../x",
            "project/p",
            "projects/P p",
            "/projects/p",
            "datasets/d",
        ] {
            let error = parent.project(bad).unwrap_err().to_string();
            assert!(error.starts_with("parent: expected a name"), "{error}");
        }
        assert!(parent.resource(&[0x0a, 0xff, 0x01]).is_err());
        assert_eq!(parent.resource(&[]).unwrap(), "");
        assert!(field("granary.metadata.v1.CreateDatasetRequest", "dataset").is_none());
        assert!(field("granary.metadata.v1.CreateDatasetRequest", "nothing").is_none());
    }
}
