//! A Chromium process with a profile of its own, which ends with the test.

use std::{
    env,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    thread::{self, JoinHandle},
};

use chromiumoxide::handler::HandlerConfig;
use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::oneshot;

use super::{Page, View};
use crate::support::PATIENCE;

const FLAGS: [&str; 17] = [
    "--headless",
    "--remote-debugging-port=0",
    // A container gives its root no sandbox and little shared memory.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    // Nothing but the pages under test is asked for.
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
    "--disable-breakpad",
    // A page that another process overlaps is not slowed down.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
];

/// A running Chromium, ended when it is dropped.
pub(crate) struct Browser {
    driver: chromiumoxide::Browser,
    process: Process,
}

impl Browser {
    /// Starts one; `None` where Chromium is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let Some(program) = installed() else {
            assert!(env::var_os("CI").is_none(), "Chromium is not installed, and CI needs it");
            eprintln!("skipped: Chromium is not installed");
            return None;
        };
        let (process, url) = Process::start(&program);
        let url = tokio::time::timeout(PATIENCE, url).await.expect("in time").expect("Chromium starts");
        let config = HandlerConfig { request_timeout: PATIENCE, ..HandlerConfig::default() };
        let (driver, mut handler) =
            chromiumoxide::Browser::connect_with_config(url, config).await.expect("connected");
        // Ends with the connection, or with the test's runtime.
        tokio::spawn(async move { while handler.next().await.is_some() {} });
        Some(Self { driver, process })
    }

    /// Opens a page and waits until it has loaded.
    pub(crate) async fn open(&self, url: &str, view: View) -> Page {
        let blank = self.driver.new_page("about:blank").await.expect("a page");
        let page = Page::watch(blank, view).await;
        page.go(url).await;
        page
    }

    /// The folder that is named in the command line of each of its processes that has one.
    pub(crate) fn profile(&self) -> &Path {
        self.process.profile.path()
    }
}

/// Chromium's processes. Dropping it ends them, and waits until none is left.
struct Process {
    child: Child,
    /// Reads what they say until the last of them has ended.
    reader: Option<JoinHandle<()>>,
    /// Deleted after they have ended.
    profile: tempfile::TempDir,
}

impl Process {
    /// Starts it; the address of its debugger comes when it listens, or never if it ends before.
    fn start(program: &Path) -> (Self, oneshot::Receiver<String>) {
        let profile = tempfile::tempdir().expect("a directory");
        // The kernel kills it when the thread that started it ends, however that ends.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv starts");
        let (sender, url) = oneshot::channel();
        let stderr = child.stderr.take().expect("a pipe");
        let reader = Some(thread::spawn(move || read(stderr, sender)));
        (Self { child, reader, profile }, url)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
        // What holds stderr has ended when this has.
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Reads to the end, so that Chromium never waits; what it complains of is shown only if it does not start.
fn read(stderr: ChildStderr, url: oneshot::Sender<String>) {
    let mut said = Vec::new();
    let mut url = Some(url);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(found) = line.strip_prefix("DevTools listening on ")
            && let Some(url) = url.take()
        {
            // The test may have ended.
            let _ = url.send(found.to_owned());
        } else if url.is_some() {
            said.push(line);
        }
    }
    if url.is_some() {
        eprintln!("Chromium has not started:\n{}", said.join("\n"));
    }
}

/// Where Chromium is.
fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
}
