//! Files that are read whole: up to a bound, whatever they are. A device or a pipe says nothing of its length.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Reads a file.
///
/// # Errors
/// When it cannot be read, or holds more than `limit_mib` MiB, which the error then names.
pub fn read(path: &Path, limit_mib: u64) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, limit_mib)
}

/// Reads a file of text.
///
/// # Errors
/// As [`read`]; and when it is not UTF-8.
pub fn read_text(path: &Path, limit_mib: u64) -> io::Result<String> {
    let bytes = read(path, limit_mib)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads to the end.
///
/// # Errors
/// As [`read`].
pub fn read_from(source: impl Read, limit_mib: u64) -> io::Result<Vec<u8>> {
    let limit_bytes = limit_mib << 20;
    let mut bytes = Vec::new();
    if source.take(limit_bytes + 1).read_to_end(&mut bytes)? as u64 > limit_bytes {
        let why = format!("at most {limit_mib} MiB are allowed");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_is_allowed_is_read_and_no_more() {
        assert_eq!(read_from(io::repeat(7).take(1 << 20), 1).expect("it fits").len(), 1 << 20);
        for error in [read_from(io::repeat(7), 1), read(Path::new("/dev/zero"), 1)].map(Result::unwrap_err) {
            assert_eq!(error.to_string(), "at most 1 MiB are allowed");
        }
    }
}
