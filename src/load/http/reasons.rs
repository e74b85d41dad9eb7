//! The first error message of each cause.

use std::collections::BTreeMap;
use std::error::Error;

use parking_lot::Mutex;

use super::failure;
use crate::load::Cause;

/// The longest reason that is kept.
const REASON_LIMIT_CHARS: usize = 300;

/// By cause; bounded by their number.
#[derive(Debug, Default)]
pub(super) struct Reasons(Mutex<BTreeMap<Cause, String>>);

impl Reasons {
    /// Keeps the message of `error`, unless the cause has one already or needs none.
    pub(super) fn note(&self, cause: Cause, error: &(dyn Error + 'static)) -> Cause {
        let says_all = matches!(
            cause,
            Cause::ConnectionRefused
                | Cause::ConnectTimeout
                | Cause::ClosedBeforeAnswer
                | Cause::BodyCutShort
                | Cause::HeadTooLarge
        );
        if !says_all {
            self.0.lock().entry(cause).or_insert_with(|| words(error));
        }
        cause
    }

    /// The messages, by the causes' labels.
    pub(super) fn read(&self) -> BTreeMap<String, String> {
        self.0.lock().iter().map(|(cause, reason)| (cause.label().to_owned(), reason.clone())).collect()
    }
}

/// The message of the innermost error.
fn words(error: &(dyn Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error| failure::inner(*error)).last();
    let text = innermost.unwrap_or(error).to_string();
    text.chars().take(REASON_LIMIT_CHARS).collect()
}
