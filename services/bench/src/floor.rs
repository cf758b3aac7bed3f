//! What the machine can do at best, measured in the same run.

use std::{
    io::Write as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// How many times a second 4 KiB can be appended and synchronised.
pub(crate) fn fsync_rate() -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(".")?;
    let block = [7; 4096];
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < Duration::from_secs(1) {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

/// How many of these files a second can be opened and their picture's measures read, on all processors.
pub(crate) fn headers_per_second(files: &[impl AsRef<Path> + Sync]) -> f64 {
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _ = std::fs::read(file)
                        .ok()
                        .and_then(|bytes| imagesize::blob_size(&bytes).ok());
                }
            });
        }
    });
    load_rate(files.len(), begin.elapsed())
}

/// So many in so much time, a second.
pub(crate) fn load_rate(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64()
}
