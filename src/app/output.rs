//! Writes a command's result: as text on stdout, and as JSON, CSV or HTML into files or on stdout instead of the text.
//!
//! ```text
//!   --json[=FILE] ──> open, before the work starts ──> the work ──> .json(..).csv(..) ──> .print(text)
//! ```
//!
//! An existing file stays unchanged until the result is available. A new file is removed if there is no result.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::ending::Usage;
use crate::{
    output::{self, CleanUp, Document},
    shutdown::Shutdown,
};

/// The path that means stdout.
const STDOUT: &str = "-";

/// The output flag of a command whose result is text or JSON.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Output")]
pub struct JsonArg {
    /// Print JSON instead of text; with =FILE, write the JSON there and still print the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    json: Option<PathBuf>,
}

/// The output flags of a command whose result has all formats.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Output")]
pub(super) struct FormArgs {
    #[command(flatten)]
    json: JsonArg,
    /// The same for CSV
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    csv: Option<PathBuf>,
    /// The same for a report as one HTML file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    html: Option<PathBuf>,
}

impl JsonArg {
    /// Whether only JSON goes to stdout.
    pub(super) fn is_on_stdout(&self) -> bool {
        self.json.as_deref() == Some(Path::new(STDOUT))
    }

    /// Opens the output files.
    ///
    /// # Errors
    /// [`Usage`] if a file cannot be written.
    pub fn open(&self) -> anyhow::Result<Results> {
        Results::open([("--json", &self.json)])
    }
}

impl FormArgs {
    pub(super) fn open(&self) -> anyhow::Result<Results> {
        Results::open([("--json", &self.json.json), ("--csv", &self.csv), ("--html", &self.html)])
    }
}

/// The open outputs of a result.
#[derive(Debug)]
pub struct Results {
    /// The flag of each format and its file; `None` is stdout.
    outputs: Vec<(&'static str, Option<ResultFile>)>,
    on_stdout: Option<String>,
    failed: Option<anyhow::Error>,
}

impl Results {
    fn open<const N: usize>(chosen: [(&'static str, &Option<PathBuf>); N]) -> anyhow::Result<Self> {
        let mut outputs = Vec::new();
        let mut used = Vec::new();
        for (flag, path) in chosen {
            let Some(path) = path.as_deref() else { continue };
            let (file, place) = if path == Path::new(STDOUT) {
                (None, Some(Place::Stdout))
            } else {
                let opened = ResultFile::open(path).and_then(|file| Ok((file.place()?, file)));
                let (place, file) = opened.map_err(|error| {
                    Usage(format!("{flag}={}: the file cannot be written: {error}", path.display()))
                })?;
                (Some(file), place)
            };
            if place.is_some_and(|place| used.contains(&place)) {
                let what = if file.is_none() { "stdout" } else { "the same file" };
                return Err(Usage(format!("{flag}: another format goes to {what}: use another FILE")).into());
            }
            used.extend(place);
            outputs.push((flag, file));
        }
        Ok(Self { outputs, on_stdout: None, failed: None })
    }

    /// Drops the files without writing to them.
    #[must_use]
    pub(super) fn without_files(mut self) -> Self {
        self.outputs.retain(|(_, file)| file.is_none());
        self
    }

    /// Writes the result as JSON, if requested.
    #[must_use]
    pub fn json(self, document: &(impl Document + Sync)) -> Self {
        self.write("--json", || Ok(document.json()?))
    }

    /// Writes a document from another program as JSON, if requested.
    #[must_use]
    pub(super) fn received_json(self, document: &serde_json::Value) -> Self {
        self.write("--json", || Ok(serde_json::to_string_pretty(document)?))
    }

    /// Writes the result as CSV, if requested.
    #[must_use]
    pub(super) fn csv(self, make: impl FnOnce() -> String) -> Self {
        self.write("--csv", || Ok(make()))
    }

    /// Writes the result as HTML, if requested.
    #[must_use]
    pub(super) fn html(self, make: impl FnOnce() -> anyhow::Result<String>) -> Self {
        self.write("--html", make)
    }

    fn write(mut self, flag: &str, make: impl FnOnce() -> anyhow::Result<String>) -> Self {
        let Some(at) = self.outputs.iter().position(|(chosen, _)| *chosen == flag) else {
            return self;
        };
        let written = make().and_then(|text| match self.outputs.remove(at).1 {
            Some(file) => file.write(&text),
            None => {
                self.on_stdout = Some(text);
                Ok(())
            }
        });
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
        self
    }

    /// Returns the text for stdout, which is `text` if no other format goes there, and the first error of the files.
    /// The text is returned even if a file could not be written.
    pub(super) fn finish(self, text: impl FnOnce() -> String) -> (String, anyhow::Result<()>) {
        (self.on_stdout.unwrap_or_else(text), self.failed.map_or(Ok(()), Err))
    }

    /// Prints the result, for a command that a signal kills.
    ///
    /// # Errors
    /// When the result could not be written, to stdout or to a file.
    pub fn print(self, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let (text, written) = self.finish(text);
        if !text.is_empty() {
            output::print(&text)?;
        }
        written
    }

    /// Prints the result, for a command that handles signals.
    ///
    /// # Errors
    /// As [`Results::print`]; also when nobody reads stdout and the command is stopping.
    pub(super) async fn print_until_stopped(
        self,
        text: impl FnOnce() -> String,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let (text, written) = self.finish(text);
        if !text.is_empty() {
            output::print_until_stopped(&text, shutdown.stopping(), shutdown.aborted()).await?;
        }
        written
    }
}

/// An output that can hold only one format, identified independently of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Stdout,
    /// A regular file.
    File {
        device: u64,
        inode: u64,
    },
}

/// A file for a result.
#[derive(Debug)]
struct ResultFile {
    path: PathBuf,
    file: File,
    /// Must be dropped after `file`.
    _clean_up: CleanUp,
}

impl ResultFile {
    fn open(path: &Path) -> io::Result<Self> {
        let clean_up = CleanUp::of(path);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        Ok(Self { path: path.to_owned(), file, _clean_up: clean_up })
    }

