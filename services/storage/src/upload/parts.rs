//! Signing parts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use granary_core::{
    Error, Result,
    error::Violations,
    name::{UploadName, quote},
};
use granary_proto::storage::v1 as wire;
use granary_runtime::rpc;

use crate::{
    Core,
    s3::Signed,
    store::{Row, State},
};

/// One part to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartToSign {
    number: i32,
    crc32c: String,
}

impl PartToSign {
    /// Checks a batch, as far as it can be checked without the upload.
    pub(crate) fn all(parts: Vec<wire::PartToSign>) -> Result<Vec<Self>> {
        rpc::batch_size("parts", parts.len())?;
        let mut violations = Violations::default();
        for (index, part) in parts.iter().enumerate() {
            if !STANDARD
                .decode(&part.crc32c)
                .is_ok_and(|sum| sum.len() == 4)
            {
                violations.add(
                    format!("parts[{index}].crc32c"),
                    format!(
                        "expected 4 bytes in base64, such as AAAAAA==, got {}",
                        quote(&part.crc32c)
                    ),
                );
            }
        }
        violations.finish()?;
        Ok(parts
            .into_iter()
            .map(|part| Self {
                number: part.number,
                crc32c: part.crc32c,
            })
            .collect())
    }
}

impl Core {
    /// Signs parts, in order.
    pub(crate) async fn sign_parts(
        &self,
        name: &UploadName,
        parts: &[PartToSign],
    ) -> Result<Vec<Signed>> {
        let row = self
            .store
            .find(name)
            .await?
            .ok_or_else(|| Error::not_found(name))?;
        if row.state == State::Completed {
            return Err(Error::precondition(
                name,
                "the upload has ended: its bytes are there",
            ));
        }
        let Some(multipart) = &row.multipart else {
            return Err(Error::precondition(
                name,
                "the upload is not sent in parts, or not begun: begin it with BatchCreateUploads",
            ));
        };
        let numbers = numbers(&row, parts)?;
        let sign = |(part, number): (&PartToSign, u16)| {
            self.s3.sign_part(
                &row.place,
                multipart,
                number,
                row.size_of_part(number),
                &part.crc32c,
                self.write_expiry,
            )
        };
        parts.iter().zip(numbers).map(sign).collect()
    }
}

fn numbers(row: &Row, parts: &[PartToSign]) -> Result<Vec<u16>> {
    let count = row.part_count();
    let mut violations = Violations::default();
    let mut numbers = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        match u16::try_from(part.number) {
            Ok(number) if (1..=count).contains(&number) => numbers.push(number),
            _ => violations.add(
                format!("parts[{index}].number"),
                format!("expected 1 to {count}, got {}", part.number),
            ),
        }
    }
    violations.finish()?;
    Ok(numbers)
}
