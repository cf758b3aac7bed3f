//! Ids: made at random, or from what they stand for.

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new id that sorts by the time at which it was made: `prefix` and 26 characters of a-z and 0-9.
pub fn new(prefix: &str) -> String {
    format!("{prefix}{}", encode(uuid::Uuid::now_v7().as_bytes()))
}

/// An id of 26 characters that follows from its parts, 128 bits of their SHA-256.
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    encode(&bytes)
}

/// Whether the text is a SHA-256 as the API writes it: 64 hexadecimal digits in lower case.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

// Crockford's base 32 in lower case, most significant bits first, so that the text sorts like the number.
fn encode(bytes: &[u8; 16]) -> String {
    let number = u128::from_be_bytes(*bytes);
    (0..26)
        .rev()
        .map(|i| char::from(ALPHABET[((number >> (5 * i)) & 31) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_sort_by_time() {
        let ids: Vec<_> = (0..1000).map(|_| new("r")).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
