//! The bell: wakes an idle worker when there may be something to claim.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, task::AbortHandle};

use crate::storage::redis::Waker;

/// How long a blocking command waits in the store before it is asked again.
const LISTEN: Duration = Duration::from_secs(1);
/// How long to wait after the store did not answer.
const AWAY: Duration = Duration::from_millis(200);

/// Wakes one worker. A ring may be lost, so nobody waits for it alone.
#[derive(Debug)]
pub struct Bell {
    rung: Arc<Notify>,
    /// Asks the listener to listen: one that is not asked takes no other worker's ring.
    ask: Option<(Arc<Notify>, AbortHandle)>,
}

impl Bell {
    /// A bell that is rung within this process.
    pub(super) fn of(rung: Arc<Notify>) -> Self {
        Self { rung, ask: None }
    }

    /// A bell that is rung by pushing to the list `key`.
    pub(super) fn on_list(mut waker: Waker, key: &'static str) -> Self {
        let (rung, ask) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (rings, asked) = (rung.clone(), ask.clone());
        let listener = tokio::spawn(async move {
            loop {
                asked.notified().await;
                match waker.pop(key, LISTEN).await {
                    Ok(true) => rings.notify_one(),
                    Ok(false) => {}
                    Err(_) => tokio::time::sleep(AWAY).await,
                }
            }
        });
        Self { rung, ask: Some((ask, listener.abort_handle())) }
    }

    /// Waits until it is rung, at most `limit`. Cancel safe.
    pub async fn wait(&self, limit: Duration) {
        if let Some((ask, _)) = &self.ask {
            ask.notify_one();
        }
        let _ = tokio::time::timeout(limit, self.rung.notified()).await;
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some((_, listener)) = &self.ask {
            listener.abort();
        }
    }
}
