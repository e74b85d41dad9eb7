//! One input as one command: no shell, a process group of its own, a time limit, output in bounds.

use std::{os::unix::process::ExitStatusExt as _, str::FromStr, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use super::{
    capture::Captured,
    guard::{Group, Guard},
};
use crate::config::{Allowed, Invalid};

/// How long output may still come after a command has ended: something that escaped may hold its pipes.
const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// A command with places for its input: words as a shell would split them, and nothing else of a shell.
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

/// What a command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long it may take before it is killed.
    pub time: Duration,
    /// How much of each of its outputs is kept.
    pub output_bytes: usize,
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It exited with another code than 0.
    #[error("exit code {0}")]
    ExitCode(i32),
    /// A signal ended it.
    #[error("ended by signal {0}")]
    Signal(i32),
    /// It took longer than its limit, and was killed.
    #[error("no end within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It could not be started.
    #[error("not started: {0}")]
    NotStarted(String),
}

/// What a command wrote.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// To standard output.
    pub stdout: Captured,
    /// To standard error.
    pub stderr: Captured,
    /// The code it exited with, if it did.
    pub exit_code: Option<i32>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether it exited with code 0.
    pub outcome: Result<(), Failure>,
    /// What it wrote, if it was started.
    pub output: Option<Output>,
}

impl Template {
    /// Runs the command for `input`, which it also gets as a line on standard input. Dropped, it kills the
    /// command's process group.
    pub async fn run(&self, input: &str, limits: Limits, guard: &Guard) -> Ended {
        match guard.spawn(&mut self.command(input)) {
            Ok((child, group)) => attend(child, group, input, limits).await,
            Err(error) => Ended { outcome: Err(Failure::NotStarted(error.to_string())), output: None },
        }
    }

    /// The command for `input`: each `{}` becomes the input, within the one argument it stands in.
    fn command(&self, input: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments.iter().map(|argument| argument.replace("{}", input)));
        command
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
        // The leader has ended, or must: whatever is left of its group goes with it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_words_and_the_input_is_within_one() {
        let template: Template = "grep -e '{}' --label=\"<{}>\" 'a b'".parse().expect("a command");
        let command = template.command("x y; rm -rf \"$HOME\"");
        let words: Vec<_> =
            command.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(
            words,
            ["-e", "x y; rm -rf \"$HOME\"", "--label=<x y; rm -rf \"$HOME\">", "a b"],
            "no shell takes the input apart"
        );
        for bad in ["", "  ", "'unclosed", "'' x"] {
            assert!(bad.parse::<Template>().is_err(), "{bad:?}");
        }
    }
}
