//! What the causes said, beside how often they were met: the first time of each.

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
    /// Notes what `error` says, unless the cause is known or says all by itself.
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

    /// What was said, by the causes' labels.
    pub(super) fn read(&self) -> BTreeMap<String, String> {
        self.0.lock().iter().map(|(cause, reason)| (cause.label().to_owned(), reason.clone())).collect()
    }
}

/// What the innermost error says.
fn words(error: &(dyn Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error| failure::inner(*error)).last();
    let text = innermost.unwrap_or(error).to_string();
    text.chars().take(REASON_LIMIT_CHARS).collect()
}
