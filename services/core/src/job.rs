//! What the Job service and its workers must understand in the same way.

/// What jobs make: the keys of an entrypoint's `files_up` and of a job's `outputs`.
pub const OUTPUT_KINDS: [&str; 3] = ["output", "artifact", "log"];

/// The parameter that an argument of a command stands for: `level` of `{params.level}`, which must be the whole argument.
pub fn placeholder(argument: &str) -> Option<&str> {
    argument
        .strip_prefix("{params.")?
        .strip_suffix('}')
        .filter(|name| !name.contains(['{', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_arguments_are_placeholders() {
        assert_eq!(placeholder("{params.level}"), Some("level"));
        for other in [
            "--x={params.level}",
            "{params.a}{params.b}",
            "{params.level",
            "params.level",
        ] {
            assert_eq!(placeholder(other), None, "{other}");
        }
    }
}
