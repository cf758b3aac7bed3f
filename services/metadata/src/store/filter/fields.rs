//! Which fields filters may name, and where they are.

use granary_core::filter::{Field, Literal, LiteralKind, Op};

use super::Target;

/// A field that is a column.
pub(super) struct Column {
    /// As it is written in a filter.
    pub name: &'static str,
    /// As it is written in a statement; it is never null unless it is a time.
    pub column: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What goes around a comparison if the column is in another table.
    pub within: Option<(&'static str, &'static str)>,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// One of these texts, which may be written with this prefix too.
    State {
        prefix: &'static str,
        states: &'static [&'static str],
    },
    /// A whole number.
    Number,
    /// A time in microseconds, or null.
    Time,
}

/// A field that is a map: attributes.
pub(super) struct Map {
    /// As it is written in a filter.
    pub path: &'static str,
    /// The table that is looked into, up to where the key is compared.
    pub open: &'static str,
    /// The table to look into where the first one does not have the key.
    pub otherwise: Option<&'static str>,
}

impl Map {
    /// The key that a comparison is about: `attributes.key` or `attributes:key`. None within if it is a pattern.
    pub(super) fn key(&self, field: &Field, op: Op, literal: &Literal) -> Option<Option<Key>> {
        if let Some(name) = field.below(self.path) {
            return Some(Some(Key {
                name,
                present: false,
            }));
        }
        let is_pattern = matches!(literal.kind, LiteralKind::Pattern(_));
        (op == Op::Has && field.path.iter().eq(self.path.split('.'))).then(|| {
            (!is_pattern).then(|| Key {
                name: literal.key(),
                present: true,
            })
        })
    }
}

/// A key of a map.
pub(super) struct Key {
    /// The attribute.
    pub name: String,
    /// Whether only its presence is asked for.
    pub present: bool,
}

const SESSION_STATE: Kind = Kind::State {
    prefix: "SESSION_STATE_",
    states: &["OPEN", "COMPLETED", "PROCESSED", "FAILED"],
};
const ASSET_STATE: Kind = Kind::State {
    prefix: "ASSET_STATE_",
    states: &["PENDING", "UPLOADED", "VALIDATING", "READY", "REJECTED"],
};

const fn own(name: &'static str, column: &'static str, kind: Kind) -> Column {
    Column {
        name,
        column,
        kind,
        within: None,
    }
}

/// Sessions, as `s`.
pub(crate) const SESSIONS: Target = Target {
    known: &[
        "session",
        "dataset",
        "state",
        "asset_count",
        "ready_count",
        "rejected_count",
        "size_bytes",
        "create_time",
        "complete_time",
        "finish_time",
        "producer",
        "attributes.*",
    ],
    columns: &[
        own("session", "s.session", Kind::Text),
        own("dataset", "s.dataset", Kind::Text),
        own("state", "s.state", SESSION_STATE),
        own("asset_count", "s.asset_count", Kind::Number),
        own("ready_count", "s.ready_count", Kind::Number),
        own("rejected_count", "s.rejected_count", Kind::Number),
        own("size_bytes", "s.size_bytes", Kind::Number),
        own("create_time", "s.created", Kind::Time),
        own("complete_time", "s.completed", Kind::Time),
        own("finish_time", "s.finished", Kind::Time),
        own("producer", "s.producer", Kind::Text),
    ],
    maps: &[OWN],
};

const OWN: Map = Map {
    path: "attributes",
    open: "EXISTS (SELECT 1 FROM session_attributes t WHERE t.project = s.project AND t.dataset = s.dataset \
           AND t.session = s.session AND t.key = ",
    otherwise: None,
};

/// What filters on assets ask of their sessions, as `s`.
pub(crate) const SESSIONS_OF_ASSETS: Target = Target {
    known: ASSETS.known,
    columns: &[
        own("session", "s.session", Kind::Text),
        own("dataset", "s.dataset", Kind::Text),
        own("session.state", "s.state", SESSION_STATE),
    ],
    maps: &[
        OWN,
        Map {
            path: "session.attributes",
            open: OWN.open,
            otherwise: None,
        },
    ],
};

const OF_SESSION: &str = "EXISTS (SELECT 1 FROM session_attributes t WHERE t.project = a.project AND t.dataset = a.dataset \
    AND t.session = a.session AND t.key = ";

/// Assets, as `a`.
pub(crate) const ASSETS: Target = Target {
    known: &[
        "dataset",
        "session",
        "path",
        "media_type",
        "size_bytes",
        "sha256",
        "state",
        "create_time",
        "update_time",
        "producer",
        "attributes.*",
        "session.attributes.*",
        "session.state",
        "labels.class",
    ],
    columns: &[
        own("dataset", "a.dataset", Kind::Text),
        own("session", "a.session", Kind::Text),
        own("path", "a.path", Kind::Text),
        own("media_type", "a.media_type", Kind::Text),
        own("size_bytes", "a.size_bytes", Kind::Number),
        own("sha256", "a.sha256", Kind::Text),
        own("state", "a.state", ASSET_STATE),
        own("create_time", "a.created", Kind::Time),
        own("update_time", "a.updated", Kind::Time),
        own("producer", "a.producer", Kind::Text),
        Column {
            name: "session.state",
            column: "s.state",
            kind: SESSION_STATE,
            within: Some((
                "EXISTS (SELECT 1 FROM sessions s WHERE s.project = a.project AND s.dataset = a.dataset \
                 AND s.session = a.session AND ",
                ")",
            )),
        },
        Column {
            name: "labels.class",
            column: "l.class",
            kind: Kind::Text,
            within: Some((
                "EXISTS (SELECT 1 FROM labels l WHERE l.project = a.project AND l.dataset = a.dataset AND l.asset = a.asset AND ",
                ")",
            )),
        },
    ],
    maps: &[
        Map {
            path: "attributes",
            open: "EXISTS (SELECT 1 FROM asset_attributes t WHERE t.project = a.project AND t.dataset = a.dataset \
                   AND t.asset = a.asset AND t.key = ",
            otherwise: Some(OF_SESSION),
        },
        Map {
            path: "session.attributes",
            open: OF_SESSION,
            otherwise: None,
        },
    ],
};
