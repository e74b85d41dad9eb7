//! A task as a client sends it.

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    config::Invalid,
    queue::{
        config::{Config, MaxAttempts, TaskTimeoutMs},
        lane::{Lane, Priority},
        moment::Moment,
        name::Name,
        task::{Due, IdempotencyKey, NewTask, Spec, TaskId},
    },
    time,
    web::{Problem, refused_field},
};

time!(
    /// How long a task waits before it may start.
    pub(super) DelayMs = 0 s to 8760 h in milliseconds
);

/// The longest idempotency key, in bytes.
const KEY_LIMIT_BYTES: usize = 255;

/// A task to enqueue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::queue) struct TaskBody {
    /// Its type: which handler does the work.
    #[serde(rename = "type")]
    kind: Name,
    /// What the handler gets: any JSON, passed on byte by byte. `null` if it is missing.
    #[schema(value_type = Object)]
    payload: Option<Box<RawValue>>,
    /// How urgent it is; `normal` if it is missing.
    priority: Option<Priority>,
    /// The tenant that it belongs to; tenants of one type and priority take turns.
    group: Option<Name>,
    /// How long it waits before it may start.
    delay_ms: Option<DelayMs>,
    /// When it may start, instead of `delay_ms`.
    at: Option<Moment>,
    /// How often it may fail before it is a dead letter.
    max_attempts: Option<MaxAttempts>,
    /// The time limit of one attempt.
    timeout_ms: Option<TaskTimeoutMs>,
    /// It is not started after this.
    deadline: Option<Moment>,
}

/// A batch of tasks to enqueue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchBody {
    /// The tasks, at most 500.
    #[schema(value_type = Vec<TaskBody>)]
    pub(super) tasks: Vec<Box<RawValue>>,
    /// `whole` (all of them, or none) or `each` (each for itself, with a verdict); `whole` if it is missing.
    pub(super) batch: Option<BatchMode>,
}

crate::choice! {
    /// Whether a batch is taken as a whole.
    pub(super) enum BatchMode {
        /// All of its tasks, or none.
        Whole = "whole",
        /// Each task for itself.
        Each = "each",
    }
}

/// What the request of a task says beside its body.
#[derive(Debug, Clone, Default)]
pub(in crate::queue) struct Asked {
    /// The client's idempotency key.
    pub(super) key: Option<String>,
    /// The `traceparent` that the task passes on; may be empty.
    pub(super) trace: String,
}

impl Asked {
    /// Reads the request's headers.
    ///
    /// # Errors
    /// When the idempotency key is empty, too long, given twice, or no visible text.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut keys = headers.get_all("idempotency-key").iter();
        let key = match (keys.next(), keys.next()) {
            (None, _) => None,
            (Some(key), None) => Some(read_key(key.as_bytes())?),
            (Some(_), Some(_)) => return Err(refused_key("two keys")),
        };
        Ok(Self { key, trace: crate::telemetry::traceparent(headers) })
    }

    /// The same for item `index` of a batch.
    pub(super) fn item(&self, index: usize) -> Self {
        let key = self.key.as_ref().map(|key| format!("{key}/{index}"));
        Self { key, trace: self.trace.clone() }
    }
}

fn read_key(bytes: &[u8]) -> Result<String, Problem> {
    let text = str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    match text {
        Some(text) if (1..=KEY_LIMIT_BYTES).contains(&text.len()) => Ok(text.to_owned()),
        Some(text) => Err(refused_key(&format!("{} bytes", text.len()))),
        None => Err(refused_key("other characters")),
    }
}

fn refused_key(found: &str) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST)
        .detail(format!(
            "Idempotency-Key: expected one key of 1 to {KEY_LIMIT_BYTES} visible ASCII characters, found {found}"
        ))
        .with("header", "Idempotency-Key")
}

impl TaskBody {
    /// The task that this asks for.
    ///
    /// # Errors
    /// When its payload is too large (413), or two of its members exclude each other (400).
    pub(in crate::queue) fn task(self, config: &Config, asked: Asked) -> Result<NewTask, Problem> {
        let limit = config.payload_limit_bytes.get();
        let bytes = self.payload_text().len() as u64;
        if bytes > limit {
            return Err(Problem::of(StatusCode::PAYLOAD_TOO_LARGE)
                .detail(format!("the payload has {bytes} bytes, the limit is {limit}"))
                .with("limit_bytes", limit)
                .with("field", "payload"));
        }
        let due = match (self.delay_ms, self.at) {
            (None, None) => Due::Now,
            (Some(delay), None) => Due::InMs(delay.ms()),
            (None, Some(at)) => Due::AtMs(at.ms()),
            (Some(_), Some(at)) => {
                return Err(refused_field("at", &Invalid::new(at, "only one of delay_ms and at")));
            }
        };
        let fingerprint = self.fingerprint();
        let key = asked.key.map(|key| IdempotencyKey { key, fingerprint });
        let spec = Spec {
            attempts_limit: self.max_attempts.unwrap_or(config.max_attempts).get(),
            timeout_ms: self.timeout_ms.unwrap_or(config.task_timeout_ms).ms(),
            deadline_ms: self.deadline.map_or(0, Moment::ms),
            trace: asked.trace,
            payload: self.payload_text().to_owned().into(),
        };
        let lane =
            Lane { priority: self.priority.unwrap_or(Priority::Normal), kind: self.kind, group: self.group };
        Ok(NewTask { id: TaskId::new(), lane, due, spec, key })
    }

    fn payload_text(&self) -> &str {
        self.payload.as_deref().map_or("null", RawValue::get)
    }

    /// What makes it the same task: all that the client said, whatever the order of its members.
    fn fingerprint(&self) -> String {
        fn shown<T: ToString>(value: Option<T>) -> String {
            value.as_ref().map(T::to_string).unwrap_or_default()
        }
        let said = [
            self.kind.to_string(),
            shown(self.priority),
            shown(self.group.as_ref()),
            shown(self.delay_ms.map(DelayMs::ms)),
            shown(self.at),
            shown(self.max_attempts.map(MaxAttempts::get)),
            shown(self.timeout_ms.map(TaskTimeoutMs::ms)),
            shown(self.deadline),
            self.payload_text().to_owned(),
        ];
        let hash = ring::digest::digest(&ring::digest::SHA256, said.join("\n").as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
