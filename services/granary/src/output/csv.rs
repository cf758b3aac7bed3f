//! Lines of values for other programs (RFC 4180).

/// One line with its end; values are quoted where they have to be.
pub(crate) fn line(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("{}\n", values.join(","))
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_apart() {
        let values = ["a", "", "b,c", "d \"e\"", "f\ng"].map(str::to_owned);
        assert_eq!(line(&values), "a,,\"b,c\",\"d \"\"e\"\"\",\"f\ng\"\n");
    }
}
