//! Genuine pictures, made when asked for.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

/// A JPEG with these measures; `seed` makes it differ from others.
pub fn jpeg(width: u32, height: u32, seed: u8) -> Vec<u8> {
    encode(width, height, seed, ImageFormat::Jpeg)
}

/// A PNG with these measures; `seed` makes it differ from others.
pub fn png(width: u32, height: u32, seed: u8) -> Vec<u8> {
    encode(width, height, seed, ImageFormat::Png)
}

fn encode(width: u32, height: u32, seed: u8, format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let low = |n: u32| u8::try_from(n % 256).unwrap_or_default();
        image::Rgb([low(x) ^ seed, low(y), seed])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
