//! Who does the work of a task.

use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;

use crate::queue::{
    broker::{Claimed, Handles},
    name::Name,
    settle::Verdict,
};

/// Does the work of tasks.
///
/// A task can be handled more than once: when its process dies, or its end is not recorded, it is started again. The
/// delivery number of `task` rises with each start, so a receiver that compares it can refuse what comes late.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles one attempt. The future is dropped when the attempt times out, when the task is cancelled, and when the
    /// worker gives up its drain; a panic is a failure.
    async fn handle(&self, task: &Claimed) -> Verdict;
}

/// A function as a handler.
pub(super) struct FnHandler<F>(pub(super) F);

#[async_trait]
impl<F, Run> Handler for FnHandler<F>
where
    F: Fn(Claimed) -> Run + Send + Sync,
    Run: Future<Output = Verdict> + Send,
{
    async fn handle(&self, task: &Claimed) -> Verdict {
        self.0(task.clone()).await
    }
}

/// The handlers of a worker.
#[derive(Clone, Default)]
pub(super) struct Handlers {
    by_kind: HashMap<Name, Arc<dyn Handler>>,
    any: Option<Arc<dyn Handler>>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_kind.keys()).finish()
    }
}

impl Handlers {
    pub(super) fn set(&mut self, kind: Name, handler: Arc<dyn Handler>) {
        self.by_kind.insert(kind, handler);
    }

    pub(super) fn set_any(&mut self, handler: Arc<dyn Handler>) {
        self.any = Some(handler);
    }

    /// The types that have a handler of their own.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &Name> {
        self.by_kind.keys()
    }

    /// The types whose tasks they take.
    pub(super) fn handles(&self) -> Handles {
        if self.any.is_some() {
            return Handles::Any;
        }
        let mut kinds: Vec<Name> = self.by_kind.keys().cloned().collect();
        kinds.sort_unstable();
        Handles::Only(kinds)
    }

    pub(super) fn find(&self, kind: &Name) -> Option<Arc<dyn Handler>> {
        self.by_kind.get(kind).or(self.any.as_ref()).cloned()
    }
}
