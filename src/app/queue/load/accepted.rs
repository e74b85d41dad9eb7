//! The ids that enqueues were answered with.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde::Deserialize;

use crate::queue::TaskId;

/// Ids at most. Of more tasks, the first are kept.
const KEPT_LIMIT: usize = 1_000_000;
/// Tasks at most that the queue is asked about.
const ASKED_LIMIT: usize = 10_000;
/// The status of an accepted enqueue.
const ACCEPTED: u16 = 202;

/// What enqueues were answered; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Accepted(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    accepted: u64,
    refused: BTreeMap<u16, u64>,
    ids: Vec<TaskId>,
}

impl Accepted {
    /// Takes an answer.
    pub(super) fn take(&self, status: u16, body: &[u8]) {
        #[derive(Deserialize)]
        struct Answer {
            task_id: String,
        }
        let answer =
            serde_json::from_slice::<Answer>(body).ok().and_then(|answer| answer.task_id.parse().ok());
        let mut answers = self.0.lock();
        match answer.filter(|_| status == ACCEPTED) {
            None => *answers.refused.entry(status).or_default() += 1,
            Some(id) => {
                answers.accepted += 1;
                if answers.ids.len() < KEPT_LIMIT {
                    answers.ids.push(id);
                }
            }
        }
    }

    /// How many were accepted.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().accepted
    }

    /// How many were refused, by status.
    pub(super) fn refused(&self) -> BTreeMap<u16, u64> {
        self.0.lock().refused.clone()
    }

    /// Those to ask about: all, or of many so many, spread evenly, the last among them.
    pub(super) fn asked(&self) -> Vec<TaskId> {
        spread(&self.0.lock().ids, ASKED_LIMIT)
    }
}

fn spread<T: Copy>(of: &[T], limit: usize) -> Vec<T> {
    if of.len() <= limit {
        return of.to_vec();
    }
    (1..=limit).map(|nth| of[nth * of.len() / limit - 1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_task_or_a_refusal() {
        let accepted = Accepted::default();
        let id = TaskId::new();
        accepted.take(202, format!(r#"{{"status": "queued", "task_id": "{id}"}}"#).as_bytes());
        for (status, body) in [(429, "{}"), (202, "no JSON"), (429, "")] {
            accepted.take(status, body.as_bytes());
        }
        assert_eq!((accepted.count(), accepted.asked()), (1, vec![id]));
        assert_eq!(accepted.refused(), BTreeMap::from([(202, 1), (429, 2)]));
    }

    #[test]
    fn of_many_tasks_some_are_asked_about_and_the_last() {
        let all: Vec<u32> = (1..=1_000).collect();
        assert_eq!(spread(&all, 1_000), all);
        assert_eq!(spread(&all, 4), [250, 500, 750, 1_000]);
        assert_eq!(spread(&all, 3), [333, 666, 1_000]);
    }
}
