//! `image-dimensions`: bounds of an image's width and height in pixels, as its header says. Adds the attributes `width` and `height`.
//!
//! Parameters, at least one: `max_width`, `max_height`, `min_width`, `min_height`.

use std::collections::BTreeMap;

use granary_core::value::Value;

use super::Finding;
use crate::{content::Content, definition::params::Params, report};

pub(super) const NAME: &str = "image-dimensions";

/// No format holds more.
const MOST: u64 = u32::MAX as u64;

#[derive(Debug, serde::Serialize)]
pub(crate) struct ImageDimensions {
    max_width: Option<u64>,
    max_height: Option<u64>,
    min_width: Option<u64>,
    min_height: Option<u64>,
}

impl ImageDimensions {
    pub(super) fn read(params: &mut Params<'_>) -> Self {
        let mut read = |key| params.positive(key, MOST);
        let this = Self {
            max_width: read("max_width"),
            max_height: read("max_height"),
            min_width: read("min_width"),
            min_height: read("min_height"),
        };
        for (low, high, key) in [
            (this.min_width, this.max_width, "min_width"),
            (this.min_height, this.max_height, "min_height"),
        ] {
            if let (Some(low), Some(high)) = (low, high)
                && low > high
            {
                params.refuse(
                    key,
                    format!("expected at most the maximum {high}, got {low}"),
                );
            }
        }
        if !params.has_any() {
            params.refuse(
                "",
                "expected at least one of max_width, max_height, min_width and min_height",
            );
        }
        this
    }

    pub(super) fn run(&self, content: &Content) -> Finding {
        let (width, height) = match content.dimensions() {
            Ok(dimensions) => dimensions,
            Err(message) => return Finding::wrong("image", message),
        };
        let mut finding = Finding {
            attributes: attributes(width, height),
            ..Finding::default()
        };
        let above = |bound: Option<u64>, value| bound.is_some_and(|bound| value > bound);
        let below = |bound: Option<u64>, value| bound.is_some_and(|bound| value < bound);
        let got = format!("got {width} x {height}");
        if above(self.max_width, width) || above(self.max_height, height) {
            let bounds = bounds(self.max_width, self.max_height);
            report::add(
                &mut finding.errors,
                "dimensions",
                format!("expected at most {bounds}, {got}"),
            );
        }
        if below(self.min_width, width) || below(self.min_height, height) {
            let bounds = bounds(self.min_width, self.min_height);
            report::add(
                &mut finding.errors,
                "dimensions",
                format!("expected at least {bounds}, {got}"),
            );
        }
        finding
    }
}

fn bounds(width: Option<u64>, height: Option<u64>) -> String {
    match (width, height) {
        (Some(width), Some(height)) => format!("{width} x {height} pixels"),
        (Some(width), None) => format!("{width} pixels of width"),
        (None, Some(height)) => format!("{height} pixels of height"),
        (None, None) => "any size".into(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "attributes are doubles, and no image is that large"
)]
pub(super) fn attributes(width: u64, height: u64) -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("width".into(), Value::Number(width as f64)),
        ("height".into(), Value::Number(height as f64)),
    ])
}
