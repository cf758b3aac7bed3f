//! Each check on genuine files, made here.

use std::{collections::BTreeMap, io::Cursor};

use granary_core::{
    name::{AssetName, SessionName},
    value::Value,
};
use granary_proto::metadata::v1::{AssetState, SessionState};
use image::{DynamicImage, ImageFormat, RgbImage};
use prost_types::{Struct, value::Kind};

use super::{
    Action, Check, ContentCheck, Finding, MetadataSchema, SessionComplete, Transform,
    metadata_attributes,
};
use crate::{
    content::Content,
    definition::params::Params,
    item::{Item, SessionInfo},
    report::{Report, lines},
    session_file::SessionFile,
};

fn wire(json: &serde_json::Value) -> prost_types::Value {
    let kind = match json {
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        serde_json::Value::Bool(boolean) => Kind::BoolValue(*boolean),
        serde_json::Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(wire).collect(),
        }),
        serde_json::Value::Object(_) => Kind::StructValue(structure(json)),
        serde_json::Value::Null => Kind::NullValue(0),
    };
    prost_types::Value { kind: Some(kind) }
}

fn structure(json: &serde_json::Value) -> Struct {
    let fields = json.as_object().into_iter().flatten();
    Struct {
        fields: fields
            .map(|(key, value)| (key.clone(), wire(value)))
            .collect(),
    }
}

fn action(name: &str, with: serde_json::Value) -> Action {
    let with = structure(&with);
    let mut params = Params::new(Some(&with));
    let action = Action::read(name, &mut params).unwrap();
    params.finish().unwrap();
    action
}

