//! Files as people send them.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// A picture with some structure, different for each `seed`.
pub fn picture(width: u32, height: u32, seed: u32, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let wave = (x * 7 + y * 13 + seed * 31) % 256;
        Rgb([wave as u8, (x % 256) as u8, (seed % 256) as u8])
    });
    let mut out = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image)
        .write_to(&mut out, format)
        .unwrap();
    out.into_inner()
}

pub fn jpeg(width: u32, height: u32, seed: u32) -> Vec<u8> {
    picture(width, height, seed, ImageFormat::Jpeg)
}

pub const TEXT: &[u8] = b"this is not an image\n";

pub const METADATA: &[u8] =
    b"subject: S-014\nfatigue: 4\nhardware_model: X2\nfiles: eeg.bin, camera.jpg\n";
