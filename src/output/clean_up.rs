//! Removes the empty output file of a run that failed to start.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// On drop, removes an empty file and its folder, each only if it did not exist before.
#[derive(Debug)]
pub struct CleanUp {
    new_file: Option<PathBuf>,
    new_folder: Option<PathBuf>,
}

impl CleanUp {
    /// Remembers what exists at `path`. Call it before creating the file.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let new = |path: &Path| {
            (!path.as_os_str().is_empty() && fs::symlink_metadata(path).is_err()).then(|| path.to_owned())
        };
        Self { new_file: new(path), new_folder: path.parent().and_then(new) }
    }
}

impl Drop for CleanUp {
    fn drop(&mut self) {
        // A failed removal is harmless: it leaves an empty file.
        let Some(file) = &self.new_file else { return };
        if fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() == 0) {
            let _ = fs::remove_file(file);
        }
        if let Some(folder) = &self.new_folder {
            let _ = fs::remove_dir(folder);
        }
    }
}
