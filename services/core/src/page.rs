//! Paging (AIP-158): sizes within bounds, and opaque tokens that fit only the question that they answer.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result, id};

/// The most that a page holds.
pub const MAX_SIZE: u32 = 1000;
/// What a page holds when nobody says.
pub const DEFAULT_SIZE: u32 = 100;

/// Bounds a requested page size: 0 is the default, more than the maximum is the maximum.
pub fn size(requested: i32) -> Result<u32> {
    match u32::try_from(requested) {
        Err(_) => Err(Error::invalid(
            "page_size",
            format!("expected 0 to {MAX_SIZE}, got {requested}"),
        )),
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
    }
}

/// Makes the token of the next page from the key of the last row. `question` is everything else that the answer depends on, such as
/// parent and filter.
pub fn encode<K: Serialize>(question: &[&str], key: &K) -> Result<String> {
    let body = serde_json::to_vec(&(id::digest(question), key))
        .map_err(|error| Error::internal("making a page token", error))?;
    Ok(URL_SAFE_NO_PAD.encode(body))
}

/// Reads a token: the key after which the page starts, or none for the first page.
pub fn decode<K: DeserializeOwned>(question: &[&str], token: &str) -> Result<Option<K>> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > 8192 {
        return Err(wrong());
    }
    let body = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let (digest, key): (String, K) = serde_json::from_slice(&body).map_err(|_| wrong())?;
    if digest != id::digest(question) {
        return Err(Error::invalid(
            "page_token",
            "it belongs to another question: repeat the call with the parent and filter of the page before",
        ));
    }
    Ok(Some(key))
}

fn wrong() -> Error {
    Error::invalid(
        "page_token",
        "expected the next_page_token of the page before, or nothing for the first page",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_its_key() {
        let token = encode(&["parent", "filter"], &("a", 7)).unwrap();
        assert_eq!(
            decode::<(String, u32)>(&["parent", "filter"], &token).unwrap(),
            Some(("a".into(), 7))
        );
    }

    #[test]
    fn a_token_of_another_question_or_of_nobody_is_refused() {
        let token = encode(&["parent", "filter"], &"a").unwrap();
        assert!(decode::<String>(&["parent", "other"], &token).is_err());
        assert!(decode::<String>(&["parent"], "%%%").is_err());
        assert!(decode::<String>(&["parent"], &"a".repeat(100_000)).is_err());
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0).unwrap(), 100);
        assert_eq!(size(1_000_000).unwrap(), 1000);
        assert!(size(-1).is_err());
    }
}
