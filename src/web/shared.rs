//! A text that is rendered once for all concurrent requests, and compressed once for those that accept gzip.
//!
//! This bounds the memory for clients that request and do not read: they share the bytes of a rendering, and at most
//! [`READERS_MAX`] are served at a time, each until its last byte is sent. Further requests get a 503.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::{Compression, write::GzEncoder};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::Problem;

/// The most readers that are served at a time.
const READERS_MAX: usize = 64;

/// A text that is rendered on request.
pub struct Shared {
    kind: &'static str,
    render: Box<dyn Fn() -> anyhow::Result<String> + Send + Sync>,
    /// Called for every refused reader.
    refused: Box<dyn Fn() + Send + Sync>,
    permits: Arc<Semaphore>,
    /// The next rendering. All requests before it begins share it, so each sees everything that was recorded before
    /// the request.
    next: Mutex<Arc<OnceCell<Rendering>>>,
    /// Held during a rendering, so that there is one at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Rendering {
    plain: Bytes,
    zipped: OnceCell<Bytes>,
}

/// The bytes of a rendering, with the permit of the reader to which they are sent.
struct Sent {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Shared {
    /// A text of content type `kind` that `render` makes.
    pub fn new(
        kind: &'static str,
        render: impl Fn() -> anyhow::Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            render: Box::new(render),
            refused: Box::new(|| {}),
            permits: Arc::new(Semaphore::new(READERS_MAX)),
            next: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Sets the most readers at a time, and a function that is called for each refused reader.
    #[must_use]
    pub(super) fn bounded(self, readers_max: usize, refused: impl Fn() + Send + Sync + 'static) -> Self {
        Self { permits: Arc::new(Semaphore::new(readers_max)), refused: Box::new(refused), ..self }
    }

    /// Serves one reader.
    pub async fn answer(&self, headers: &HeaderMap) -> Response {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            (self.refused)();
            return Problem::of(StatusCode::SERVICE_UNAVAILABLE)
                .detail("too many readers at a time")
                .into_response();
        };
        let zipped = accepts_gzip(headers);
        match self.rendered(zipped).await {
            Ok(bytes) => {
                let body = Bytes::from_owner(Sent { bytes, _permit: permit });
                let kind = HeaderValue::from_static(self.kind);
                let vary = HeaderValue::from_static("accept-encoding");
                let mut response =
                    ([(header::CONTENT_TYPE, kind), (header::VARY, vary)], body).into_response();
                if zipped {
                    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                response
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the text could not be rendered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    async fn rendered(&self, zipped: bool) -> anyhow::Result<Bytes> {
        let shared = self.next.lock().clone();
        let rendering = shared.get_or_try_init(async || {
            let _turn = self.turn.lock().await;
            *self.next.lock() = Arc::default();
            (self.render)().map(|text| Rendering { plain: text.into(), zipped: OnceCell::new() })
        });
        let rendering = rendering.await?;
        if zipped {
            Ok(rendering.zipped.get_or_try_init(async || gzip(&rendering.plain)).await?.clone())
        } else {
            Ok(rendering.plain.clone())
        }
    }
}

fn gzip(plain: &[u8]) -> std::io::Result<Bytes> {
    use std::io::Write as _;
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(plain)?;
    Ok(zipped.finish()?.into())
}

/// Whether `Accept-Encoding` includes gzip with a weight above 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|codings| codings.to_str().ok());
    codings.flat_map(|codings| codings.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map(|weight| weight.trim().parse::<f32>());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight.is_ok_and(|q| q > 0.0))
    })
}
