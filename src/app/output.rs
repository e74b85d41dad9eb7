//! Where a command's result goes: text for people on stdout, and JSON, CSV or HTML there instead or into files
//! beside it.
//!
//! ```text
//!   --json[=FILE] ──> open, before the work starts ──> the work ──> .json(..).csv(..) ──> .print(text)
//! ```
//!
//! A file keeps what it holds until the result is there. A file that was made for a result that never came is
//! removed again.

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

/// The flag of a command whose result is text or JSON.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Output")]
pub struct JsonArg {
    /// JSON: instead of the text on stdout, or to FILE beside it
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    json: Option<PathBuf>,
}

/// The flags of a command whose result has every form.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Output")]
pub(super) struct FormArgs {
    #[command(flatten)]
    json: JsonArg,
    /// CSV, likewise
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    csv: Option<PathBuf>,
    /// A report as one HTML file, likewise
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    html: Option<PathBuf>,
}

impl JsonArg {
    /// Whether stdout holds JSON and nothing else.
    pub(super) fn is_on_stdout(&self) -> bool {
        self.json.as_deref() == Some(Path::new(STDOUT))
    }

    /// Opens the places that the result is written to.
    ///
    /// # Errors
    /// [`Usage`] where the file cannot be written.
    pub fn open(&self) -> anyhow::Result<Results> {
        Results::open([("--json", &self.json)])
    }
}

impl FormArgs {
    pub(super) fn open(&self) -> anyhow::Result<Results> {
        Results::open([("--json", &self.json.json), ("--csv", &self.csv), ("--html", &self.html)])
    }
}

/// The places of a result, open, and what has been written to them.
#[derive(Debug)]
pub struct Results {
    /// By the flag that chose it; none is stdout.
    places: Vec<(&'static str, Option<ResultFile>)>,
    on_stdout: Option<String>,
    failed: Option<anyhow::Error>,
}

impl Results {
    fn open<const N: usize>(chosen: [(&'static str, &Option<PathBuf>); N]) -> anyhow::Result<Self> {
        let mut places = Vec::new();
        let mut taken = Vec::new();
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
            if place.is_some_and(|place| taken.contains(&place)) {
                let what = if file.is_none() { "stdout" } else { "the same file" };
                return Err(
                    Usage(format!("{flag}: another form goes to {what}: give it a FILE of its own")).into()
                );
            }
            taken.extend(place);
            places.push((flag, file));
        }
        Ok(Self { places, on_stdout: None, failed: None })
    }

    /// Leaves the files as they are.
    #[must_use]
    pub(super) fn without_files(mut self) -> Self {
        self.places.retain(|(_, file)| file.is_none());
        self
    }

    /// Writes the result as JSON, if that was asked for.
    #[must_use]
    pub fn json(self, document: &(impl Document + Sync)) -> Self {
        self.write("--json", || Ok(document.json()?))
    }

    /// Writes a document that another program sent, likewise.
    #[must_use]
    pub(super) fn received_json(self, document: &serde_json::Value) -> Self {
        self.write("--json", || Ok(serde_json::to_string_pretty(document)?))
    }

    /// Writes the result as CSV, if that was asked for.
    #[must_use]
    pub(super) fn csv(self, make: impl FnOnce() -> String) -> Self {
        self.write("--csv", || Ok(make()))
    }

    /// Writes the result as HTML, if that was asked for.
    #[must_use]
    pub(super) fn html(self, make: impl FnOnce() -> anyhow::Result<String>) -> Self {
        self.write("--html", make)
    }

    fn write(mut self, flag: &str, make: impl FnOnce() -> anyhow::Result<String>) -> Self {
        let Some(at) = self.places.iter().position(|(chosen, _)| *chosen == flag) else {
            return self;
        };
        let written = make().and_then(|text| match self.places.remove(at).1 {
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

    /// What goes to stdout, which is `text` if nothing else does; and whether all else was written. What could
    /// not be written into a file does not keep people from the text.
    pub(super) fn finish(self, text: impl FnOnce() -> String) -> (String, anyhow::Result<()>) {
        (self.on_stdout.unwrap_or_else(text), self.failed.map_or(Ok(()), Err))
    }

    /// Prints, for a command that any signal ends.
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

    /// Prints, for a command that signals stop and not end.
    ///
    /// # Errors
    /// As [`Results::print`]; and when nobody reads stdout and the command was stopped.
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

/// What takes one result and no other, whatever it is called.
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
    /// Dropped last.
    _clean_up: CleanUp,
}

impl ResultFile {
    fn open(path: &Path) -> io::Result<Self> {
        let clean_up = CleanUp::of(path);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        Ok(Self { path: path.to_owned(), file, _clean_up: clean_up })
    }

    /// None of a pipe or a device, which takes one result after the other.
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
    fn a_file_keeps_what_it_holds_until_the_result_is_there_and_none_is_left_over() {
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
    fn one_place_takes_one_form_and_a_form_that_fails_does_not_hide_the_text() {
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
