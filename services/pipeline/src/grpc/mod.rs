//! Handlers: parse, call, convert.

mod pipeline;
mod run;

pub(crate) use pipeline::PipelineHandler;
pub(crate) use run::RunHandler;

use granary_core::clock::from_micros;
use granary_proto::convert::timestamp;
use prost_types::Timestamp;

fn wire_time(micros: i64) -> Option<Timestamp> {
    (micros != 0).then(|| timestamp(from_micros(micros)))
}
