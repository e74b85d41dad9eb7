//! A file that is rotated by size: `NAME` is the current file, `NAME.1` the previous one, and so on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A log file with limits on its size and on the number of old files.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    keep_files: u32,
    file: File,
    bytes: u64,
    /// Whether the file ends with a complete line.
    whole: bool,
}

impl RotatingFile {
    /// Opens `path` for appending, and creates it and its folders if they are missing.
    ///
    /// # Errors
    /// When the file or a folder cannot be created or opened.
    pub fn open(path: &Path, max_bytes: u64, keep_files: u32) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), max_bytes, keep_files, file, bytes, whole: true })
    }

    /// Creates the next file before it renames any: if that fails, nothing has changed.
    fn rotate(&mut self) -> io::Result<()> {
        let next_path = self.beside("next");
        let next = append_to(&next_path)?;
        next.set_len(0)?;
        for number in (1..=self.keep_files).rev() {
            let from = if number == 1 { self.path.clone() } else { self.beside(number - 1) };
            match fs::rename(from, self.beside(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(next_path, &self.path)?;
        self.file = next;
        self.bytes = 0;
        Ok(())
    }

    fn beside(&self, suffix: impl std::fmt::Display) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{suffix}"));
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for RotatingFile {
    /// Appends a line, after a rotation if the file would become too large. The rest of a partly written line goes
    /// into the same file.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.whole && self.bytes > 0 && self.bytes + line.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        let written = self.file.write(line)?;
        self.bytes += written as u64;
        self.whole = line[..written].ends_with(b"\n");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_are_kept_in_order_up_to_their_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logs/pipeline.log");
        let mut file = RotatingFile::open(&path, 20, 2).expect("opened");
        for number in 0..7 {
            file.write_all(format!("line {number:03}\n").as_bytes()).expect("written");
        }
        drop(file);
        let read = |name: &str| fs::read_to_string(folder.path().join("logs").join(name)).unwrap_or_default();
        assert_eq!(read("pipeline.log"), "line 006\n");
        assert_eq!(read("pipeline.log.1"), "line 004\nline 005\n");
        assert_eq!(read("pipeline.log.2"), "line 002\nline 003\n");
        assert_eq!(fs::read_dir(folder.path().join("logs")).expect("a folder").count(), 3);
        // A later run appends.
        let mut file = RotatingFile::open(&path, 20, 0).expect("opened");
        file.write_all(b"more\n").expect("written");
        assert_eq!(read("pipeline.log"), "line 006\nmore\n");
        file.write_all(b"too much for it\n").expect("written");
        assert_eq!(read("pipeline.log"), "too much for it\n", "nothing is kept");
        // If the next file cannot be made, the line is lost and every file stays.
        fs::create_dir(folder.path().join("logs/pipeline.log.next")).expect("a folder");
        assert!(file.write_all(b"no place\n").is_err());
        assert_eq!(read("pipeline.log"), "too much for it\n");
        fs::remove_dir(folder.path().join("logs/pipeline.log.next")).expect("gone");
        file.write_all(b"a place\n").expect("written");
        assert_eq!(read("pipeline.log"), "a place\n");
    }
}
