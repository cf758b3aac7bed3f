//! `thumbnail`: a small picture of an image, upright, with the same ratio of width to height; an image that is small already keeps its size.
//!
//! Parameters: `max_edge` in pixels (default 256, at most 2,048); `format`, `jpeg` (default) or `png`; `quality` of JPEG, 1 to 100 (default
//! 80). The result lies beside the copy of its source: `camera/1.jpg` becomes `camera/1.jpg.{step}.jpg`, so that no two meet.

use std::io::Cursor;

use bytes::Bytes;
use image::{ImageFormat, codecs::jpeg::JpegEncoder};

use super::{Finding, image_decodable};
use crate::{content::Content, definition::params::Params};

pub(super) const NAME: &str = "thumbnail";

#[derive(Debug, serde::Serialize)]
pub(crate) struct Thumbnail {
    max_edge: u32,
    png: bool,
    quality: u8,
}

impl Thumbnail {
    pub(super) fn read(params: &mut Params<'_>) -> Self {
        let max_edge = params
            .positive("max_edge", 2048)
            .and_then(|edge| u32::try_from(edge).ok());
        let png = params
            .choice("format", &[("jpeg", false), ("png", true)])
            .unwrap_or(false);
        let quality = params
            .positive("quality", 100)
            .and_then(|quality| u8::try_from(quality).ok());
        if png && quality.is_some() {
            params.refuse("quality", "is of JPEG only: leave it out with format: png");
        }
        Self {
            max_edge: max_edge.unwrap_or(256),
            png,
            quality: quality.unwrap_or(80),
        }
    }

    /// Where the result lies within its session.
    pub(crate) fn path(&self, source: &str, step: &str) -> String {
        let extension = if self.png { "png" } else { "jpg" };
        format!("{source}.{step}.{extension}")
    }

    pub(crate) fn media_type(&self) -> &'static str {
        if self.png { "image/png" } else { "image/jpeg" }
    }

    /// Renders it; or says what is wrong with the image.
    pub(crate) fn run(&self, content: &Content) -> Result<Bytes, Finding> {
        let wrong = |message: String| Finding::wrong("image", message);
        let image = image_decodable::pixels(content, image_decodable::MAX_PIXELS).map_err(wrong)?;
        let small = if image.width().max(image.height()) > self.max_edge {
            image.thumbnail(self.max_edge, self.max_edge)
        } else {
            image.clone()
        };
        let mut out = Cursor::new(Vec::new());
        let written = if self.png {
            small.write_to(&mut out, ImageFormat::Png)
        } else {
            JpegEncoder::new_with_quality(&mut out, self.quality).encode_image(&small.to_rgb8())
        };
        written.map_err(|error| wrong(format!("no thumbnail could be made: {error}")))?;
        Ok(out.into_inner().into())
    }
}
