//! TLS in words: what stands in the way of a connection, and whether a certificate and its key can serve.

use std::{
    error::Error as StdError,
    fmt,
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject as _},
    },
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use time::OffsetDateTime;

/// How long to wait for a server that is asked whether it speaks TLS.
const PROBE: Duration = Duration::from_secs(2);
/// How many names of a certificate are shown.
const SHOWN: usize = 5;

/// Why a certificate does not serve, or why there is no TLS connection; shown as what follows the server's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The certificate is of an authority that is not trusted here.
    UnknownAuthority,
    /// The certificate is that of an authority itself.
    IsAuthority,
    /// The certificate is for these names and not for the one that was called.
    OtherNames(Vec<String>),
    /// The certificate has ended, on this day if it is known.
    Ended(Option<String>),
    /// The certificate does not count yet, but from this day on if it is known.
    NotYet(Option<String>),
    /// The server answers without TLS.
    Plain,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAuthority => {
                f.write_str("its certificate is of an authority that is not trusted here")
            }
            Self::IsAuthority => f.write_str(
                "its certificate is that of an authority, as `openssl req -x509` makes it, and not one that an authority signed for a server",
            ),
            Self::OtherNames(names) if names.is_empty() => {
                f.write_str("its certificate is for no host name at all")
            }
            Self::OtherNames(names) => write!(f, "its certificate is for {}", listed(names)),
            Self::Ended(Some(day)) => write!(f, "its certificate ended on {day}"),
            Self::Ended(None) => f.write_str("its certificate has ended"),
            Self::NotYet(Some(day)) => write!(f, "its certificate counts only from {day} on"),
            Self::NotYet(None) => f.write_str("its certificate does not count yet"),
            Self::Plain => f.write_str("it answers without TLS"),
            Self::Other(why) => write!(f, "TLS fails: {why}"),
        }
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Trouble {
    /// The fault of TLS behind an error, if there is one.
    pub fn behind(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = of_tls(error) {
                return Some(tls.into());
            }
            next = error.source();
        }
        None
    }
}

// What an I/O error wraps is not its source.
fn of_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    error
        .downcast_ref()
        .or_else(|| of_tls(error.downcast_ref::<io::Error>()?.get_ref()?))
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(certificate) => certificate.into(),
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::Plain,
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<&CertificateError> for Trouble {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName => Self::OtherNames(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::OtherNames(presented.iter().map(|name| bare(name)).collect())
            }
            CertificateError::Expired => Self::Ended(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Ended(day(*not_after)),
            CertificateError::NotValidYet => Self::NotYet(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYet(day(*not_before))
            }
            // The library has no variant for it.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
                Self::IsAuthority
            }
            other => Self::Other(format!("the certificate is not right ({other})")),
        }
    }
}

// `DnsName("a.example")` is `a.example`, without what could drive a terminal.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest);
    inner
        .chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | ')'))
        .collect()
}

fn day(time: UnixTime) -> Option<String> {
    let seconds = i64::try_from(time.as_secs()).ok()?;
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    Some(time.date().to_string())
}

