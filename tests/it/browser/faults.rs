//! What the browser says is wrong with a page: errors on the console, exceptions, violations of the
//! Content-Security-Policy, requests that failed.

use std::{collections::BTreeMap, sync::Arc};

use chromiumoxide::{
    Page,
    cdp::{
        browser_protocol::{
            log::{EventEntryAdded, LogEntryLevel},
            network::{EventLoadingFailed, EventRequestWillBeSent, EventResponseReceived},
        },
        js_protocol::runtime::{ConsoleApiCalledType, EventConsoleApiCalled, EventExceptionThrown},
    },
    listeners::EventStream,
};
use futures_util::{FutureExt as _, Stream, StreamExt as _};

/// A page's own listener says it on the console: the browser's log names only violations of what it blocks.
const TELL_OF_VIOLATIONS: &str = r#"document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`Content-Security-Policy: ${event.effectiveDirective} forbids ${event.blockedURI || "this"} (${event.sample})`);
});"#;

/// The events of a page that tell of faults.
pub(super) struct Faults {
    console: EventStream<EventConsoleApiCalled>,
    exceptions: EventStream<EventExceptionThrown>,
    log: EventStream<EventEntryAdded>,
    sent: EventStream<EventRequestWillBeSent>,
    answered: EventStream<EventResponseReceived>,
    failed: EventStream<EventLoadingFailed>,
    /// The URLs of requests by their ids.
    urls: BTreeMap<String, String>,
}

impl Faults {
    /// Listens from now on.
    pub(super) async fn listen(page: &Page) -> Self {
        page.evaluate_on_new_document(TELL_OF_VIOLATIONS).await.expect("a listener");
        Self {
            console: page.event_listener().await.expect("events"),
            exceptions: page.event_listener().await.expect("events"),
            log: page.event_listener().await.expect("events"),
            sent: page.event_listener().await.expect("events"),
            answered: page.event_listener().await.expect("events"),
            failed: page.event_listener().await.expect("events"),
            urls: BTreeMap::new(),
        }
    }

    /// Those that have come since the last call.
    pub(super) fn take(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for event in arrived(&mut self.console) {
            if event.r#type == ConsoleApiCalledType::Error {
                let said = event.args.iter().map(|arg| {
                    let value = arg
                        .value
                        .as_ref()
                        .map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
                    value.or_else(|| arg.description.clone()).unwrap_or_default()
                });
                faults.push(format!("console: {}", said.collect::<Vec<_>>().join(" ")));
            }
        }
        for event in arrived(&mut self.exceptions) {
            let details = &event.exception_details;
            let said = details.exception.as_ref().and_then(|exception| exception.description.as_deref());
            faults.push(format!("exception: {}", said.unwrap_or(&details.text)));
        }
        for event in arrived(&mut self.log) {
            let entry = &event.entry;
            if entry.level == LogEntryLevel::Error {
                faults.push(format!("log: {} {}", entry.text, entry.url.as_deref().unwrap_or_default()));
            }
        }
        for event in arrived(&mut self.sent) {
            self.urls.insert(event.request_id.inner().clone(), event.request.url.clone());
        }
        for event in arrived(&mut self.answered) {
            if event.response.status >= 400 {
                faults.push(format!("request: {} answered {}", event.response.url, event.response.status));
            }
        }
        for event in arrived(&mut self.failed) {
            // Leaving a page cancels what it still waits for.
            if event.canceled != Some(true) {
                let url = self.urls.get(event.request_id.inner()).map_or("a request", String::as_str);
                faults.push(format!("request: {url} failed: {}", event.error_text));
            }
        }
        faults
    }
}

/// The events that are there without waiting.
fn arrived<T: Unpin>(events: &mut (impl Stream<Item = Arc<T>> + Unpin)) -> Vec<Arc<T>> {
    let mut arrived = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        arrived.push(event);
    }
    arrived
}
