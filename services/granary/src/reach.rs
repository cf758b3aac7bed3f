//! Why the server cannot be reached, and what to do: most often it is the endpoint, or the certificate that answers there.

use granary_core::Error;
use granary_runtime::tls::{self, Trouble};

use crate::config::Config;

/// The error of a connection that did not come about, or broke.
pub(crate) fn unreachable(config: &Config, cause: &(dyn std::error::Error + 'static)) -> Error {
    let mut root = cause;
    while let Some(source) = root.source() {
        root = source;
    }
    tracing::info!(cause = %root, "connection failed");
    if let Some(error) = of_other_kind(config) {
        return error;
    }
    let advice = match Trouble::behind(cause) {
        Some(trouble) => advice(config, &trouble),
        None if config.is_local() && config.endpoint.scheme() == "http" => {
            "is the server running? start it with: granary serve".to_owned()
        }
        None => format!("{root}; is the server running, and the endpoint right?"),
    };
    Error::Unavailable {
        reason: format!("cannot reach {}: {advice}", config.shown()),
        cause: None,
    }
}

/// The error of an endpoint without TLS at which TLS is spoken, if that is so. Blocks for some seconds at most.
pub(crate) fn of_other_kind(config: &Config) -> Option<Error> {
    let url = &config.endpoint;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let port = url.port_or_known_default()?;
    let spoken = url.scheme() == "http" && tls::is_spoken_at(host, port);
    // As hopeless as any refusal: no other call fares better.
    spoken.then(|| Error::Denied {
        reason: format!(
            "{} answers with TLS only: write the endpoint with https:// (--endpoint or GRANARY_ENDPOINT)",
            config.shown()
        ),
    })
}

fn advice(config: &Config, trouble: &Trouble) -> String {
    let host = config.endpoint.host_str().unwrap_or_default();
    let at_the_server = "the server needs another one";
    match trouble {
        Trouble::UnknownAuthority => match &config.ca_file {
            None => format!(
                "{trouble}: name the file with that authority's certificate (PEM) with --ca-file or GRANARY_CA_FILE"
            ),
            Some(file) => format!(
                "{trouble}, nor in {}: name the file with that authority's certificate (PEM) with --ca-file or GRANARY_CA_FILE",
                crate::human::shown(&file.display().to_string())
            ),
        },
        Trouble::OtherNames(names) if names.is_empty() => format!("{trouble}: {at_the_server}"),
        Trouble::OtherNames(_) => format!(
            "{trouble}, and not for {host}: call it by a name of its certificate (--endpoint or GRANARY_ENDPOINT)"
        ),
        Trouble::IsAuthority => format!("{trouble}: {at_the_server}"),
        Trouble::Ended(_) | Trouble::NotYet(_) => {
            format!("{trouble}: {at_the_server}, unless the clock of this machine is wrong")
        }
        Trouble::Plain => {
            let mut plain = config.endpoint.clone();
            let _ = plain.set_scheme("http");
            let plain = plain.as_str().trim_end_matches('/');
            format!("{trouble}: is it another port, or {plain} (--endpoint or GRANARY_ENDPOINT)?")
        }
        Trouble::Other(_) => trouble.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Flags, settings::File};

    #[test]
    fn each_trouble_says_what_to_do() {
        let config = |ca_file: Option<&str>| {
            let flags = Flags {
                endpoint: Some("https://lab.example:7443".into()),
                ca_file: ca_file.map(Into::into),
                ..Flags::default()
            };
            flags.settle(File::default()).unwrap()
        };
        let names = Trouble::OtherNames(vec!["a.example".into(), "b.example".into()]);
        for (trouble, said) in [
            (Trouble::UnknownAuthority, "with --ca-file"),
            (
                names,
                "for a.example, b.example, and not for lab.example: call it by",
            ),
            (
                Trouble::OtherNames(vec![]),
                "for no host name at all: the server needs",
            ),
            (Trouble::IsAuthority, "the server needs another one"),
            (
                Trouble::Ended(Some("2021-01-01".into())),
                "ended on 2021-01-01: the server needs",
            ),
            (
                Trouble::NotYet(None),
                "unless the clock of this machine is wrong",
            ),
            (Trouble::Plain, "or http://lab.example:7443 (--endpoint"),
            (Trouble::Other("why".into()), "TLS fails: why"),
        ] {
            let text = advice(&config(None), &trouble);
            assert!(text.contains(said), "{text}");
        }
        let text = advice(&config(Some("ca.pem")), &Trouble::UnknownAuthority);
        assert!(text.contains("nor in ca.pem"), "{text}");
    }
}