fn check(name: &str, with: serde_json::Value) -> ContentCheck {
    match action(name, with) {
        Action::Check(Check::Content(check)) => check,
        other => panic!("{other:?} is no check of content"),
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

fn nothing() -> serde_json::Value {
    serde_json::json!({})
}

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
    let Action::Transform(Transform::Thumbnail(thumbnail)) = action("thumbnail", nothing()) else {
        panic!("no thumbnail")
    };
    let refused = thumbnail
        .run(&Content::new(bomb().into(), true))
        .unwrap_err();
    assert_eq!(
        lines(&refused.errors),
        ["image: expected at most 100000000 pixels, got 60000 x 60000"]
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
    let Action::Transform(Transform::Thumbnail(thumbnail)) =
        action("thumbnail", serde_json::json!({"max_edge": 64}))
    else {
        panic!("no thumbnail")
    };
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

fn session(metadata_path: &str, attributes: &[(&str, Value)]) -> SessionInfo {
    SessionInfo {
        name: SessionName::new("p", "raw", "s").unwrap(),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
        metadata_path: metadata_path.into(),
        asset_count: 0,
        state: SessionState::Completed,
        uri: String::new(),
    }
}

fn complete(with: serde_json::Value) -> SessionComplete {
    match action("session-complete", with) {
        Action::Check(Check::SessionComplete(check)) => check,
        other => panic!("{other:?}"),
    }
}

fn missing(
    check: &SessionComplete,
    session: &SessionInfo,
    file: &SessionFile,
    there: &[&str],
) -> Vec<String> {
    let report: Report = match check.waiting(session, file) {
        Ok(mut waiting) => {
            there.iter().for_each(|path| waiting.saw(path));
            assert_eq!(waiting.is_over(), waiting.report().is_empty());
            waiting.report()
        }
        Err(report) => report,
    };
    lines(&report)
}

#[test]
fn listed_files_must_be_there() {
    let file = SessionFile::parsed("subject: S1\nfiles: eeg.bin, emg.bin, caf\u{e9}.bin\n");
    let check = complete(nothing());
    let at_top = session("metadata.txt", &[]);
    assert_eq!(
        missing(
            &check,
            &at_top,
            &file,
            &["eeg.bin", "emg.bin", "cafe\u{301}.bin", "more"]
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        missing(&check, &at_top, &file, &["eeg.bin", "caf\u{e9}.bin"]),
        ["session: listed file \"emg.bin\" is missing"]
    );
    let below = session("day1/metadata.txt", &[]);
    assert_eq!(
        missing(
            &check,
            &below,
            &file,
            &["day1/eeg.bin", "emg.bin", "day1/caf\u{e9}.bin"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn a_session_without_a_list_cannot_be_called_complete() {
    let check = complete(nothing());
    let told = missing(&check, &session("", &[]), &SessionFile::default(), &["a"]);
    assert!(told[0].starts_with("session: no list of files"), "{told:?}");
    let bad = SessionFile::parsed("\0");
    assert!(missing(&check, &session("m", &[]), &bad, &[])[0].starts_with("metadata: "));
}

#[test]
fn the_list_may_be_an_attribute() {
    let check = complete(serde_json::json!({"list": "recordings"}));
    let file = SessionFile::default();
    for list in ["a.bin, b c.bin", "a.bin\nb c.bin", r#"["a.bin","b c.bin"]"#] {
        let session = session("", &[("recordings", Value::from(list))]);
        assert_eq!(
            missing(&check, &session, &file, &["a.bin"]),
            ["session: listed file \"b c.bin\" is missing"]
        );
    }
    let number = session("", &[("recordings", Value::Number(2.0))]);
    assert_eq!(
        missing(&check, &number, &file, &[]),
        ["session: attribute \"recordings\" should list files, it is a number"]
    );
}

#[test]
fn many_missing_files_make_a_short_report() {
    let names: Vec<String> = (0..100).map(|at| format!("{at}.bin")).collect();
    let file = SessionFile::parsed(&format!("files: {}", names.join(", ")));
    let told = missing(&complete(nothing()), &session("m", &[]), &file, &[]);
    assert_eq!(told.len(), 21);
    assert_eq!(told[20], "session: 80 more listed files are missing");
}

fn schema(schema: serde_json::Value) -> MetadataSchema {
    match action("metadata-schema", serde_json::json!({ "schema": schema })) {
        Action::Check(Check::MetadataSchema(check)) => check,
        other => panic!("{other:?}"),
    }
}

#[test]
fn attributes_are_judged_by_the_schema_field_by_field() {
    let check = schema(serde_json::json!({
        "type": "object",
        "required": ["fatigue", "hardware_model", "subject"],
        "properties": {"fatigue": {"type": "number", "maximum": 5}, "subject": {"type": "string", "pattern": "^S-[0-9]+$"}},
    }));
    let file = SessionFile::parsed("fatigue: 7\nsubject: S-014\n");
    assert_eq!(
        lines(&check.run(&session("m", &[]), &file)),
        [
            "metadata.fatigue: expected at most 5, got 7",
            "metadata.hardware_model: is required"
        ]
    );
    // What was said when the session was opened counts, and comes before the file.
    let said = session(
        "m",
        &[
            ("hardware_model", Value::from("X2")),
            ("fatigue", Value::Number(3.0)),
        ],
    );
    assert_eq!(lines(&check.run(&said, &file)), Vec::<String>::new());
    let odd = session(
        "m",
        &[
            ("subject", Value::from("x")),
            ("hardware_model", Value::from("X2")),
        ],
    );
    assert_eq!(
        lines(&check.run(&odd, &SessionFile::parsed("fatigue: tired"))).len(),
        2
    );
}

#[test]
fn metadata_that_cannot_be_read_is_wrong_metadata() {
    let told = lines(
        &schema(serde_json::json!({}))
            .run(&session("m", &[]), &SessionFile::parsed("a: &x 1\nb: *x\n")),
    );
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("metadata: "), "{told:?}");
}

#[test]
fn metadata_becomes_attributes_but_replaces_none() {
    let file = SessionFile::parsed("fatigue: 4\nsubject: S1\n");
    let found =
        metadata_attributes(&session("m", &[("fatigue", Value::Number(1.0))]), &file).unwrap();
    assert_eq!(
        found,
        BTreeMap::from([("subject".to_owned(), Value::from("S1"))])
    );
}
