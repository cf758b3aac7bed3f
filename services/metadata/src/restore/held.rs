//! What a project holds more with what is put into the database.

use std::collections::BTreeMap;

use granary_core::{Result, clock::from_micros, day::Day};
use sea_orm::ConnectionTrait;

use crate::store::{
    session::Counts,
    usage::{self, Used},
};

/// Bytes and assets, by the days on which they arrived.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<Day, Used>);

impl Held {
    /// Adds some of a moment, in microseconds since 1970.
    pub(super) fn add(&mut self, moment: i64, bytes: i64, objects: i64) {
        let day = self.0.entry(Day::of(from_micros(moment))).or_default();
        day.add(Used {
            bytes,
            objects,
            ..Used::default()
        });
    }

    /// Adds all to what a project holds.
    pub(super) async fn settle(self, on: &impl ConnectionTrait, project: &str) -> Result<()> {
        usage::lock(on, &[project].into()).await?;
        for (day, used) in self.0 {
            let added = BTreeMap::from([(project.to_owned(), used)]);
            usage::hold(on, day, &added).await?;
        }
        Ok(())
    }
}

/// How many assets were counted, and of how many bytes.
pub(super) fn size(counts: &Counts) -> (u64, u64) {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    (number(counts.assets), number(counts.bytes))
}
