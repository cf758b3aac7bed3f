//! Checks of content, and thumbnails.

use std::{collections::BTreeMap, io::Cursor};

use granary_core::{name::AssetName, value::Value};
use granary_proto::metadata::v1::AssetState;
use image::{DynamicImage, ImageFormat, RgbImage};

use super::{action, nothing};
use crate::{
    content::Content,
    item::Item,
    report::lines,
    steps::{Action, Check, ContentCheck, Finding, Thumbnail, Transform},
};

fn check(name: &str, with: serde_json::Value) -> ContentCheck {
    match action(name, with) {
        Action::Check(Check::Content(check)) => check,
        other => panic!("{other:?} is no check of content"),
    }
}

fn thumbnail(with: serde_json::Value) -> Thumbnail {
    match action("thumbnail", with) {
        Action::Transform(Transform::Thumbnail(thumbnail)) => thumbnail,
        other => panic!("{other:?} is no thumbnail"),
    }
}

fn item(path: &str, size: usize) -> Item {
    Item {
        name: AssetName::new("p", "raw", "a").unwrap(),
        path: path.into(),
        media_type: granary_core::media::from_path(path).into(),
        size: size as u64,
        sha256: String::new(),
        state: AssetState::Uploaded,
        attributes: BTreeMap::new(),
        uri: String::new(),
    }
}

fn find(check: &ContentCheck, path: &str, bytes: &[u8]) -> Finding {
    check.run(
        &item(path, bytes.len()),
        &Content::new(bytes.to_vec().into(), true),
    )
}

fn errors(name: &str, with: serde_json::Value, path: &str, bytes: &[u8]) -> Vec<String> {
    lines(&find(&check(name, with), path, bytes).errors)
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x as u8, y as u8, (x * y) as u8])
    });
    let mut out = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image)
        .write_to(&mut out, format)
        .unwrap();
    out.into_inner()
}

/// A PNG whose header claims a size that its data does not have.
fn bomb() -> Vec<u8> {
    let mut png = picture(4, 4, ImageFormat::Png);
    png[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    png
}

const TEXT: &[u8] = b"this is not an image\n";

#[test]
fn media_type_compares_content_with_what_was_declared() {
    let jpeg = picture(8, 8, ImageFormat::Jpeg);
    assert_eq!(
        errors("media-type", nothing(), "a.jpg", &jpeg),
        Vec::<String>::new()
    );
    assert_eq!(
        errors("media-type", nothing(), "a.jpg", TEXT),
        ["media_type: declared image/jpeg, content is text/plain"]
    );
    assert_eq!(
        errors("media-type", nothing(), "a.png", &jpeg),
        ["media_type: declared image/png, content is image/jpeg"]
    );
    assert_eq!(
        errors("media-type", nothing(), "a.jpg", b""),
        ["media_type: declared image/jpeg, content is empty"]
    );
    assert_eq!(
        errors("media-type", nothing(), "a.bin", &jpeg),
        Vec::<String>::new()
    );
    assert_eq!(
        errors("media-type", nothing(), "a.txt", b""),
        Vec::<String>::new()
    );
    let shown = find(&check("media-type", nothing()), "a.bin", &jpeg).media_type;
    assert_eq!(shown.as_deref(), Some("image/jpeg"));
}

#[test]
fn media_type_takes_only_what_is_allowed() {
    let allow = || serde_json::json!({"allow": ["image/jpeg", "text/*"]});
    let gif = picture(8, 8, ImageFormat::Gif);
    assert_eq!(
        errors("media-type", allow(), "a.gif", &gif),
        ["media_type: expected image/jpeg or text/*, content is image/gif"]
    );
    assert_eq!(
        errors("media-type", allow(), "a.csv", b"a,b\n1,2\n"),
        Vec::<String>::new()
    );
    assert_eq!(
        errors("media-type", allow(), "a.jpg", b""),
        ["media_type: expected image/jpeg or text/*, content is empty"]
    );
}

#[test]
fn headers_of_all_formats_are_read_and_their_size_is_recorded() {
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::WebP,
    ] {
        for mode in ["header", "full"] {
            let check = check("image-decodable", serde_json::json!({"mode": mode}));
            let finding = find(&check, "a", &picture(9, 7, format));
            assert_eq!(
                lines(&finding.errors),
                Vec::<String>::new(),
                "{format:?} {mode}"
            );
            assert_eq!(finding.attributes["width"], Value::Number(9.0));
            assert_eq!(finding.attributes["height"], Value::Number(7.0));
        }
    }
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    for mode in ["header", "full"] {
        let with = || serde_json::json!({"mode": mode});
        assert_eq!(
            errors("image-decodable", with(), "a.jpg", TEXT),
            ["image: expected an image, content is text/plain"]
        );
        assert_eq!(
            errors("image-decodable", with(), "a.jpg", b""),
            ["image: expected an image, the file is empty"]
        );
        assert_eq!(
            errors("image-decodable", with(), "a.jpg", b"\xff\xd8\xff\xe0"),
            ["image: the header of this image/jpeg cannot be read: the file is damaged or cut off"]
        );
    }
}

