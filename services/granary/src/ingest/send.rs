//! Sending the files of a folder, with progress.

use granary_core::{Error, Result, name::SessionName};
use granary_transfer::{Item, Source, UploadOptions, Uploader};
use tokio_util::sync::CancellationToken;

use crate::{client::Client, folder::Folder, output::Out};

/// Sends what is not there yet. When stopped, what has arrived stays and is not sent again.
pub(super) async fn send(
    client: &Client,
    out: &Out,
    name: &SessionName,
    folder: &Folder,
    concurrency: Option<usize>,
    stop: &CancellationToken,
) -> Result<()> {
    let default = UploadOptions::default();
    let uploader = Uploader::new(
        client.link(),
        UploadOptions {
            concurrency: concurrency.unwrap_or(default.concurrency),
            ..default
        },
    );
    let progress = out.bytes_bar(&format!("{}/{}", name.dataset, name.session), folder.size());
    let items = folder.files.iter().map(|file| Item {
        path: file.path.clone(),
        source: Source::File(file.source.clone()),
        media_type: String::new(),
        derived_from: Vec::new(),
        producer: String::new(),
    });
    tokio::select! {
        sent = uploader.upload(name, items.collect(), &progress) => sent.map(|_| ()),
        () = stop.cancelled() => Err(Error::Cancelled { reason: "stopped; what has arrived is not sent again next time".into() }),
    }
}
