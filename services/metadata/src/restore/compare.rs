//! How what the database knows differs from what a manifest says.

use crate::{
    state::session::State,
    store::{asset::Asset, session::Session},
};

/// How far a session is in its life.
pub(super) fn rank(state: State) -> u8 {
    match state {
        State::Open => 0,
        State::Completed => 1,
        State::Processed | State::Failed => 2,
    }
}

macro_rules! differing {
    ($a:expr, $b:expr, $($field:ident),+ $(,)?) => {{
        let mut fields = Vec::new();
        $(if $a.$field != $b.$field { fields.push(stringify!($field)); })+
        fields
    }};
}

/// The fields in which sessions of the same moment differ, in the words of the API.
pub(super) fn sessions(a: &Session, b: &Session) -> Option<String> {
    let fields = differing!(
        a,
        b,
        state,
        attributes,
        metadata_path,
        derived_from,
        producer,
        errors,
        created,
        completed,
        finished,
    );
    said(&fields)
}

/// The fields in which assets differ.
pub(super) fn assets(a: &Asset, b: &Asset) -> Option<String> {
    let fields = differing!(
        a,
        b,
        sha256,
        size_bytes,
        media_type,
        state,
        attributes,
        errors,
        derived_from,
        producer,
        created,
    );
    said(&fields).map(|fields| format!("{}: {fields}", b.path))
}

fn said(fields: &[&str]) -> Option<String> {
    (!fields.is_empty()).then(|| fields.join(", "))
}
