//! Log lines that name the trace that they belong to.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::Parent;

/// JSON objects with `trace_id` and `span_id` in front, if they were logged in a span that is exported.
#[derive(Clone, Debug)]
pub(crate) struct Identified<F>(pub(crate) F);

impl<S, N, F> FormatEvent<S, N> for Identified<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let ids = Parent::current().map(|parent| parent.ids());
        let Some((true, trace, span)) = ids else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(
                writer,
                r#"{{"trace_id":"{trace}","span_id":"{span}",{rest}"#
            ),
            None => writer.write_str(&line),
        }
    }
}
