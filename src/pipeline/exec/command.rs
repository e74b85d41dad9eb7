//! One job as one command: no shell, a process group of its own, a time limit, output in bounds.

use std::{io, str::FromStr, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use super::{
    Captured,
    guard::{Group, Guard},
};
use crate::{
    config::{Allowed, Invalid},
    pipeline::job::JobError,
};

/// How long output may still come after a command has ended: something that escaped may hold its pipes.
const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// A command with places for the job: words as a shell would split them, and nothing else of a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    program: String,
    arguments: Vec<String>,
}

impl Allowed for Template {
    const ALLOWED: &'static str = "a command such as 'convert {}': words, quoted where needed; no shell";
}

impl FromStr for Template {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new(text, Self::ALLOWED);
        let mut words = shlex::split(text).ok_or_else(refused)?;
        if words.first().is_none_or(|program| program.is_empty())
            || words.iter().any(|word| word.contains('\0'))
        {
            return Err(refused());
        }
        let program = words.remove(0);
        Ok(Self { program, arguments: words })
    }
}

impl Template {
    /// The command for a job: each `{}` becomes the job's line, within the one argument it stands in.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments.iter().map(|argument| argument.replace("{}", line)));
        command
    }
}

/// What a command wrote.
#[derive(Debug, Clone, Default)]
pub struct Output {
    pub(in crate::pipeline) stdout: Captured,
    pub(in crate::pipeline) stderr: Captured,
    /// The code it exited with, if it did.
    pub exit_code: Option<i32>,
}

/// What came of an attempt.
#[derive(Debug)]
pub(in crate::pipeline) struct Attempt {
    pub(in crate::pipeline) outcome: Result<(), JobError>,
    pub(in crate::pipeline) output: Option<Output>,
}

impl Template {
    /// Runs the command for `line` once. Dropped, it kills the command's process group.
    pub(in crate::pipeline) async fn run(
        &self,
        line: &str,
        time_limit: Duration,
        output_limit: usize,
        guard: &Guard,
    ) -> Attempt {
        if line.contains('\0') {
            return Attempt { outcome: Err(JobError::Invalid("the line holds a NUL")), output: None };
        }
        let mut command = self.command(line);
        match guard.spawn(&mut command) {
            Ok((child, group)) => attend(child, group, line, time_limit, output_limit).await,
            Err(error) => Attempt { outcome: Err(JobError::NotStarted(error.to_string())), output: None },
        }
    }
}

async fn attend(
    mut child: Child,
    group: Group,
    line: &str,
    time_limit: Duration,
    output_limit: usize,
) -> Attempt {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input.
            let _ = stdin.write_all(line.as_bytes()).await;
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
                        out.read(stdout, output_limit).await;
                    }
                },
                async {
                    if let Some(stderr) = stderr {
                        err.read(stderr, output_limit).await;
                    }
                },
            );
        };
        let ended = tokio::time::timeout(time_limit, group.ended(&mut child));
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
        // The leader has ended, or must: whatever is left of its group goes with it.
        group.end();
        if !read {
            let _ = tokio::time::timeout(LAST_OUTPUT_LIMIT, &mut reading).await;
        }
        (timed_out, child.wait().await)
    };
    let outcome = match (timed_out, &status) {
        (true, _) => Err(JobError::TimedOut(time_limit)),
        (false, Ok(status)) if status.success() => Ok(()),
        (false, Ok(status)) => match status.code() {
            Some(code) => Err(JobError::ExitCode(code)),
            None => Err(JobError::Signal(signal_of(*status))),
        },
        (false, Err(error)) => Err(JobError::NotStarted(io::Error::to_string(error))),
    };
    let exit_code = status.ok().and_then(|status| status.code()).filter(|_| !timed_out);
    Attempt { outcome, output: Some(Output { stdout: out, stderr: err, exit_code }) }
}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

#[cfg(not(unix))]
fn signal_of(_: std::process::ExitStatus) -> i32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_words_and_the_job_is_within_one() {
        let template: Template = "grep -e '{}' --label=\"<{}>\" 'a b'".parse().expect("a command");
        let command = template.command("x y; rm -rf \"$HOME\"");
        let words: Vec<_> =
            command.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(
            words,
            ["-e", "x y; rm -rf \"$HOME\"", "--label=<x y; rm -rf \"$HOME\">", "a b"],
            "no shell takes the line apart"
        );
        for bad in ["", "  ", "'unclosed", "'' x"] {
            assert!(bad.parse::<Template>().is_err(), "{bad:?}");
        }
    }
}
