//! What the disk takes to keep a write: `fdatasync` after an append.

use std::{fs::File, io::Write as _, path::Path};

use tokio::{task, time::Instant};

/// Appends of 4 KiB.
const APPENDS: usize = 500;
const BLOCK: [u8; 4_096] = [b'x'; 4_096];

/// The 99th percentile, in milliseconds.
///
/// # Errors
/// When the file cannot be written.
pub(super) async fn fdatasync_p99_ms(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fdatasync");
    task::spawn_blocking(move || {
        let mut file = File::create(&path)?;
        let mut took = Vec::with_capacity(APPENDS);
        for _ in 0..APPENDS {
            let started = Instant::now();
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            took.push(started.elapsed().as_secs_f64() * 1e3);
        }
        std::fs::remove_file(&path)?;
        took.sort_by(f64::total_cmp);
        Ok(took[APPENDS * 99 / 100])
    })
    .await?
}