/// A server's certificate and those above it.
#[derive(Debug)]
pub struct Chain(Vec<CertificateDer<'static>>);

impl Chain {
    /// Reads PEM. The error says what is there instead.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
        let chain = read.map_err(|_| "is no PEM that can be read")?;
        let Some(first) = chain.first() else {
            return Err("holds no certificate in PEM form".into());
        };
        ParsedCertificate::try_from(first)
            .map_err(|_| "holds something as a certificate that is none")?;
        Ok(Self(chain))
    }

    /// What stands against its use at a time, whoever signed it.
    pub fn trouble(&self, now: SystemTime) -> Option<Trouble> {
        let (first, above) = self.0.split_first()?;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let checked = ParsedCertificate::try_from(first).and_then(|certificate| {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &RootCertStore::empty(),
                above,
                UnixTime::since_unix_epoch(since),
                provider().signature_verification_algorithms.all,
            )
        });
        // Nobody is trusted here, so that a good one is of an unknown authority.
        checked
            .err()
            .map(|error| Trouble::from(&error))
            .filter(|trouble| *trouble != Trouble::UnknownAuthority)
    }

    /// Fails unless this private key (PEM) is that of the first certificate.
    pub fn fits(&self, key: &[u8]) -> Result<(), String> {
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => {
                return Err("holds no private key in PEM form, or one that is encrypted".into());
            }
            Err(_) => return Err("is no PEM that can be read".into()),
        };
        match CertifiedKey::from_der(self.0.clone(), key, &provider()) {
            Ok(_) => Ok(()),
            Err(Error::InconsistentKeys(_)) => Err(
                "is not the key of the certificate, which has to be the first in its file".into(),
            ),
            Err(_) => Err("holds a private key that cannot be used for TLS".into()),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// Whether whoever listens there speaks TLS: it answers the beginning of a handshake with a record of TLS. Blocks, for some seconds if
/// nobody answers: meant for finding out why something else did not work.
pub fn is_spoken_at(host: &str, port: u16) -> bool {
    asked(host, port).is_ok_and(|spoken| spoken)
}

fn asked(host: &str, port: u16) -> io::Result<bool> {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    let hello = hello().map_err(io::Error::other)?;
    let mut connection = Err(io::ErrorKind::NotFound.into());
    // `localhost` may be two, and only one of them answers.
    for address in (host, port).to_socket_addrs()?.take(2) {
        connection = TcpStream::connect_timeout(&address, PROBE);
        if connection.is_ok() {
            break;
        }
    }
    let mut connection = connection?;
    connection.set_read_timeout(Some(PROBE))?;
    connection.set_write_timeout(Some(PROBE))?;
    connection.write_all(&hello)?;
    let mut head = [0; 2];
    connection.read_exact(&mut head)?;
    Ok(matches!(head, [ALERT | HANDSHAKE, 3]))
}

// For no host in particular: whatever is answered is an answer.
fn hello() -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), name)?.write_tls(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_fault_of_tls_is_found_wherever_it_is_wrapped() {
        let inner = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert_eq!(Trouble::behind(&outer), Some(Trouble::UnknownAuthority));
        assert_eq!(Trouble::behind(&io::Error::other("away")), None);
    }

    #[test]
    fn faults_are_said_without_the_words_of_the_library() {
        let names = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("c.example").unwrap(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for (error, said) in [
            (
                names(&["DnsName(\"a.example\")", "IpAddress(10.0.0.1)"]),
                "its certificate is for a.example, 10.0.0.1",
            ),
            (
                names(&["DnsName(\"\u{1b}[2Ja\")"]),
                "its certificate is for [2Ja",
            ),
            (
                names(&["DnsName(\"a\")"; 7]),
                "its certificate is for a, a, a, a, a and 2 more",
            ),
            (names(&[]), "its certificate is for no host name at all"),
            (
                CertificateError::ExpiredContext {
                    time: at(9),
                    not_after: at(0),
                },
                "its certificate ended on 1970-01-01",
            ),
            (
                CertificateError::NotValidYetContext {
                    time: at(0),
                    not_before: at(86_400),
                },
                "its certificate counts only from 1970-01-02 on",
            ),
        ] {
            assert_eq!(Trouble::from(&error).to_string(), said);
        }
        let plain = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(Trouble::from(&plain), Trouble::Plain);
    }

    /// Somebody who answers the first bytes of one connection with these.
    #[allow(clippy::disallowed_methods, reason = "the other end of a test")]
    fn answering(with: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut heard = [0; 3];
            connection.read_exact(&mut heard).unwrap();
            assert_eq!(heard[..2], [22, 3], "the beginning of a handshake");
            connection.write_all(with).unwrap();
        });
        port
    }

    #[test]
    fn who_speaks_tls_is_told_from_who_does_not() {
        assert!(is_spoken_at(
            "127.0.0.1",
            answering(&[21, 3, 3, 0, 2, 2, 40])
        ));
        assert!(is_spoken_at("127.0.0.1", answering(&[22, 3, 3, 0, 90])));
        assert!(!is_spoken_at(
            "127.0.0.1",
            answering(b"HTTP/1.1 400 Bad Request\r\n")
        ));
        assert!(!is_spoken_at("127.0.0.1", answering(b"")));
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        assert!(!is_spoken_at("127.0.0.1", closed));
    }
}
