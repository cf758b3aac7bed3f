//! What an asset's bytes say, worked out once for all the steps that ask.

mod jpeg;
mod media;

use std::{io::Cursor, sync::OnceLock};

use bytes::Bytes;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageReader, Limits};

pub(crate) use media::{Told, told};

/// The largest object that is read whole, in bytes.
pub(crate) const MAX_WHOLE: u64 = 256 << 20;
/// The most memory that decoding one image may take, in bytes.
const MAX_DECODED: u64 = 1 << 30;

/// The bytes of an asset, or their start.
#[derive(Debug)]
pub(crate) struct Content {
    bytes: Bytes,
    whole: bool,
    told: OnceLock<Told>,
    dimensions: OnceLock<Result<(u64, u64), String>>,
    image: OnceLock<Result<DynamicImage, String>>,
}

impl Content {
    /// `whole` says whether `bytes` are all there are.
    pub(crate) fn new(bytes: Bytes, whole: bool) -> Self {
        Self {
            bytes,
            whole,
            told: OnceLock::new(),
            dimensions: OnceLock::new(),
            image: OnceLock::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The media type that the content shows.
    pub(crate) fn told(&self) -> Told {
        *self.told.get_or_init(|| told(&self.bytes))
    }

    /// Width and height in pixels, as the header says; or why there are none.
    pub(crate) fn dimensions(&self) -> Result<(u64, u64), &str> {
        let found = self
            .dimensions
            .get_or_init(|| match imagesize::blob_size(&self.bytes) {
                Ok(size) => Ok((size.width as u64, height(&self.bytes, size.height))),
                Err(_) if self.bytes.is_empty() => {
                    Err("expected an image, the file is empty".into())
                }
                Err(imagesize::ImageError::NotSupported) => {
                    Err(format!("expected an image, content is {}", self.told()))
                }
                Err(_) => Err(format!(
                    "the header of this {} cannot be read: the file is damaged or cut off",
                    self.told()
                )),
            });
        found.as_ref().copied().map_err(String::as_str)
    }

    /// Whether more of the bytes may change what [`Content::dimensions`] says.
    pub(crate) fn wants_more(&self) -> bool {
        !self.whole
            && matches!(self.told(), Told::Known(known) if known.starts_with("image/"))
            && self.dimensions().is_err()
    }

    /// The pixels, turned upright. The caller has bounded their number by [`Content::dimensions`].
    pub(crate) fn image(&self) -> Result<&DynamicImage, &str> {
        let decoded = self.image.get_or_init(|| {
            let format = image::guess_format(&self.bytes)
                .map_err(|_| format!("expected an image that can be decoded (JPEG, PNG, GIF, WebP, BMP or TIFF), content is {}", self.told()))?;
            if format == image::ImageFormat::Jpeg && !jpeg::has_end(&self.bytes) {
                return Err("cannot be decoded: the JPEG has no end, the file is cut off".into());
            }
            decode(&self.bytes, format).map_err(|error| format!("cannot be decoded: {}", reason(&error)))
        });
        decoded.as_ref().map_err(String::as_str)
    }
}

fn decode(bytes: &[u8], format: image::ImageFormat) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn reason(error: &ImageError) -> String {
    match error {
        ImageError::Limits(_) => "it needs more memory than is allowed".into(),
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the file is cut off".into()
        }
        ImageError::Unsupported(_) => "this variant of the format is not supported".into(),
        other => other.to_string().replace(['\n', '\r'], " "),
    }
}
// The rows of a bitmap may run from the top: its header then holds the height as a negative number, which must not be taken for a large one.
fn height(bytes: &[u8], found: usize) -> u64 {
    match u32::try_from(found) {
        Ok(found) if bytes.starts_with(b"BM") => u64::from(found.cast_signed().unsigned_abs()),
        _ => found as u64,
    }
}
