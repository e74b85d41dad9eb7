//! A folder of this run's own, removed when it is dropped.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::queue::TaskId;

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one in `parent`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn in_folder(parent: &Path) -> io::Result<Self> {
        // A task's id is a name that nobody else uses.
        let path = std::path::absolute(parent)?.join(format!("lab-bench-queue-{}", TaskId::new()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a folder in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn below(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is temporary all the same.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
