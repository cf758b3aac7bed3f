//! `image-decodable`: whether an image can be read.
//!
//! Parameters: `mode`, `header` (default: its size can be read from the header) or `full` (every pixel is decoded); `max_pixels` (default
//! 100M), compared with the header before anything is decoded, so that a small file cannot fill the memory.

use image::DynamicImage;

use super::Finding;
use crate::{
    content::{Content, MAX_WHOLE},
    definition::params::Params,
};

pub(super) const NAME: &str = "image-decodable";

/// The default of `max_pixels`.
pub(super) const MAX_PIXELS: u64 = 100_000_000;

#[derive(Debug, serde::Serialize)]
pub(crate) struct ImageDecodable {
    full: bool,
    max_pixels: u64,
}

impl ImageDecodable {
    pub(super) fn read(params: &mut Params<'_>) -> Self {
        let full = params
            .choice("mode", &[("header", false), ("full", true)])
            .unwrap_or(false);
        let max_pixels = params.size("max_pixels").unwrap_or(MAX_PIXELS);
        if full && max_pixels > 250_000_000 {
            params.refuse(
                "max_pixels",
                format!("expected at most 250M with mode: full, got {max_pixels}"),
            );
        }
        Self { full, max_pixels }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn run(&self, content: &Content) -> Finding {
        let (width, height) = match bounded(content, self.max_pixels) {
            Ok(dimensions) => dimensions,
            Err(message) => return Finding::wrong("image", message),
        };
        if self.full
            && let Err(message) = pixels(content, self.max_pixels)
        {
            return Finding::wrong("image", message);
        }
        Finding {
            attributes: super::image_dimensions::attributes(width, height),
            ..Finding::default()
        }
    }
}

/// The pixels of an image that is not too much to decode.
pub(super) fn pixels(content: &Content, max_pixels: u64) -> Result<&DynamicImage, String> {
    bounded(content, max_pixels)?;
    if !content.is_whole() {
        return Err(format!(
            "expected at most {MAX_WHOLE} bytes to decode, the file is larger"
        ));
    }
    content.image().map_err(str::to_owned)
}

/// Width and height, if they are not too much to decode.
fn bounded(content: &Content, max_pixels: u64) -> Result<(u64, u64), String> {
    let (width, height) = content.dimensions()?;
    if width.saturating_mul(height) > max_pixels {
        return Err(format!(
            "expected at most {max_pixels} pixels, got {width} x {height}"
        ));
    }
    if width == 0 || height == 0 {
        return Err(format!(
            "expected at least one pixel, got {width} x {height}"
        ));
    }
    Ok((width, height))
}
