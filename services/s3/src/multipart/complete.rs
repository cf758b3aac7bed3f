//! Making the object of an upload from its parts.

use std::sync::Arc;

use s3s::{
    S3ErrorCode, S3Request, S3Result,
    crypto::{Checksum as _, Sha256},
    dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag},
};

use super::{
    Closing, MAX_OBJECT,
    assemble::assemble,
    log::{Head, Part},
    remove_folder,
    slot::{MIN_PART, part_number},
};
use crate::{
    attr::Attr,
    checksum::{Algorithm, Sums, combined, composite, set_sums, sums_of, type_of},
    disk::{Disk, WriteIf},
    fault::{blocking, fault, io_fault, no_such_upload},
    key::Place,
    object::Object,
    store::Store,
};

/// A part as the client lists it.
struct Listed {
    number: u16,
    etag: String,
    sums: Sums,
}

/// What the client says about the object.
struct Order {
    parts: Vec<Listed>,
    sums: Sums,
    size: Option<i64>,
    when: WriteIf,
}

pub(crate) async fn complete(
    store: &Store,
    mut request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let input = &mut request.input;
    let place = store.place(&input.bucket, &input.key)?;
    let order = order_of(input)?;
    let attr = match store.uploads.find(&input.upload_id, &place).await {
        Ok(upload) => {
            let (closing, disk) = (store.uploads.close(upload), Arc::clone(&store.disk));
            blocking(move || finish(&disk, &closing, &order)).await?
        }
        Err(error) if *error.code() == S3ErrorCode::NoSuchUpload => {
            store
                .on_disk(move |disk| find_completed(disk, &place, &order))
                .await?
        }
        Err(error) => return Err(error),
    };
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", request.input.bucket, request.input.key)),
        bucket: Some(request.input.bucket),
        key: Some(request.input.key),
        e_tag: attr.etag.map(ETag::Strong),
        checksum_type: (!attr.sums.is_empty()).then(|| type_of(attr.composite)),
        ..CompleteMultipartUploadOutput::default()
    };
    set_sums!(output, attr.sums);
    Ok(output)
}

fn order_of(input: &mut CompleteMultipartUploadInput) -> S3Result<Order> {
    let listed = input.multipart_upload.take().and_then(|list| list.parts);
    let order = Order {
        parts: listed
            .unwrap_or_default()
            .into_iter()
            .map(listed_part)
            .collect::<S3Result<_>>()?,
        sums: sums_of!(input),
        size: input.mpu_object_size,
        when: WriteIf::new(input.if_match.take(), input.if_none_match.take())?,
    };
    if order.parts.is_empty() {
        return Err(fault(
            S3ErrorCode::MalformedXML,
            "the list of parts is empty",
        ));
    }
    Ok(order)
}

fn listed_part(mut part: CompletedPart) -> S3Result<Listed> {
    let malformed = || {
        fault(
            S3ErrorCode::MalformedXML,
            "every listed part needs its number and its entity tag",
        )
    };
    Ok(Listed {
        number: part_number(part.part_number.ok_or_else(malformed)?)?,
        etag: part.e_tag.take().ok_or_else(malformed)?.into_value(),
        sums: sums_of!(part),
    })
}

/// Waits until nobody writes parts any more, then makes the object. Runs to its end even if the client goes away.
fn finish(disk: &Disk, closing: &Closing, order: &Order) -> S3Result<Attr> {
    let upload = &closing.upload;
    let _alone = upload.gate.blocking_write();
    if upload.is_over() {
        return find_completed(disk, &upload.place, order);
    }
    let parts = select(&upload.parts(), &order.parts)?;
    let total = parts.iter().map(|part| part.size).sum::<u64>();
    check_size(total, order.size)?;
    let attr = describe(&upload.head, &parts, &order.sums)?;
    order.when.check(&upload.place)?;
    let whole = assemble(disk, upload, &parts, total).map_err(io_fault("join the parts"))?;
    attr.store(whole.file())
        .map_err(io_fault("keep the attributes of the object"))?;
    whole
        .file()
        .sync_all()
        .map_err(io_fault("make the object durable"))?;
    disk.publish(whole.path(), &upload.place, &order.when)?;
    whole.keep();
    remove_folder(disk, &upload.folder);
    Ok(attr)
}

