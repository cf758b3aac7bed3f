//! What a program writes to standard output and error: kept in a file as a whole, and reported while it runs.

use std::path::Path;

use bytes::Bytes;
use tokio::{fs::File, io::AsyncWriteExt as _, sync::mpsc};

use crate::board::Held;

/// How much of it is kept in the file.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Takes output until the program has ended. A disk that is full costs output in the file, not the job.
pub(crate) async fn take(
    file: &Path,
    held: &Held,
    mut output: mpsc::Receiver<Bytes>,
    max_file: Option<u64>,
) -> std::io::Result<()> {
    let mut file = File::create(file).await?;
    let max_file = max_file.unwrap_or(MAX_FILE);
    let (mut written, mut dropped) = (0, 0);
    while let Some(data) = output.recv().await {
        let length = data.len() as u64;
        if written + length <= max_file && dropped == 0 && file.write_all(&data).await.is_ok() {
            written += length;
        } else {
            dropped += length;
        }
        held.write(&data).await;
    }
    if dropped > 0 {
        let note = format!(
            "\n[{dropped} bytes of output more were not kept: at most {} MiB are]\n",
            max_file / 1024 / 1024
        );
        let _ = file.write_all(note.as_bytes()).await;
    }
    file.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Board, Why};

    #[tokio::test]
    async fn the_file_is_bounded_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (sender, receiver) = mpsc::channel(100);
        for _ in 0..10 {
            sender
                .send(Bytes::from_static(b"0123456789"))
                .await
                .unwrap();
        }
        drop(sender);
        let held = Board::default().hold("j", 1);
        held.stop(Why::Lost);
        take(&path, &held, receiver, Some(35)).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("012345678901234567890123456789\n["),
            "{text}"
        );
        assert!(
            text.contains("70 bytes of output more were not kept"),
            "{text}"
        );
    }
}
