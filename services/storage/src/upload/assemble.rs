//! Making one object of the parts of a large file.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use granary_core::{Error, Result};

use crate::{
    Core,
    s3::{Assembled, Part},
    store::Row,
};

/// What putting the parts together came to.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// The checksum that the object must have, if the store says those of parts.
    pub(super) sum: Option<String>,
    /// Whether the parts are still there: then the object is not made of them.
    pub(super) left_over: bool,
}

impl Whole {
    /// Whether an object with this checksum cannot be the whole. Not every store keeps the checksum of an object that is made of parts.
    pub(super) fn differs(&self, crc32c: Option<&str>) -> bool {
        match (&self.sum, crc32c.filter(|sum| sum.contains('-'))) {
            (Some(expected), Some(sum)) => expected != sum,
            (Some(_), None) => self.left_over,
            (None, _) => false,
        }
    }
}

impl Core {
    /// Has the store put the parts together, if all are there. After this, what lies under the key decides: a completion whose answer was
    /// lost leaves no upload but an object.
    pub(super) async fn assemble(&self, row: &Row, multipart: &str) -> Result<Whole> {
        let Some(parts) = self.s3.list_parts(&row.place, multipart).await? else {
            return Ok(Whole::default());
        };
        let parts = complete_set(row, parts)?;
        let done = self
            .s3
            .complete(&row.place, multipart, &parts, None)
            .await?;
        // A call at the same time may have put them together just now, and its object must not be taken for a foreign one.
        let left_over =
            done == Assembled::Taken && self.s3.list_parts(&row.place, multipart).await?.is_some();
        Ok(Whole {
            sum: composite(&parts),
            left_over,
        })
    }
}

/// The checksum of an object made of parts, as S3 defines it: that of the checksums of the parts, and their number.
fn composite(parts: &[Part]) -> Option<String> {
    let mut sums = Vec::with_capacity(parts.len() * 4);
    for part in parts {
        sums.extend(STANDARD.decode(part.crc32c.as_deref()?).ok()?);
    }
    Some(format!(
        "{}-{}",
        STANDARD.encode(crc32c::crc32c(&sums).to_be_bytes()),
        parts.len()
    ))
}

/// The parts of the whole file in order, or what is missing.
fn complete_set(row: &Row, listed: Vec<Part>) -> Result<Vec<Part>> {
    let count = row.part_count();
    let good: Vec<Part> = listed
        .into_iter()
        .filter(|part| part.number <= count && part.size == row.size_of_part(part.number))
        .collect();
    if good.len() == usize::from(count)
        && good
            .iter()
            .zip(1..)
            .all(|(part, number)| part.number == number)
    {
        return Ok(good);
    }
    let missing: Vec<u16> = (1..=count)
        .filter(|number| !good.iter().any(|part| part.number == *number))
        .collect();
    let first: Vec<String> = missing.iter().take(5).map(ToString::to_string).collect();
    let more = if missing.len() > first.len() {
        format!(" and {} more", missing.len() - first.len())
    } else {
        String::new()
    };
    Err(Error::precondition(
        &row.name,
        format!(
            "of {count} parts these are missing: {}{more}; send them",
            first.join(", ")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use granary_core::name::UploadName;

    use super::*;
    use crate::{s3::Place, store::State};

    fn row() -> Row {
        Row {
            name: UploadName::new("p", "d", "u").unwrap(),
            session: "s".into(),
            path: "a".into(),
            place: Place {
                bucket: "b".into(),
                key: "k".into(),
            },
            size: 25,
            sha256: String::new(),
            media_type: String::new(),
            multipart: Some("m".into()),
            replaced: None,
            part_size: Some(10),
            state: State::Active,
            created: 0,
            expires: 0,
        }
    }

    fn part(number: u16, size: u64) -> Part {
        Part {
            number,
            etag: "e".into(),
            size,
            crc32c: None,
        }
    }

    #[test]
    fn the_last_part_is_as_long_as_what_is_left() {
        assert!(complete_set(&row(), vec![part(1, 10), part(2, 10), part(3, 5)]).is_ok());
    }

    #[test]
    fn missing_and_wrong_parts_are_named() {
        let error = complete_set(&row(), vec![part(1, 10), part(2, 9), part(4, 5)])
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("of 3 parts these are missing: 2, 3; send them"),
            "{error}"
        );
    }

    #[test]
    fn the_checksum_of_a_whole_is_that_of_its_parts() {
        let sum = |bytes: &[u8]| Some(STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes()));
        let parts = [
            Part {
                crc32c: sum(b"123456789"),
                ..part(1, 9)
            },
            Part {
                crc32c: sum(b""),
                ..part(2, 0)
            },
        ];
        let expected =
            STANDARD.encode(crc32c::crc32c(&[0xe3, 0x06, 0x92, 0x83, 0, 0, 0, 0]).to_be_bytes());
        assert_eq!(composite(&parts).unwrap(), format!("{expected}-2"));
        assert_eq!(composite(&[part(1, 9)]), None);
    }
}
