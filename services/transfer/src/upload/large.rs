//! Sending a large file in parts. What the store has of it is not sent again.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::FuturesUnordered};
use granary_core::{Error, Result};
use granary_proto::storage::v1::{PartToSign, SignUploadPartsRequest, SignedRequest, Upload};
use reqwest::Body;

use super::{
    prepare::Prepared,
    run::{Run, Sent},
    small::{refused, unreachable},
};
use crate::{
    hash::{Hashed, Origin, PIECE, read_at},
    http::Outcome,
    local::{self, Stamp, blocking},
    retry::{self, Attempts},
};

/// How many parts of one file are sent at once.
const PARTS: usize = 4;
/// How many parts are signed at once: few enough that their URLs do not end before it is their turn.
const SIGNED: usize = 16;

/// One part.
#[derive(Clone, Copy, Debug)]
struct Part {
    number: i32,
    offset: u64,
    size: u64,
    crc: u32,
}

/// The open file, or the bytes in memory.
#[derive(Clone)]
enum Reader {
    File(Arc<std::fs::File>),
    Bytes(Bytes),
}

/// Why a file cannot be gone on with as it is.
enum Stop {
    /// The upload ended in between: begin anew.
    Begun(String),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Run<'_> {
    pub(super) async fn send_parts(
        &self,
        file: &Prepared,
        hashed: &Hashed,
        upload: &Upload,
    ) -> Result<Option<Sent>> {
        let hashed = self.cut_as_asked(hashed, upload).await?;
        let reader = open(&hashed.origin).await?;
        let parts = missing(file.file.size, &hashed, upload);
        self.count_skipped(file.file.size - parts.iter().map(|part| part.size).sum::<u64>());
        let result = self.send_missing(&upload.name, reader, parts).await;
        same(&hashed.origin).await?;
        match result {
            Ok(()) => Ok(Some(Sent::Arrived(file.file.clone(), upload.name.clone()))),
            Err(Stop::Begun(reason)) => Ok(Some(Sent::Lost(file.file.clone(), refused(&reason)))),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn send_missing(&self, name: &str, reader: Reader, parts: Vec<Part>) -> Result<(), Stop> {
        let mut parts = parts.into_iter();
        let (mut signed, mut sending) = (VecDeque::new(), FuturesUnordered::new());
        loop {
            while sending.len() < PARTS {
                if signed.is_empty() {
                    signed.extend(
                        self.sign(name, parts.by_ref().take(SIGNED).collect())
                            .await?,
                    );
                }
                let Some((part, put)) = signed.pop_front() else {
                    break;
                };
                sending.push(self.send_part(name, reader.clone(), part, put));
            }
            match sending.next().await {
                Some(sent) => sent?,
                None => return Ok(()),
            }
        }
    }

    /// Hashes the file again if the server cuts it otherwise than was expected.
    async fn cut_as_asked(&self, hashed: &Hashed, upload: &Upload) -> Result<Hashed> {
        let part_size = u64::try_from(upload.part_size_bytes).unwrap_or_default();
        if part_size == 0 {
            return Err(Error::internal(
                "sending a file",
                "the server did not say how to cut it",
            ));
        }
        if part_size == hashed.part_size {
            return Ok(hashed.clone());
        }
        let again = self.hash(hashed.origin.clone(), part_size).await?;
        match &again.origin {
            Origin::File(path, _) if again.sha256 != hashed.sha256 => Err(local::changed(path)),
            _ => Ok(again),
        }
    }

    async fn sign(&self, name: &str, parts: Vec<Part>) -> Result<Vec<(Part, SignedRequest)>, Stop> {
        if parts.is_empty() {
            return Ok(vec![]);
        }
        let to_sign = parts
            .iter()
            .map(|part| PartToSign {
                number: part.number,
                crc32c: STANDARD.encode(part.crc.to_be_bytes()),
            })
            .collect();
        let request = SignUploadPartsRequest {
            name: name.to_owned(),
            parts: to_sign,
        };
        let answer = retry::call(self.options.patience, || {
            let (mut client, request) = (self.uploads(), request.clone());
            async move { client.sign_upload_parts(request).await }
        });
        match answer.await {
            Ok(answer) if answer.requests.len() == parts.len() => {
                Ok(parts.into_iter().zip(answer.requests).collect())
            }
            Ok(_) => Err(Error::internal(
                "signing parts",
                "the server did not answer for each of them",
            )
            .into()),
            Err(Error::NotFound { .. } | Error::Precondition { .. }) => {
                Err(Stop::Begun("the upload ended".into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn send_part(
        &self,
        name: &str,
        reader: Reader,
        part: Part,
        mut put: SignedRequest,
    ) -> Result<(), Stop> {
        let mut attempts = Attempts::new(self.options.patience);
        loop {
            let changed = Arc::new(AtomicBool::new(false));
            let bytes = body(reader.clone(), part, changed.clone());
            let outcome = self.put(&put, bytes).await?;
            if changed.load(Ordering::Acquire) {
                return Err(Error::precondition(
                    "the file",
                    "changed while it was sent: try again when it is no longer written",
                )
                .into());
            }
            let reason = match outcome {
                Outcome::Stored | Outcome::Present => {
                    self.count_sent(part.size);
                    return Ok(());
                }
                Outcome::Unsigned(reason)
                    if reason.contains("NoSuchUpload") || !attempts.sign_again() =>
                {
                    return Err(Stop::Begun(reason));
                }
                Outcome::Unsigned(_) => {
                    if let Some((_, again)) = self.sign(name, vec![part]).await?.pop() {
                        put = again;
                    }
                    continue;
                }
                Outcome::Refused(error) => return Err(error.into()),
                Outcome::Damaged => "the bytes were damaged on their way".to_owned(),
                Outcome::Unknown(reason) | Outcome::Later(reason) => reason,
            };
            if !attempts.wait().await {
                return Err(unreachable(&reason).into());
            }
        }
    }
}

/// The parts that the store does not have.
fn missing(size: u64, hashed: &Hashed, upload: &Upload) -> Vec<Part> {
    let there: HashMap<i32, i64> = upload
        .uploaded_parts
        .iter()
        .map(|part| (part.number, part.size_bytes))
        .collect();
    let part = |(number, crc): (i32, &u32)| {
        let offset = hashed.part_size * (u64::try_from(number).unwrap_or(1) - 1);
        Part {
            number,
            offset,
            size: (size - offset).min(hashed.part_size),
            crc: *crc,
        }
    };
    (1..)
        .zip(&hashed.crcs)
        .map(part)
        .filter(|part| {
            there
                .get(&part.number)
                .and_then(|size| u64::try_from(*size).ok())
                != Some(part.size)
        })
        .collect()
}

async fn open(origin: &Origin) -> Result<Reader> {
    match origin.clone() {
        Origin::Bytes(bytes) => Ok(Reader::Bytes(bytes)),
        Origin::File(path, stamp) => {
            blocking(move || {
                let (file, now) = local::open(&path)?;
                if now == stamp {
                    Ok(Reader::File(Arc::new(file)))
                } else {
                    Err(local::changed(&path))
                }
            })
            .await
        }
    }
}

/// Fails if the file is not what it was when it was hashed.
async fn same(origin: &Origin) -> Result<()> {
    let Origin::File(path, stamp) = origin.clone() else {
        return Ok(());
    };
    blocking(move || match std::fs::metadata(&path) {
        Ok(metadata) if Stamp::of(&metadata) == stamp => Ok(()),
        _ => Err(local::changed(&path)),
    })
    .await
}

/// The bytes of a part, in pieces, summed once more on their way: what differs from the first reading is never taken for the file, even by a
/// store that looks at no checksums.
fn body(reader: Reader, part: Part, changed: Arc<AtomicBool>) -> Body {
    let pieces = stream::try_unfold((reader, 0u64, 0u32), move |(reader, done, crc)| {
        let changed = changed.clone();
        async move {
            if done == part.size {
                return Ok::<_, io::Error>(None);
            }
            let length = usize::try_from((part.size - done).min(PIECE as u64)).unwrap_or(PIECE);
            let piece = read(reader.clone(), part.offset + done, length)
                .await
                .inspect_err(|_| changed.store(true, Ordering::Release))?;
            let (crc, done) = (
                crc32c::crc32c_append(crc, &piece),
                done + piece.len() as u64,
            );
            if done == part.size && crc != part.crc {
                changed.store(true, Ordering::Release);
                return Err(io::Error::other("the file changed"));
            }
            Ok(Some((piece, (reader, done, crc))))
        }
    });
    Body::wrap_stream(pieces)
}

async fn read(reader: Reader, offset: u64, length: usize) -> io::Result<Bytes> {
    match reader {
        Reader::File(file) => tokio::task::spawn_blocking(move || read_at(&file, offset, length))
            .await
            .map_err(io::Error::other)?,
        Reader::Bytes(bytes) => {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let end = start.saturating_add(length);
            if end > bytes.len() {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(bytes.slice(start..end))
            }
        }
    }
}