/// The answer to a client that asks again because it did not get the first one: its object is there. Entity tags of parts
/// cannot be guessed, so an object with that of this list was made from these parts.
fn find_completed(disk: &Disk, place: &Place, order: &Order) -> S3Result<Attr> {
    let object = Object::open(place).map_err(|_| no_such_upload())?;
    let etag = etag_of(
        order
            .parts
            .iter()
            .map(|part| (part.number, part.etag.as_str())),
    );
    if object.attr.etag.as_ref() != Some(&etag) {
        return Err(no_such_upload());
    }
    disk.sync_folder(place.folder())
        .map_err(io_fault("make the name of the object durable"))?;
    Ok(object.attr)
}

/// The parts that were listed, as they arrived.
fn select(arrived: &[Part], listed: &[Listed]) -> S3Result<Vec<Part>> {
    if !listed.is_sorted_by(|one, other| one.number < other.number) {
        return Err(fault(
            S3ErrorCode::InvalidPartOrder,
            "the parts are not listed in ascending order",
        ));
    }
    let mut parts = Vec::with_capacity(listed.len());
    for wanted in listed {
        let found = arrived
            .binary_search_by_key(&wanted.number, |part| part.number)
            .ok()
            .and_then(|index| arrived.get(index));
        let found =
            found.filter(|part| part.etag == wanted.etag && part.sums.agree_with(&wanted.sums));
        parts.push(
            found
                .ok_or_else(|| {
                    fault(
                        S3ErrorCode::InvalidPart,
                        "a listed part has not arrived, or not with that entity tag and checksum",
                    )
                })?
                .clone(),
        );
    }
    if parts.iter().rev().skip(1).any(|part| part.size < MIN_PART) {
        return Err(fault(
            S3ErrorCode::EntityTooSmall,
            "every part but the last has at least 5 MiB",
        ));
    }
    Ok(parts)
}

fn check_size(total: u64, announced: Option<i64>) -> S3Result<()> {
    if total > MAX_OBJECT {
        return Err(fault(
            S3ErrorCode::EntityTooLarge,
            "an object has at most 5 TiB",
        ));
    }
    if announced.is_some_and(|size| u64::try_from(size) != Ok(total)) {
        return Err(fault(
            S3ErrorCode::InvalidRequest,
            "the parts together have not the size that x-amz-mp-object-size announces",
        ));
    }
    Ok(())
}

fn describe(head: &Head, parts: &[Part], given: &Sums) -> S3Result<Attr> {
    let mut attr = head.attr.clone();
    attr.etag = Some(etag_of(
        parts.iter().map(|part| (part.number, part.etag.as_str())),
    ));
    attr.composite = head.algorithm.is_some() && head.composite;
    attr.sums = whole_sums(head, parts);
    for algorithm in given.algorithms() {
        // Clients leave out the number of parts or send it.
        let plain = |sum: &str| sum.split('-').next().map(str::to_owned);
        let ours = attr.sums.get(algorithm).map(plain);
        match ours {
            None => {
                return Err(fault(
                    S3ErrorCode::InvalidRequest,
                    "the object has no checksum of that kind: name it when the upload begins",
                ));
            }
            Some(ours) if ours != given.get(algorithm).and_then(plain) => {
                return Err(fault(
                    S3ErrorCode::BadDigest,
                    "the checksum of the object is not the one that was sent",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(attr)
}

/// The checksum that was asked for when the upload began. Otherwise every CRC that all parts have: it costs nothing.
fn whole_sums(head: &Head, parts: &[Part]) -> Sums {
    let mut sums = Sums::default();
    let candidates: Vec<Algorithm> = head
        .algorithm
        .map_or_else(|| Algorithm::ALL.to_vec(), |algorithm| vec![algorithm]);
    for algorithm in candidates {
        let of_parts: Vec<&str> = parts
            .iter()
            .filter_map(|part| part.sums.get(algorithm))
            .collect();
        if of_parts.len() < parts.len() {
            continue;
        }
        let whole = if head.algorithm.is_some() && head.composite {
            composite(algorithm, of_parts.into_iter())
        } else {
            combined(
                algorithm,
                of_parts.into_iter().zip(parts.iter().map(|part| part.size)),
            )
        };
        if let Some(whole) = whole {
            sums.set(algorithm, whole);
        }
    }
    sums
}

/// A tag that follows from the parts alone, so that a repeated request finds its own object.
fn etag_of<'a>(parts: impl Iterator<Item = (u16, &'a str)>) -> String {
    let (mut hash, mut count) = (Sha256::new(), 0);
    for (number, etag) in parts {
        hash.update(format!("{number} {etag}\n").as_bytes());
        count += 1;
    }
    let digest = hash.finalize();
    format!(
        "{}-{count}",
        hex::encode(digest.get(..16).unwrap_or_default())
    )
}
