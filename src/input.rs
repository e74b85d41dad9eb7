//! Reads whole files up to a size limit. The limit is applied while reading, because devices and pipes do not
//! report a length.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Reads a whole file.
///
/// # Errors
/// When the file cannot be read, or holds more than `limit_mib` MiB.
pub fn read(path: &Path, limit_mib: u64) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, limit_mib)
}

/// Reads a whole text file.
///
/// # Errors
/// As [`read`]; also when the file is not UTF-8.
pub fn read_text(path: &Path, limit_mib: u64) -> io::Result<String> {
    let bytes = read(path, limit_mib)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads `source` to its end.
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
    fn a_file_up_to_the_limit_is_read_and_a_longer_one_refused() {
        assert_eq!(read_from(io::repeat(7).take(1 << 20), 1).expect("it fits").len(), 1 << 20);
        for error in [read_from(io::repeat(7), 1), read(Path::new("/dev/zero"), 1)].map(Result::unwrap_err) {
            assert_eq!(error.to_string(), "at most 1 MiB are allowed");
        }
    }
}