    /// `None` for a pipe or a device, which can take several formats one after the other.
    fn place(&self) -> io::Result<Option<Place>> {
        let found = self.file.metadata()?;
        Ok(found.is_file().then(|| Place::File { device: found.dev(), inode: found.ino() }))
    }

    fn write(mut self, text: &str) -> anyhow::Result<()> {
        let written = self.file.metadata().and_then(|found| {
            if found.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(text.as_bytes())?;
            if text.ends_with('\n') { Ok(()) } else { self.file.write_all(b"\n") }
        });
        written.with_context(|| format!("writing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(path: PathBuf) -> JsonArg {
        JsonArg { json: Some(path) }
    }

    #[test]
    fn a_file_stays_unchanged_without_a_result_and_a_new_one_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "a longer result than the next").expect("written");
        for path in [&old, &new] {
            drop(to(path.clone()).open().expect("opened"));
        }
        assert_eq!(std::fs::read_to_string(&old).expect("text"), "a longer result than the next");
        assert!(!new.exists(), "the run never came to a result");
        for path in [&old, &new] {
            let (text, written) = to(path.clone())
                .open()
                .expect("opened")
                .write("--json", || Ok("{}".into()))
                .finish(|| "text".into());
            written.expect("written");
            assert_eq!(
                (text.as_str(), std::fs::read_to_string(path).expect("text").as_str()),
                ("text", "{}\n")
            );
        }
    }

    #[test]
    fn a_file_takes_only_one_format_and_a_failed_format_does_not_hide_the_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result");
        let (link, held) = (folder.path().join("link"), folder.path().join("held"));
        std::os::unix::fs::symlink(&path, &link).expect("a symbolic link");
        let same = [
            (PathBuf::from(STDOUT), PathBuf::from(STDOUT)),
            (path.clone(), path.clone()),
            (path.clone(), folder.path().join("./result")),
            (path.clone(), link),
        ];
        std::fs::write(&held, "an older result").expect("written");
        let hard = folder.path().join("hard");
        std::fs::hard_link(&held, &hard).expect("a hard link");
        for (json, csv) in same.into_iter().chain([(held.clone(), hard)]) {
            let args = FormArgs { json: to(json), csv: Some(csv), html: None };
            let error = args.open().expect_err("two forms in one place");
            assert!(error.is::<Usage>() && error.to_string().starts_with("--csv: another form"), "{error}");
        }
        assert!(!path.exists());
        assert_eq!(std::fs::read_to_string(&held).expect("text"), "an older result");
        let null = || PathBuf::from("/dev/null");
        FormArgs { json: to(null()), csv: Some(null()), html: None }.open().expect("a device takes both");
        let error = to(folder.path().join("no/such/place")).open().expect_err("no folder");
        assert!(error.is::<Usage>() && error.to_string().starts_with("--json="), "{error}");
        let results = to(path.clone()).open().expect("opened").write("--json", || anyhow::bail!("no number"));
        let (text, written) = results.csv(|| "not asked for".into()).finish(|| "text".into());
        assert_eq!((text.as_str(), written.expect_err("failed").to_string().as_str()), ("text", "no number"));
        assert!(!path.exists());
    }
}
