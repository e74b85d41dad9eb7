//! Where the load generator sends tasks: `POST /task`, a target for each type and priority, which take turns.

use bytes::Bytes;
use hyper::{
    Method,
    header::{CONTENT_TYPE, HeaderValue, USER_AGENT},
};
use serde_json::json;

use super::load::AGENT;
use crate::{
    config::HttpUrl,
    load::http::{Header, Protocol, Target},
    queue::{Name, Priority},
};

/// The targets at a queue. The payload is a JSON string of this length.
///
/// # Errors
/// When the URL cannot be requested.
pub(super) fn task_targets(
    queue: &HttpUrl,
    kinds: &[Name],
    priorities: &[Priority],
    payload_bytes: usize,
) -> anyhow::Result<Vec<Target>> {
    let headers = [
        Header::new(CONTENT_TYPE, HeaderValue::from_static("application/json")),
        Header::new(USER_AGENT, HeaderValue::from_static(AGENT)),
    ];
    let url: Target = queue.below("/task")?.to_string().parse()?;
    let payload = "x".repeat(payload_bytes.saturating_sub(2));
    let each = priorities.iter().flat_map(|priority| kinds.iter().map(move |kind| (priority, kind)));
    each.map(|(priority, kind)| {
        let body: Bytes =
            json!({ "type": kind, "priority": priority, "payload": payload }).to_string().into();
        Ok(url.clone().asking(Method::POST, &headers, body, Protocol::Http1)?)
    })
    .collect()
}
