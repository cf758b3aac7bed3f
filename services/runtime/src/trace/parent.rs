//! Where a trace stands, as it is handed from one piece of work to another: W3C Trace Context.

use std::{fmt, str::FromStr as _};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header that says it.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What others say beside it.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// How long the text of a parent is, in bytes.
pub const MAX_BYTES: usize = 55;

/// A span that others follow from, of this process or of another one. Its text is that of the `traceparent` header, version 00.
#[derive(Clone, Debug, PartialEq)]
pub struct Parent(SpanContext);

impl Parent {
    /// Reads `VERSION-TRACE-SPAN-FLAGS`; nothing if it is anything else. Of a later version, only what version 00 has is read.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut hex = |length| {
            parts
                .next()
                .filter(|part| part.len() == length && part.bytes().all(is_hex))
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
        Self::valid(SpanContext::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            flags,
            true,
            TraceState::NONE,
        ))
    }

    /// The span that is open now, if spans are exported.
    pub(super) fn current() -> Option<Self> {
        Context::map_current(|context| {
            context
                .has_active_span()
                .then(|| Self::valid(context.span().span_context().clone()))
                .flatten()
        })
    }

    /// A span, if it is exported.
    pub(super) fn of(span: &Span) -> Option<Self> {
        Self::valid(span.context().span().span_context().clone())
    }

    fn valid(context: SpanContext) -> Option<Self> {
        context.is_valid().then_some(Self(context))
    }

    /// Where a caller's trace stands.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let Self(parent) = Self::parse(headers.get(TRACEPARENT)?.to_str().ok()?)?;
        let state = headers.get(TRACESTATE).and_then(|text| text.to_str().ok());
        let state = state.and_then(|text| TraceState::from_str(text).ok());
        Some(Self(SpanContext::new(
            parent.trace_id(),
            parent.span_id(),
            parent.trace_flags(),
            true,
            state.unwrap_or_default(),
        )))
    }

    /// Says it to whoever is called.
    pub(super) fn to_headers(&self, headers: &mut HeaderMap) {
        if let Ok(mut value) = HeaderValue::try_from(self.to_string()) {
            // It never comes again: not worth a place in the connection's table of headers.
            value.set_sensitive(true);
            headers.insert(TRACEPARENT, value);
        }
        let state = self.0.trace_state().header();
        if let Ok(value) = HeaderValue::try_from(state)
            && !value.is_empty()
        {
            headers.insert(TRACESTATE, value);
        }
    }

    /// Has a span that has not begun yet follow from it.
    pub(super) fn adopt(&self, span: &Span) {
        // Without an exporter there is nothing to tell.
        let _ = span.set_parent(Context::new().with_remote_span_context(self.context()));
    }

    pub(super) fn context(&self) -> SpanContext {
        self.0.clone()
    }

    /// Whether its spans are exported; the identifiers of the trace and of the span.
    pub(super) fn ids(&self) -> (bool, TraceId, SpanId) {
        (self.0.is_sampled(), self.0.trace_id(), self.0.span_id())
    }

    /// The identifier of its trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sampled, trace, span) = self.ids();
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(sampled))
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_the_standard_says_is_read_and_nothing_else() {
        let read = |text: &str| Parent::parse(text).map(|parent| parent.to_string());
        assert_eq!(read(TEXT).as_deref(), Some(TEXT));
        assert_eq!(TEXT.len(), MAX_BYTES);
        let unsampled = TEXT.replace("-01", "-00");
        assert_eq!(read(&unsampled), Some(unsampled));
        // Flags that are not known are not handed on, and a later version is read as far as it is known.
        assert_eq!(read(&TEXT.replace("-01", "-ff")).as_deref(), Some(TEXT));
        let later = format!("cc{}-what-comes", TEXT.strip_prefix("00").unwrap());
        assert_eq!(read(&later).as_deref(), Some(TEXT));
        for wrong in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_comes_in_headers_goes_on_in_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(TEXT));
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1,other=2"));
        let parent = Parent::from_headers(&headers).unwrap();
        let mut on = HeaderMap::new();
        parent.to_headers(&mut on);
        assert_eq!(on, headers);
        headers.insert(TRACESTATE, HeaderValue::from_static("no state"));
        assert_eq!(Parent::from_headers(&headers), Parent::parse(TEXT));
        headers.insert(TRACEPARENT, HeaderValue::from_static("no parent"));
        assert_eq!(Parent::from_headers(&headers), None);
    }
}
