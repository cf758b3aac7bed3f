//! The one place that reads the environment, beside the flags that say so.

use std::path::PathBuf;

/// A path in a variable; an empty one counts as not set.
pub(crate) fn path(variable: &str) -> Option<PathBuf> {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the configuration's loader"
    )]
    let value = std::env::var_os(variable)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

/// Text in a variable; an empty one counts as not set.
fn text(variable: &str) -> Option<String> {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the configuration's loader"
    )]
    let value = std::env::var(variable).ok()?;
    (!value.is_empty()).then_some(value)
}

/// What the standard variables of OpenTelemetry say about traces, as far as the program itself heeds them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tracing {
    /// As which service spans are exported; none if they are not.
    pub(crate) service: Option<String>,
    /// What the command follows from, as the shell or a job's pod says it in `TRACEPARENT`.
    pub(crate) parent: Option<String>,
}

/// What the variables say; `usual` is the name of the service unless they name another.
pub(crate) fn tracing(usual: &str) -> Tracing {
    read(usual, text)
}

fn read(usual: &str, text: impl Fn(&str) -> Option<String>) -> Tracing {
    let endpoint =
        text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| text("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let off = text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || text("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
    let service = || text("OTEL_SERVICE_NAME").unwrap_or_else(|| usual.to_owned());
    Tracing {
        service: endpoint.filter(|_| !off).map(|_| service()),
        parent: text("TRACEPARENT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(variables: &[(&str, &str)]) -> Option<String> {
        let text = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read("granary-job", text).service
    }

    #[test]
    fn traces_are_exported_once_somebody_says_where_to() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        assert_eq!(service(&[]), None);
        assert_eq!(service(&[("OTEL_SERVICE_NAME", "lab")]), None);
        assert_eq!(service(&[endpoint]).as_deref(), Some("granary-job"));
        let named = [endpoint, ("OTEL_SERVICE_NAME", "lab")];
        assert_eq!(service(&named).as_deref(), Some("lab"));
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4317");
        assert!(service(&[of_traces]).is_some());
        assert_eq!(service(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(service(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), None);
    }
}
