//! A file that is rotated by size: `NAME` is written, `NAME.1` is the one before, and so on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// A log file with a bound on its size and on how many older ones are kept.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    keep_files: u32,
    file: File,
    bytes: u64,
}

impl RotatingFile {
    /// Opens `path` for appending, creating it and its folders where they are missing.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn open(path: &Path, max_bytes: u64, keep_files: u32) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), max_bytes, keep_files, file, bytes })
    }

    /// Appends a line whole, to the next file if this one would become too large.
    ///
    /// # Errors
    /// When it cannot be written, or the file not be rotated.
    pub fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.bytes += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..=self.keep_files).rev() {
            let from = if number == 1 { self.path.clone() } else { self.numbered(number - 1) };
            match fs::rename(from, self.numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = OpenOptions::new().create(true).write(true).truncate(true).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_are_kept_in_order_and_no_more_than_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logs/pipeline.log");
        let mut file = RotatingFile::open(&path, 20, 2).expect("opened");
        for number in 0..7 {
            file.write_line(format!("line {number:03}\n").as_bytes()).expect("written");
        }
        drop(file);
        let read = |name: &str| fs::read_to_string(folder.path().join("logs").join(name)).unwrap_or_default();
        assert_eq!(read("pipeline.log"), "line 006\n");
        assert_eq!(read("pipeline.log.1"), "line 004\nline 005\n");
        assert_eq!(read("pipeline.log.2"), "line 002\nline 003\n");
        assert_eq!(fs::read_dir(folder.path().join("logs")).expect("a folder").count(), 3);
        // A later run appends.
        let mut file = RotatingFile::open(&path, 20, 0).expect("opened");
        file.write_line(b"more\n").expect("written");
        assert_eq!(read("pipeline.log"), "line 006\nmore\n");
        file.write_line(b"too much for it\n").expect("written");
        assert_eq!(read("pipeline.log"), "too much for it\n", "nothing is kept");
    }
}
