//! Tables and queries. Every query starts with a project: there is no other way to a row.

pub(crate) mod access;
pub(crate) mod api_key;
pub(crate) mod asset;
pub(crate) mod attributes;
pub(crate) mod audit;
pub(crate) mod dataset;
pub(crate) mod event;
pub(crate) mod filter;
pub(crate) mod frozen;
pub(crate) mod json;
pub(crate) mod label;
pub(crate) mod member;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod session;
pub(crate) mod snapshot;
pub(crate) mod unit;
pub(crate) mod usage;

use std::{collections::HashMap, fmt::Display, hash::Hash};

use granary_core::{Error, Result};

/// What was found in any order, in the order in which it was asked for, which may name a thing twice.
pub(crate) fn in_order<N, T>(
    names: Vec<N>,
    found: Vec<T>,
    name_of: impl Fn(&T) -> &N,
) -> Vec<Result<T>>
where
    N: Clone + Eq + Hash + Display,
    T: Clone,
{
    let found: HashMap<N, T> = found
        .into_iter()
        .map(|thing| (name_of(&thing).clone(), thing))
        .collect();
    names
        .into_iter()
        .map(|name| {
            let thing = found.get(&name).cloned();
            thing.ok_or_else(|| Error::not_found(&name))
        })
        .collect()
}
