//! Power cuts: what a killed process has written and not synced is taken back.
//!
//! The shim (`shim/power_cut.rs`) is loaded into the process and keeps journals in a folder of its own:
//!
//! - `NUMBER.file`, of the file with that number: its length at the last `fsync` (8 bytes), then for each time that
//!   something below that length was overwritten or cut off: offset, length (8 bytes each, little endian), old bytes.
//! - `NUMBER.names`, of the folder with that number, since its last `fsync`: lines `FROM TAB GONE TAB SAVED`: the name
//!   `GONE` was deleted, or became that of the file `FROM`; a second name of what it was is `SAVED`, if it was.
//! - `mmap`: a file was mapped for writing, which the shim does not see. Then the test proves nothing.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// A folder whose files a power cut takes back.
pub(crate) struct Power {
    folder: PathBuf,
    journals: tempfile::TempDir,
}

/// What a power cut took back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undone {
    /// Bytes that were cut off.
    pub(crate) grown: u64,
    /// Bytes that were put back.
    pub(crate) overwritten: u64,
    /// Names that were put back.
    pub(crate) names: u64,
}

impl std::ops::AddAssign for Undone {
    fn add_assign(&mut self, other: Self) {
        self.grown += other.grown;
        self.overwritten += other.overwritten;
        self.names += other.names;
    }
}

/// The library that the tests are built with.
pub(crate) fn shim() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let shim = program.ancestors().nth(2).expect("a target folder").join("examples/libpower_cut.so");
    assert!(shim.exists(), "{} is missing: cargo build --example power_cut", shim.display());
    shim
}

impl Power {
    /// For the files in `folder`.
    pub(crate) fn over(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        // The shim compares the paths of open files.
        let folder = folder.canonicalize().expect("a folder");
        // Beside it: a second name of a file must be on the same disk.
        let journals = tempfile::tempdir_in(folder.parent().expect("a parent")).expect("a folder");
        Self { folder, journals }
    }

    /// The variables of a process that writes there.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        [
            ("LD_PRELOAD", text(&shim())),
            ("CUT_FOLDER", text(&self.folder)),
            ("CUT_JOURNALS", text(self.journals.path())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Takes back what was not synced. The processes that wrote must be dead.
    pub(crate) fn cut(&self) -> Undone {
        let mut undone = Undone::default();
        let journals = list(self.journals.path());
        assert!(journals.iter().all(|journal| !journal.ends_with("mmap")), "a file was mapped for writing");
        for journal in journals.iter().filter(|journal| is(journal, "names")) {
            undone.names += put_names_back(journal);
        }
        let mut files = list(&self.folder);
        files.extend(list(self.journals.path()).into_iter().filter(|path| is(path, "saved")));
        for file in files {
            let number = file.metadata().expect("a file").ino();
            let journal = self.journals.path().join(format!("{number}.file"));
            if let Ok(journal) = fs::read(&journal) {
                put_bytes_back(&file, &journal, &mut undone);
            }
        }
        for journal in list(self.journals.path()) {
            fs::remove_file(journal).expect("deleted");
        }
        undone
    }
}

/// All files in a folder and in its folders.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { list(&path) } else { vec![path] }).collect()
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Undoes changes of names, the last one first.
fn put_names_back(journal: &Path) -> u64 {
    let text = fs::read_to_string(journal).expect("a journal");
    // The last line may be a part of one: then nothing was done after it.
    let lines: Vec<&str> = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).collect();
    for line in lines.iter().rev() {
        let mut parts = line.split('\t').map(Path::new);
        let (from, gone, saved) = (parts.next(), parts.next().expect("a name"), parts.next());
        let is_said = |path: &&Path| !path.as_os_str().is_empty();
        if let Some(from) = from.filter(is_said)
            && !from.exists()
        {
            fs::rename(gone, from).expect("renamed");
        }
        if let Some(saved) = saved.filter(is_said)
            && !gone.exists()
        {
            fs::rename(saved, gone).expect("renamed");
        }
    }
    lines.len() as u64
}

/// Puts a file's bytes back, the last ones first, and cuts its growth.
fn put_bytes_back(path: &Path, journal: &[u8], undone: &mut Undone) {
    let Some((synced, mut rest)) = number(journal) else { return };
    let file: File = OpenOptions::new().write(true).open(path).expect("a file");
    undone.grown += file.metadata().expect("a file").len().saturating_sub(synced);
    let mut records = Vec::new();
    // The last record may be a part of one: then nothing was written after it.
    while let Some((offset, after)) = number(rest)
        && let Some((length, after)) = number(after)
        && let Some(old) = after.get(..length as usize)
    {
        records.push((offset, old));
        rest = &after[length as usize..];
    }
    for (offset, old) in records.into_iter().rev() {
        file.write_all_at(old, offset).expect("written");
        undone.overwritten += old.len() as u64;
    }
    file.set_len(synced).expect("cut");
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Seek as _, SeekFrom, Write as _},
        process::{Command, Stdio},
    };

    use super::*;

    const FOLDER: &str = "CHAOS_WRITES_TO";

    /// Writes, syncs a part of it, and dies.
    #[test]
    #[ignore = "a process that a test starts"]
    fn writer() {
        let Ok(folder) = std::env::var(FOLDER) else { return };
        let folder = PathBuf::from(folder);
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            options
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(folder.join(name))
                .expect("a file")
        };
        let mut kept = open("kept");
        kept.write_all(b"0123456789").expect("written");
        kept.sync_all().expect("synced");
        kept.write_at(b"ab", 2).expect("written");
        kept.seek(SeekFrom::Start(3)).expect("there");
        kept.write_all(b"cdefghijklmn").expect("written");
        kept.set_len(4).expect("cut");
        kept.write_at(b"xyz", 20).expect("written");
        let mut synced = open("synced");
        synced.write_all(b"old").expect("written");
        synced.write_at(b"NEW", 0).expect("written");
        synced.sync_data().expect("synced");
        open("never").write_all(b"gone").expect("written");
        // `before` was there.
        let mut before = open("before");
        before.write_all(b"B").expect("written");
        File::create(folder.join("emptied")).expect("emptied").write_all(b"new").expect("written");
        fs::rename(folder.join("one"), folder.join("two")).expect("renamed");
        fs::remove_file(folder.join("deleted")).expect("deleted");
        std::process::abort();
    }

    #[test]
    fn what_was_not_synced_is_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        let power = Power::over(&store);
        for name in ["before", "emptied", "one", "two", "deleted"] {
            fs::write(store.join(name), format!("{name}, as it was")).expect("written");
        }
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "power::tests::writer", "--ignored"]).env(FOLDER, &store);
        command.envs(power.environment()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("it ran");
        let read = |name: &str| String::from_utf8(fs::read(store.join(name)).expect("a file")).expect("text");
        assert_eq!(
            (read("kept").len(), read("emptied"), read("two")),
            (23, "new".to_owned(), "one, as it was".to_owned())
        );
        let undone = power.cut();
        assert_eq!(read("kept"), "0123456789");
        assert_eq!((read("synced"), read("never")), ("NEW".to_owned(), String::new()));
        for name in ["before", "emptied", "one", "two", "deleted"] {
            assert_eq!(read(name), format!("{name}, as it was"));
        }
        assert_eq!(undone.names, 2);
        assert!(undone.grown >= 13 && undone.overwritten > 10, "{undone:?}");
        assert_eq!(power.cut(), Undone::default(), "there is nothing left");
    }
}
