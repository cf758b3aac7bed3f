//! `media-type`: whether content is what it is declared to be. What the content shows is recorded as the asset's media type.
//!
//! Parameters: `allow`, a list of media types such as `image/jpeg` or `image/*`. Without it, content must agree with what was declared,
//! by the client or by the extension.

use super::Finding;
use crate::{content::Content, definition::params::Params};

pub(super) const NAME: &str = "media-type";

#[derive(Debug, serde::Serialize)]
pub(crate) struct MediaType {
    allow: Option<Vec<String>>,
}

impl MediaType {
    pub(super) fn read(params: &mut Params<'_>) -> Self {
        let allow = params.texts("allow");
        for (at, pattern) in allow.iter().flatten().enumerate() {
            let ok = pattern.split_once('/').is_some_and(|(kind, rest)| {
                !kind.is_empty()
                    && !rest.is_empty()
                    && !kind.contains('*')
                    && (rest == "*" || !rest.contains('*'))
            });
            if !ok {
                let got = granary_core::name::quote(pattern);
                params.refuse(
                    &format!("allow[{at}]"),
                    format!("expected a media type such as image/jpeg or image/*, got {got}"),
                );
            }
        }
        Self {
            allow: allow.map(|allow| {
                allow
                    .iter()
                    .map(|pattern| pattern.to_ascii_lowercase())
                    .collect()
            }),
        }
    }

    pub(super) fn run(&self, declared: &str, content: &Content) -> Finding {
        let told = content.told();
        let shown = told.shown(declared);
        let message = match &self.allow {
            None if told.agrees_with(declared) => None,
            None => Some(format!("declared {declared}, content is {told}")),
            Some(allow)
                if !content.is_empty() && allow.iter().any(|pattern| fits(pattern, shown)) =>
            {
                None
            }
            Some(allow) => {
                let content = if content.is_empty() { "empty" } else { shown };
                Some(format!(
                    "expected {}, content is {content}",
                    allow.join(" or ")
                ))
            }
        };
        let mut finding = message
            .map(|message| Finding::wrong("media_type", message))
            .unwrap_or_default();
        finding.media_type = (shown != declared).then(|| shown.to_owned());
        finding
    }
}

fn fits(pattern: &str, shown: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => shown.starts_with(start),
        None => pattern == shown,
    }
}
