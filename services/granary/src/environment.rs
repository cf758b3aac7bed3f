//! The one place that reads the environment, beside the flags that say so.

use std::path::PathBuf;

use tonic::transport::Uri;

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
    /// Variables whose values cannot be, each with what was expected. Then nothing is exported.
    pub(crate) wrong: Vec<(&'static str, &'static str)>,
}

/// What the variables say; `usual` is the name of the service unless they name another.
pub(crate) fn tracing(usual: &str) -> Tracing {
    read(usual, text)
}

const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
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
struct Rule {
    variable: &'static str,
    is_valid: fn(&str) -> bool,
    expected: &'static str,
}

const fn rule(variable: &'static str, is_valid: fn(&str) -> bool, expected: &'static str) -> Rule {
    Rule {
        variable,
        is_valid,
        expected,
    }
}

const ENDPOINT: &str = "expected http://HOST:PORT";
const PROTOCOL: &str = "expected grpc, which is all that traces are exported by";
const PAIRS: &str = "expected NAME=VALUE, or several of them joined by commas";
const SPANS: &str = "expected 1 to 1000000 spans";
const MILLISECONDS: &str = "expected 1 to 1000000 milliseconds";

const RULES: [Rule; 17] = [
    rule(ENDPOINTS[0], is_endpoint, ENDPOINT),
    rule(ENDPOINTS[1], is_endpoint, ENDPOINT),
    rule("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", is_grpc, PROTOCOL),
    rule("OTEL_EXPORTER_OTLP_PROTOCOL", is_grpc, PROTOCOL),
    rule("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", is_count, MILLISECONDS),
    rule("OTEL_EXPORTER_OTLP_TIMEOUT", is_count, MILLISECONDS),
    rule("OTEL_EXPORTER_OTLP_TRACES_HEADERS", is_pairs, PAIRS),
    rule("OTEL_EXPORTER_OTLP_HEADERS", is_pairs, PAIRS),
    rule("OTEL_RESOURCE_ATTRIBUTES", is_pairs, PAIRS),
    rule("OTEL_TRACES_EXPORTER", is_otlp, "expected otlp or none"),
    rule("OTEL_SDK_DISABLED", is_boolean, "expected true or false"),
    rule(
        "OTEL_TRACES_SAMPLER",
        is_sampler,
        "expected one such as parentbased_traceidratio",
    ),
    rule(
        "OTEL_TRACES_SAMPLER_ARG",
        is_share,
        "expected a share of 0 to 1",
    ),
    rule("OTEL_BSP_MAX_QUEUE_SIZE", is_count, SPANS),
    rule("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", is_count, SPANS),
    rule("OTEL_BSP_SCHEDULE_DELAY", is_count, MILLISECONDS),
    rule("OTEL_BSP_EXPORT_TIMEOUT", is_count, MILLISECONDS),
];

fn read(usual: &str, text: impl Fn(&str) -> Option<String>) -> Tracing {
    let parent = text("TRACEPARENT");
    let off = text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || text("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
    if off || ENDPOINTS.into_iter().all(|name| text(name).is_none()) {
        return Tracing {
            parent,
            ..Tracing::default()
        };
    }
    let wrong = RULES.iter().filter_map(|rule| {
        let value = text(rule.variable)?;
        (!(rule.is_valid)(&value)).then_some((rule.variable, rule.expected))
    });
    let wrong: Vec<_> = wrong.collect();
    let service = || text("OTEL_SERVICE_NAME").unwrap_or_else(|| usual.to_owned());
    Tracing {
        service: wrong.is_empty().then(service),
        parent,
        wrong,
    }
}

fn is_endpoint(text: &str) -> bool {
    text.parse::<Uri>()
        .is_ok_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")))
}

fn is_grpc(text: &str) -> bool {
    text == "grpc"
}

fn is_otlp(text: &str) -> bool {
    text.split(',').any(|exporter| exporter.trim() == "otlp")
}

fn is_boolean(text: &str) -> bool {
    ["true", "false"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

fn is_pairs(text: &str) -> bool {
    let mut pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs.all(|pair| {
        pair.split_once('=').is_some_and(|(name, _)| {
            let name = name.trim();
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
        })
    })
}

fn is_sampler(text: &str) -> bool {
    SAMPLERS.contains(&text)
}

fn is_share(text: &str) -> bool {
    text.parse().is_ok_and(|share| (0.0..=1.0).contains(&share))
}

fn is_count(text: &str) -> bool {
    text.parse()
        .is_ok_and(|count| (1..=1_000_000).contains(&count))
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
    fn a_value_that_cannot_be_is_told_and_nothing_is_exported() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        let wrong = |variables: &[(&str, &str)]| {
            let said = said(variables);
            assert!(said.wrong.is_empty() || said.service.is_none());
            let names: Vec<_> = said.wrong.iter().map(|(name, _)| *name).collect();
            names
        };
        for (variable, values, right) in [
            ("OTEL_TRACES_SAMPLER", &["sometimes"][..], "always_off"),
            ("OTEL_TRACES_SAMPLER_ARG", &["10", "NaN", "-1"], "0.1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", &["0", "4000000000"], "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", &["5s"], "5000"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                &["nonsense", "bad header=x"],
                "api-key=a=b,x=y",
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                &["abc"],
                "k8s.namespace.name=lab,",
            ),
            ("OTEL_TRACES_EXPORTER", &["console"], "console,otlp"),
            ("OTEL_SDK_DISABLED", &["yes"], "FALSE"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", &["0"], "100"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", &["http/protobuf"], "grpc"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                &[
                    "collector:4317",
                    "http://collector:4317 ",
                    "ftp://collector",
                ],
                "https://collector",
            ),
        ] {
            assert!(
                wrong(&[endpoint, (variable, right)]).is_empty(),
                "{variable}"
            );
            for value in values {
                assert_eq!(wrong(&[endpoint, (variable, value)]), [variable], "{value}");
            }
        }
        // Where nothing is exported, nobody minds.
        assert!(
            wrong(&[
                ("OTEL_TRACES_SAMPLER", "sometimes"),
                ("OTEL_SDK_DISABLED", "true")
            ])
            .is_empty()
        );
    }
}
