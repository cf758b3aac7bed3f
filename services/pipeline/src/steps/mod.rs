//! The built-in checks and transforms. Each has a file: its parameters, what it does, and the messages that it gives.

mod copy;
mod image_decodable;
mod image_dimensions;
mod media_type;
mod metadata_attributes;
mod metadata_schema;
mod session_complete;
#[cfg(test)]
mod tests;
mod thumbnail;

use std::collections::BTreeMap;

use granary_core::{id, value::Value};

pub(crate) use self::{
    image_decodable::ImageDecodable,
    image_dimensions::ImageDimensions,
    media_type::MediaType,
    metadata_attributes::attributes as metadata_attributes,
    metadata_schema::MetadataSchema,
    session_complete::{SessionComplete, missing},
    thumbnail::Thumbnail,
};
use crate::{content::Content, definition::params::Params, item::Item, report::Report};

/// The names of the checks.
pub(crate) const CHECKS: [&str; 5] = [
    session_complete::NAME,
    metadata_schema::NAME,
    media_type::NAME,
    image_decodable::NAME,
    image_dimensions::NAME,
];
/// The names of the transforms.
pub(crate) const TRANSFORMS: [&str; 3] = [metadata_attributes::NAME, thumbnail::NAME, copy::NAME];

/// What a step does, with its parameters.
#[derive(Debug)]
pub(crate) enum Action {
    Check(Check),
    Transform(Transform),
}

#[derive(Debug)]
pub(crate) enum Check {
    SessionComplete(SessionComplete),
    MetadataSchema(MetadataSchema),
    Content(ContentCheck),
}

/// A check that looks at the bytes of one asset and at nothing else, so that its result can be kept by their checksum.
#[derive(Debug)]
pub(crate) enum ContentCheck {
    MediaType(MediaType),
    ImageDecodable(ImageDecodable),
    ImageDimensions(ImageDimensions),
}

#[derive(Debug)]
pub(crate) enum Transform {
    MetadataAttributes,
    Thumbnail(Thumbnail),
    Copy,
}

/// What a check of content found: it passed if there are no errors.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Finding {
    #[serde(default, rename = "e", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) errors: Report,
    /// To add to the asset.
    #[serde(default, rename = "a", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, Value>,
    /// The media type that the content shows, if it is not the declared one.
    #[serde(default, rename = "m", skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
}

impl Finding {
    /// It failed with one message.
    pub(crate) fn wrong(field: &str, message: impl Into<String>) -> Self {
        Self {
            errors: crate::report::one(field, message),
            ..Self::default()
        }
    }
}

impl Action {
    /// Reads a step by the name of its check or transform; none if there is no such name. Wrong parameters are noted in `params`.
    pub(crate) fn read(name: &str, params: &mut Params<'_>) -> Option<Self> {
        use ContentCheck as Content;
        Some(match name {
            session_complete::NAME => {
                Self::Check(Check::SessionComplete(SessionComplete::read(params)))
            }
            metadata_schema::NAME => {
                Self::Check(Check::MetadataSchema(MetadataSchema::read(params)))
            }
            media_type::NAME => {
                Self::Check(Check::Content(Content::MediaType(MediaType::read(params))))
            }
            image_decodable::NAME => Self::Check(Check::Content(Content::ImageDecodable(
                ImageDecodable::read(params),
            ))),
            image_dimensions::NAME => Self::Check(Check::Content(Content::ImageDimensions(
                ImageDimensions::read(params),
            ))),
            metadata_attributes::NAME => Self::Transform(Transform::MetadataAttributes),
            thumbnail::NAME => Self::Transform(Transform::Thumbnail(Thumbnail::read(params))),
            copy::NAME => Self::Transform(Transform::Copy),
            _ => return None,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Check(Check::SessionComplete(_)) => session_complete::NAME,
            Self::Check(Check::MetadataSchema(_)) => metadata_schema::NAME,
            Self::Check(Check::Content(check)) => check.name(),
            Self::Transform(Transform::MetadataAttributes) => metadata_attributes::NAME,
            Self::Transform(Transform::Thumbnail(_)) => thumbnail::NAME,
            Self::Transform(Transform::Copy) => copy::NAME,
        }
    }

    /// `check` or `transform`, as in the YAML.
    pub(crate) fn noun(&self) -> &'static str {
        if self.is_check() {
            "check"
        } else {
            "transform"
        }
    }

    pub(crate) fn is_check(&self) -> bool {
        matches!(self, Self::Check(_))
    }

    /// Whether it looks at the session as a whole, once.
    pub(crate) fn is_of_session(&self) -> bool {
        matches!(
            self,
            Self::Check(Check::SessionComplete(_) | Check::MetadataSchema(_))
                | Self::Transform(Transform::MetadataAttributes)
        )
    }
}

impl ContentCheck {
    fn name(&self) -> &'static str {
        match self {
            Self::MediaType(_) => media_type::NAME,
            Self::ImageDecodable(_) => image_decodable::NAME,
            Self::ImageDimensions(_) => image_dimensions::NAME,
        }
    }

    /// Whether the start of the bytes is not enough.
    pub(crate) fn needs_whole(&self) -> bool {
        matches!(self, Self::ImageDecodable(check) if check.is_full())
    }

    /// Under which its result is kept, beside the checksum of the bytes: everything else that the result depends on.
    pub(crate) fn key(&self, item: &Item) -> String {
        match self {
            Self::MediaType(check) => digest(self.name(), check, &item.media_type),
            Self::ImageDecodable(check) => digest(self.name(), check, ""),
            Self::ImageDimensions(check) => digest(self.name(), check, ""),
        }
    }

    /// Runs it.
    pub(crate) fn run(&self, item: &Item, content: &Content) -> Finding {
        match self {
            Self::MediaType(check) => check.run(&item.media_type, content),
            Self::ImageDecodable(check) => check.run(content),
            Self::ImageDimensions(check) => check.run(content),
        }
    }
}

impl Thumbnail {
    /// Under which its result is kept, beside the checksum of the bytes.
    pub(crate) fn key(&self) -> String {
        digest(thumbnail::NAME, self, "")
    }
}

// The number at the front changes when a step's code begins to find something else for the same bytes.
fn digest(name: &str, config: &impl serde::Serialize, input: &str) -> String {
    let config = serde_json::to_string(config).unwrap_or_default();
    id::digest(&["1", name, &config, input])
}
