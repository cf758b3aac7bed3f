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
    /// Variables whose values cannot be, each with what was expected: they are passed over, as OpenTelemetry has it.
    pub(crate) passed_over: Vec<(&'static str, &'static str)>,
}

/// What the variables say; `usual` is the name of the service unless they name another.
pub(crate) fn tracing(usual: &str) -> Tracing {
    read(usual, text)
}

const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// A variable that OpenTelemetry's libraries read, and what it may be.
struct Value {
    variable: &'static str,
    is_right: fn(&str) -> bool,
    expected: &'static str,
}

const VALUES: [Value; 6] = [
    Value {
        variable: "OTEL_TRACES_SAMPLER",
        is_right: |text| SAMPLERS.contains(&text),
        expected: "expected one such as parentbased_traceidratio",
    },
    Value {
        variable: "OTEL_TRACES_SAMPLER_ARG",
        is_right: is_share,
        expected: "expected a share of 0 to 1",
    },
    Value {
        variable: "OTEL_BSP_MAX_QUEUE_SIZE",
        is_right: is_count,
        expected: "expected a number of spans",
    },
    Value {
        variable: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        is_right: is_count,
        expected: "expected a number of spans",
    },
    Value {
        variable: "OTEL_BSP_SCHEDULE_DELAY",
        is_right: is_count,
        expected: "expected milliseconds",
    },
    Value {
        variable: "OTEL_EXPORTER_OTLP_TIMEOUT",
        is_right: is_count,
        expected: "expected milliseconds",
    },
];

fn read(usual: &str, text: impl Fn(&str) -> Option<String>) -> Tracing {
    let parent = text("TRACEPARENT");
    let off = text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || text("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
    let first = |names: [&'static str; 2]| {
        let mut set = names
            .into_iter()
            .filter_map(|name| Some((name, text(name)?)));
        set.next()
    };
    let Some((variable, endpoint)) = first(ENDPOINTS).filter(|_| !off) else {
        return Tracing {
            parent,
            ..Tracing::default()
        };
    };
    let (mut exported, mut passed_over) = (true, Vec::new());
    if !is_endpoint(&endpoint) {
        exported = false;
        passed_over.push((variable, "no traces: expected http://HOST:PORT"));
    }
    let protocol = first(PROTOCOLS).filter(|(_, protocol)| protocol != "grpc");
    if let Some((variable, _)) = protocol {
        exported = false;
        passed_over.push((variable, "no traces: they are exported by grpc only"));
    }
    let wrong = VALUES.iter().filter_map(|value| {
        let text = text(value.variable)?;
        (!(value.is_right)(&text)).then_some((value.variable, value.expected))
    });
    passed_over.extend(wrong);
    let service = || text("OTEL_SERVICE_NAME").unwrap_or_else(|| usual.to_owned());
    Tracing {
        service: exported.then(service),
        parent,
        passed_over,
    }
}

fn is_endpoint(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn is_share(text: &str) -> bool {
    text.parse().is_ok_and(|share| (0.0..=1.0).contains(&share))
}

fn is_count(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Tracing {
        let text = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read("granary-job", text)
    }

    fn service(variables: &[(&str, &str)]) -> Option<String> {
        said(variables).service
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

    #[test]
    fn values_that_cannot_be_are_told_and_passed_over() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        let names = |variables: &[(&str, &str)]| {
            let said = said(variables);
            let names: Vec<_> = said.passed_over.iter().map(|(name, _)| *name).collect();
            (said.service.is_some(), names)
        };
        for (variable, wrong, right, exported) in [
            ("OTEL_TRACES_SAMPLER", "sometimes", "always_off", true),
            ("OTEL_TRACES_SAMPLER_ARG", "10", "0.1", true),
            ("OTEL_TRACES_SAMPLER_ARG", "NaN", "1", true),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "100", true),
            ("OTEL_BSP_SCHEDULE_DELAY", "5s", "5000", true),
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "http/protobuf",
                "grpc",
                false,
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "collector:4317",
                "https://collector",
                false,
            ),
        ] {
            assert_eq!(names(&[endpoint, (variable, right)]), (true, vec![]));
            assert_eq!(
                names(&[endpoint, (variable, wrong)]),
                (exported, vec![variable])
            );
            assert_eq!(
                names(&[(variable, wrong)]).1.len(),
                usize::from(variable.ends_with("ENDPOINT"))
            );
        }
    }
}
