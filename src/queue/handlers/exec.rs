//! Work that a command does: the payload is its standard input, its exit code the verdict.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    exec::{Call, Ended, Failure, Guard, Limits, Template},
    queue::{broker::Claimed, settle::Verdict, worker::Handler},
};

/// How much of a failed command's stderr its error keeps, in bytes.
const STDERR_LIMIT_BYTES: usize = 1_024;

/// A handler that runs a command for each attempt.
#[derive(Debug, Clone)]
pub(super) struct Exec {
    pub(super) command: Template,
    pub(super) guard: Guard,
}

#[async_trait]
impl Handler for Exec {
    async fn handle(&self, task: &Claimed) -> Verdict {
        let call = match self.call(task) {
            Ok(call) => call,
            Err(why) => return Verdict::FailedForGood { error: why },
        };
        // The worker ends the attempt first, and dropping it kills the command; this is for a clock that jumps.
        let time = Duration::from_millis(task.spec.timeout_ms).saturating_mul(2);
        let limits = Limits { time, output_bytes: STDERR_LIMIT_BYTES };
        let Ended { outcome, output } = call.run(limits, &self.guard).await;
        let Err(failure) = outcome else { return Verdict::Done };
        let said = output.map(|output| output.stderr.text()).unwrap_or_default();
        let error =
            if said.trim().is_empty() { failure.to_string() } else { format!("{failure}: {}", said.trim()) };
        match failure {
            Failure::NoProgram { .. } | Failure::BadArguments(_) => Verdict::FailedForGood { error },
            _ => Verdict::Failed { error, retry_after_ms: None },
        }
    }
}

impl Exec {
    fn call(&self, task: &Claimed) -> Result<Call, String> {
        let input = str::from_utf8(&task.spec.payload).map_err(|_| "the payload is not UTF-8".to_owned())?;
        // Its arguments are the configuration's alone: a payload cannot change them.
        let arguments =
            self.command.fill("", |_| None).map_err(|field| format!("{{{field}}} in the command"))?;
        let environment = vec![
            ("LAB_TASK_ID", task.id.to_string()),
            ("LAB_TASK_TYPE", task.lane.kind.to_string()),
            ("LAB_TASK_TOKEN", task.delivery.to_string()),
            ("LAB_TASK_ATTEMPT", (task.failures + 1).to_string()),
        ];
        Ok(Call {
            program: self.command.program().to_owned(),
            arguments,
            environment,
            input: input.to_owned(),
        })
    }
}