#[test]
fn a_truncated_image_passes_by_its_header_and_fails_in_full() {
    for (format, path) in [
        (ImageFormat::Jpeg, "a.jpg"),
        (ImageFormat::Png, "a.png"),
        (ImageFormat::Gif, "a.gif"),
    ] {
        let whole = picture(200, 200, format);
        let half = &whole[..whole.len() / 2];
        assert_eq!(
            errors("image-decodable", nothing(), path, half),
            Vec::<String>::new(),
            "{format:?}"
        );
        let full = errors(
            "image-decodable",
            serde_json::json!({"mode": "full"}),
            path,
            half,
        );
        assert_eq!(full.len(), 1, "{format:?}");
        assert!(
            full[0].starts_with("image: cannot be decoded: "),
            "{full:?}"
        );
    }
}

#[test]
fn a_header_that_claims_too_much_is_refused_before_anything_is_decoded() {
    for mode in ["header", "full"] {
        assert_eq!(
            errors(
                "image-decodable",
                serde_json::json!({"mode": mode}),
                "a.png",
                &bomb()
            ),
            ["image: expected at most 100000000 pixels, got 60000 x 60000"]
        );
    }
    let refused = thumbnail(nothing())
        .run(&Content::new(bomb().into(), true))
        .unwrap_err();
    assert_eq!(
        lines(&refused.errors),
        ["image: expected at most 100000000 pixels, got 60000 x 60000"]
    );
}

#[test]
fn an_image_that_is_too_large_to_be_read_whole_is_not_called_damaged() {
    // Its start is all that was read.
    let png = picture(400, 400, ImageFormat::Png);
    let content = Content::new(png[..png.len() / 2].to_vec().into(), false);
    let expected = ["image: expected at most 268435456 bytes to decode, the file is larger"];
    let full = check("image-decodable", serde_json::json!({"mode": "full"}));
    assert_eq!(
        lines(&full.run(&item("a.png", png.len()), &content).errors),
        expected
    );
    assert_eq!(
        lines(&thumbnail(nothing()).run(&content).unwrap_err().errors),
        expected
    );
}

#[test]
fn dimensions_are_bounded_on_both_sides() {
    let png = picture(288, 189, ImageFormat::Png);
    for (with, message) in [
        (
            serde_json::json!({"max_width": 100, "max_height": 100}),
            "dimensions: expected at most 100 x 100 pixels, got 288 x 189",
        ),
        (
            serde_json::json!({"max_width": 100}),
            "dimensions: expected at most 100 pixels of width, got 288 x 189",
        ),
        (
            serde_json::json!({"max_height": 100}),
            "dimensions: expected at most 100 pixels of height, got 288 x 189",
        ),
        (
            serde_json::json!({"min_width": 300, "min_height": 10}),
            "dimensions: expected at least 300 x 10 pixels, got 288 x 189",
        ),
    ] {
        assert_eq!(errors("image-dimensions", with, "a.png", &png), [message]);
    }
    let exact = serde_json::json!({"max_width": 288, "max_height": 189, "min_width": 288, "min_height": 189});
    assert_eq!(
        errors("image-dimensions", exact, "a.png", &png),
        Vec::<String>::new()
    );
    assert_eq!(
        errors(
            "image-dimensions",
            serde_json::json!({"max_width": 1}),
            "a.png",
            TEXT
        ),
        ["image: expected an image, content is text/plain"]
    );
}

#[test]
fn thumbnails_keep_the_ratio_and_do_not_grow() {
    let thumbnail = thumbnail(serde_json::json!({"max_edge": 64}));
    for (width, height, small) in [(400, 200, (64, 32)), (10, 20, (10, 20))] {
        let made = thumbnail
            .run(&Content::new(
                picture(width, height, ImageFormat::Png).into(),
                true,
            ))
            .unwrap();
        let made = image::load_from_memory(&made).unwrap();
        assert_eq!((made.width(), made.height()), small);
    }
    assert_eq!(
        thumbnail.path("camera/1.png", "preview"),
        "camera/1.png.preview.jpg"
    );
}

#[test]
fn results_are_kept_by_what_they_depend_on() {
    let (text, image) = (item("a.txt", 1), item("a.jpg", 1));
    let typed = check("media-type", nothing());
    assert_ne!(
        typed.key(&text),
        typed.key(&image),
        "the declared type is part of the question"
    );
    let sized = |width: u32| {
        check(
            "image-dimensions",
            serde_json::json!({ "max_width": width }),
        )
    };
    assert_eq!(sized(5).key(&text), sized(5).key(&image));
    assert_ne!(sized(5).key(&image), sized(6).key(&image));
}
