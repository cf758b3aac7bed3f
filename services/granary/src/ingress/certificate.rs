//! The certificate and the key that Envoy will show: looked at when the configuration is written, since Envoy says little of what is wrong with them.

use std::{fs, path::Path, time::SystemTime};

use granary_core::{Error, Result};
use granary_runtime::tls::{Chain, Trouble};

use super::Settings;
use crate::human;

/// Fails for files that cannot serve; gives what to warn of. Where Envoy runs `elsewhere`, a file that is not here may be there.
pub(crate) fn check(settings: &Settings, elsewhere: bool, now: SystemTime) -> Result<Vec<String>> {
    let (certificate, key) = (&settings.certificate, &settings.key);
    if let Some(file) = [certificate, key].into_iter().find(|file| !file.exists())
        && elsewhere
    {
        return Ok(vec![format!(
            "{} is not here: whether the certificate and its key can serve was not looked at",
            shown(file)
        )]);
    }
    let chain = Chain::read(&read("--certificate", certificate)?)
        .map_err(|why| wrong("--certificate", certificate, &why))?;
    chain
        .fits(&read("--key", key)?)
        .map_err(|why| wrong("--key", key, &why))?;
    let said = |trouble: &Trouble| format!("{}: {trouble}", shown(certificate));
    match chain.trouble(now) {
        None => Ok(Vec::new()),
        Some(trouble @ Trouble::NotYet(_)) => Ok(vec![said(&trouble)]),
        Some(trouble @ Trouble::IsAuthority) => Ok(vec![format!(
            "{}: browsers may take it, but this command does not",
            said(&trouble)
        )]),
        Some(trouble @ Trouble::Ended(_)) => Err(Error::invalid(
            "--certificate",
            format!("{}: have it renewed", said(&trouble)),
        )),
        Some(trouble) => Err(Error::invalid("--certificate", said(&trouble))),
    }
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| {
        let why = human::io_error(&error);
        wrong(flag, file, &format!("cannot be read ({why})"))
    })
}

fn wrong(flag: &str, file: &Path, why: &str) -> Error {
    Error::invalid(flag, format!("{} {why}", shown(file)))
}

fn shown(file: &Path) -> String {
    human::shown(&file.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ingress::settings::tests::settings;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn file(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/tls")
            .join(name)
    }

    /// In a year after 1970.
    fn looked_at(certificate: &str, key: &str, year: u32, elsewhere: bool) -> Result<Vec<String>> {
        let settings = Settings {
            certificate: file(certificate),
            key: file(key),
            ..settings("")
        };
        check(&settings, elsewhere, SystemTime::UNIX_EPOCH + YEAR * year)
    }

    #[test]
    fn a_certificate_and_its_key_may_serve() {
        let fine = looked_at("server.crt", "server.key", 56, false);
        assert_eq!(fine.unwrap(), [""; 0]);
    }

    #[test]
    fn what_cannot_serve_is_named_with_its_flag() {
        for (certificate, key, year, said) in [
            ("none", "server.key", 56, "--certificate: "),
            ("none", "server.key", 56, "/none cannot be read (not found)"),
            ("server.crt", "none", 56, "--key: "),
            (
                "server.key",
                "server.key",
                56,
                "server.key holds no certificate in PEM form",
            ),
            (
                "server.crt",
                "server.crt",
                56,
                "server.crt holds no private key in PEM form",
            ),
            (
                "server.crt",
                "authority.key",
                56,
                "authority.key is not the key of the certificate",
            ),
            (
                "ended.crt",
                "server.key",
                56,
                "ended.crt: its certificate ended on 2021-01-01: have it renewed",
            ),
            ("server.crt", "server.key", 160, "ended on 2121-01-01"),
        ] {
            let error = looked_at(certificate, key, year, false).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!error.to_string().contains("PRIVATE"), "{error}");
        }
    }

    #[test]
    fn what_may_serve_some_day_or_for_some_is_warned_of() {
        for (certificate, key, year, said) in [
            (
                "server.crt",
                "server.key",
                40,
                "counts only from 2021-01-01 on",
            ),
            (
                "authority.crt",
                "authority.key",
                56,
                "is that of an authority",
            ),
        ] {
            let warnings = looked_at(certificate, key, year, false).unwrap();
            assert!(
                warnings.len() == 1 && warnings[0].contains(said),
                "{warnings:?}"
            );
        }
        let elsewhere = looked_at("none", "server.key", 56, true).unwrap();
        assert!(elsewhere[0].contains("none is not here"), "{elsewhere:?}");
    }
}
