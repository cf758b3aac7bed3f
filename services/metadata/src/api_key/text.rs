//! The text of an API key: `granary_`, the key's id (8), its secret (43) and a checksum (6).
//!
//! The secret has 256 bits, from the operating system's generator. The checksum follows from what stands before it, so that a typo and a
//! text that is no key at all are found without asking the database.

use aws_lc_rs::rand;
use granary_core::{Error, Result};
use granary_runtime::secret::Secret;
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "granary_";
const ID: usize = 8;
/// log2(62^43) is 256.03.
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Crockford's, since ids are read aloud and stand in names.
const ID_DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A key that was just made.
pub(super) struct Made {
    pub id: String,
    /// The whole text.
    pub text: Secret,
    /// What is stored of it, in hexadecimal.
    pub digest: String,
}

/// A text that looks like a key.
#[derive(Debug)]
pub(super) struct Read {
    pub id: String,
    digest: [u8; 32],
}

/// Makes a key at random.
pub(super) fn make() -> Result<Made> {
    let id = random(ID, ID_DIGITS)?;
    let body = format!("{PREFIX}{id}{}", random(SECRET, DIGITS)?);
    let text = format!("{body}{}", checksum(&body));
    Ok(Made {
        id,
        digest: hex::encode(Sha256::digest(&text)),
        text: Secret::new(text),
    })
}

/// Reads a text; nothing if it is no key, or one with a typo.
pub(super) fn read(text: &str) -> Option<Read> {
    let rest = text.strip_prefix(PREFIX)?;
    if rest.len() != ID + SECRET + CHECKSUM || !rest.bytes().all(|b| DIGITS.contains(&b)) {
        return None;
    }
    let (body, sum) = text.split_at_checked(text.len() - CHECKSUM)?;
    (checksum(body) == sum).then_some(())?;
    Some(Read {
        id: rest.get(..ID)?.to_owned(),
        digest: Sha256::digest(text).into(),
    })
}

impl Read {
    /// Whether it is the key of which this digest is stored. Takes as long whatever differs.
    pub(super) fn is(&self, digest: &str) -> bool {
        let mut stored = [0; 32];
        hex::decode_to_slice(digest, &mut stored).is_ok()
            && aws_lc_rs::constant_time::verify_slices_are_equal(&self.digest, &stored).is_ok()
    }
}

// Each digit is as likely as the others: bytes that do not divide evenly are thrown away.
fn random(length: usize, digits: &[u8]) -> Result<String> {
    let fair = 256 - 256 % digits.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 64];
        rand::fill(&mut bytes).map_err(|_| Error::Internal {
            context: "making an API key".into(),
            cause: None,
        })?;
        let taken = bytes
            .iter()
            .map(|byte| usize::from(*byte))
            .filter(|byte| *byte < fair)
            .filter_map(|byte| digits.get(byte % digits.len()))
            .take(length - text.len());
        text.extend(taken.map(|digit| char::from(*digit)));
    }
    Ok(text)
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body);
    let mut number = digest
        .iter()
        .take(4)
        .fold(0, |number, byte| number << 8 | usize::from(*byte));
    let mut text = [b'0'; CHECKSUM];
    for digit in text.iter_mut().rev() {
        *digit = *DIGITS.get(number % DIGITS.len()).unwrap_or(digit);
        number /= DIGITS.len();
    }
    text.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let made = make().unwrap();
        let text = made.text.reveal();
        assert_eq!(text.len(), PREFIX.len() + 57);
        let found = read(text).unwrap();
        assert_eq!(found.id, made.id);
        assert!(found.is(&made.digest));
        assert!(!found.is(&make().unwrap().digest));
        assert!(!found.is("") && !found.is("no hexadecimal"));
        assert!(!format!("{:?}", made.text).contains(&made.id));
    }

    #[test]
    fn every_typo_is_found() {
        let made = make().unwrap();
        let text = made.text.reveal();
        for (i, old) in text.char_indices() {
            let mut typo: Vec<char> = text.chars().collect();
            typo[i] = if old == 'x' { 'y' } else { 'x' };
            assert!(read(&typo.iter().collect::<String>()).is_none(), "{i}");
        }
        let exchanged = text.get(..20).unwrap().to_owned()
            + &text.get(20..22).unwrap().chars().rev().collect::<String>()
            + text.get(22..).unwrap();
        assert!(exchanged == text || read(&exchanged).is_none());
        for other in [
            "",
            "granary_",
            "granary_x",
            &text.repeat(2),
            text.trim_start_matches("g"),
            &format!("{text} "),
            "granary_\u{e9}",
        ] {
            assert!(read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn no_two_are_alike() {
        let made: std::collections::HashSet<_> = (0..1000)
            .map(|_| make().unwrap().text.reveal().to_owned())
            .collect();
        assert_eq!(made.len(), 1000);
    }
}
