//! A run that never began leaves no file behind.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Removes a file when dropped, with its folder, if neither was there before and nothing was written.
#[derive(Debug)]
pub struct CleanUp {
    new_file: Option<PathBuf>,
    new_folder: Option<PathBuf>,
}

impl CleanUp {
    /// Call it before the file at `path` is made.
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
        // What cannot be removed does no harm: it is empty.
        let Some(file) = &self.new_file else { return };
        if fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() == 0) {
            let _ = fs::remove_file(file);
        }
        if let Some(folder) = &self.new_folder {
            let _ = fs::remove_dir(folder);
        }
    }
}
