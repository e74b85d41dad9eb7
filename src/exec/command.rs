//! Runs a command once: without a shell, in its own process group, with limits on its time and its output.

use std::{io, os::unix::process::ExitStatusExt as _, time::Duration};

use rustix::io::Errno;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use super::{
    capture::Captured,
    guard::{Group, Guard},
};
use crate::config::SECRETS;

/// How long to read on after a command has ended: a process that left the group may still hold the pipes.
const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// A command with its arguments, ready to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables, in addition to those of this process, of which it gets all but [`SECRETS`].
    pub environment: Vec<(&'static str, String)>,
    /// The line that it receives on standard input.
    pub input: String,
}

/// The limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long it may take before it is killed.
    pub time: Duration,
    /// How many bytes of stdout and of stderr are kept.
    pub output_bytes: usize,
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It exited with a code other than 0.
    #[error("exit code {0}")]
    ExitCode(i32),
    /// A signal ended it.
    #[error("ended by signal {0}")]
    Signal(i32),
    /// It took longer than its limit, and was killed.
    #[error("timed out after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It could not be started, but another attempt may succeed.
    #[error("not started: {0}")]
    NotStarted(String),
    /// Its arguments are too long for the system, or contain a NUL.
    #[error("not started: its arguments cannot be passed: {0}")]
    BadArguments(String),
    /// The program is missing or not executable: another attempt would fail too.
    #[error("{program} cannot be started: {why}")]
    NoProgram {
        /// The program.
        program: String,
        /// The system's error message.
        why: String,
    },
}

impl Failure {
    fn not_started(program: &str, error: &io::Error) -> Self {
        let why = error.to_string();
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::ArgumentListTooLong => Self::BadArguments(why),
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => Self::NoProgram { program: program.to_owned(), why },
            _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                Self::NoProgram { program: program.to_owned(), why }
            }
            _ => Self::NotStarted(why),
        }
    }
}

/// What a command wrote, and its exit code.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
    /// The exit code, unless a signal or the time limit ended the command.
    pub exit_code: Option<i32>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Success if it exited with code 0.
    pub outcome: Result<(), Failure>,
    /// What it wrote, if it started.
    pub output: Option<Output>,
}

impl Call {
    /// Runs the command. Dropping the future kills the command's process group.
    pub async fn run(&self, limits: Limits, guard: &Guard) -> Ended {
        let mut command = Command::new(&self.program);
        // What a command prints is shown to people who may not see them.
        for name in SECRETS {
            command.env_remove(name);
        }
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        match guard.spawn(&mut command) {
            Ok((child, group)) => attend(child, group, &self.input, limits).await,
            Err(error) => Ended { outcome: Err(Failure::not_started(&self.program, &error)), output: None },
        }
    }
}

async fn attend(mut child: Child, group: Group, input: &str, limits: Limits) -> Ended {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input.
            let _ = stdin.write_all(input.as_bytes()).await;
            let _ = stdin.write_all(b"\n").await;
        }
        std::future::pending::<()>().await;
    };
    let (mut out, mut err) = (Captured::default(), Captured::default());
    let (timed_out, status) = {
        let reading = async {
            tokio::join!(
                async {
                    if let Some(stdout) = stdout {
                        out.read(stdout, limits.output_bytes).await;
                    }
                },
                async {
                    if let Some(stderr) = stderr {
                        err.read(stderr, limits.output_bytes).await;
                    }
                },
            );
        };
        let ended = tokio::time::timeout(limits.time, group.ended(&mut child));
        tokio::pin!(reading, feed);
        let mut read = false;
        let timed_out = {
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    biased;
                    ended = &mut ended => break ended.is_err(),
                    () = &mut reading, if !read => read = true,
                    () = &mut feed => {}
                }
            }
        };
        // The leader has ended or timed out: kill the whole group.
        group.end();
        if !read {
            let _ = tokio::time::timeout(LAST_OUTPUT_LIMIT, &mut reading).await;
        }
        (timed_out, child.wait().await)
    };
    let outcome = match (timed_out, &status) {
        (true, _) => Err(Failure::TimedOut(limits.time)),
        (false, Ok(status)) if status.success() => Ok(()),
        (false, Ok(status)) => Err(match status.code() {
            Some(code) => Failure::ExitCode(code),
            None => Failure::Signal(status.signal().unwrap_or(0)),
        }),
        (false, Err(error)) => Err(Failure::NotStarted(error.to_string())),
    };
    let exit_code = status.ok().and_then(|status| status.code()).filter(|_| !timed_out);
    Ended { outcome, output: Some(Output { stdout: out, stderr: err, exit_code }) }
}
