//! Making one object of the parts of a large file.

use granary_core::{Error, Result};

use crate::{Core, s3::Part, store::Row};

impl Core {
    /// Has the store put the parts together, if all are there. After this, what lies under the key decides: a completion whose answer was
    /// lost leaves no upload but an object.
    pub(super) async fn assemble(&self, row: &Row, multipart: &str) -> Result<()> {
        let Some(parts) = self.s3.list_parts(&row.place, multipart).await? else {
            return Ok(());
        };
        let parts = complete_set(row, parts)?;
        self.s3
            .complete(&row.place, multipart, &parts, true)
            .await
            .map(drop)
    }
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
}
