//! `GET /metrics`: rendered once for all who ask at the same moment, and compressed once for those who take it.
//!
//! However many ask and do not read, little is held for them: they share the bytes of a rendering, and at most
//! [`SCRAPES_MAX`] are answered at a time, each until its last byte is sent; one more is told to come back (503).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::{Compression, write::GzEncoder};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::{Metrics, Problem};
use crate::telemetry::Telemetry;

/// Scrapes that are answered at a time.
const SCRAPES_MAX: usize = 64;

/// The route; what it refuses is counted in `metrics`.
pub fn scrape(telemetry: &Telemetry, metrics: &Metrics) -> Router {
    let telemetry = telemetry.clone();
    routes(Scrape::new(SCRAPES_MAX, metrics, move || telemetry.render()).into())
}

fn routes(scrape: Arc<Scrape>) -> Router {
    Router::new().route("/metrics", get(async move |headers: HeaderMap| scrape.answer(&headers).await))
}

struct Scrape {
    render: Box<dyn Fn() -> anyhow::Result<String> + Send + Sync>,
    metrics: Metrics,
    places: Arc<Semaphore>,
    /// The rendering that has not begun: all who come before it begins share it. None of them sees less than
    /// what had been recorded when it asked.
    next: Mutex<Arc<OnceCell<Rendering>>>,
    /// One rendering at a time.
    turn: tokio::sync::Mutex<()>,
}

struct Rendering {
    plain: Bytes,
    zipped: OnceCell<Bytes>,
}

/// The bytes of a rendering, and the place of whoever they are sent to.
struct Sent {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Scrape {
    fn new(
        scrapes_max: usize,
        metrics: &Metrics,
        render: impl Fn() -> anyhow::Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            render: Box::new(render),
            metrics: metrics.clone(),
            places: Arc::new(Semaphore::new(scrapes_max)),
            next: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    async fn answer(&self, headers: &HeaderMap) -> Response {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.metrics.refused(Some(&Method::GET), StatusCode::SERVICE_UNAVAILABLE);
            return Problem::of(StatusCode::SERVICE_UNAVAILABLE)
                .detail("as many scrapes are being answered as may be at a time")
                .into_response();
        };
        let zipped = takes_gzip(headers);
        match self.rendered(zipped).await {
            Ok(bytes) => {
                let body = Bytes::from_owner(Sent { bytes, _place: place });
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                let vary = HeaderValue::from_static("accept-encoding");
                let mut response =
                    ([(header::CONTENT_TYPE, kind), (header::VARY, vary)], body).into_response();
                if zipped {
                    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                response
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "metrics cannot be shown");
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

/// Whether `Accept-Encoding` names gzip, and not with the weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|codings| codings.to_str().ok());
    codings.flat_map(|codings| codings.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map(|weight| weight.trim().parse::<f32>());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight.is_ok_and(|q| q > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::body::Body;
    use axum::http::Request;
    use futures_util::future::join_all;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::telemetry::Instruments;
    use crate::web::{
        Limits,
        tests::support::{PATIENCE, Server},
    };

    const PLACES: usize = 8;

    /// A scrape whose renderings are what `render` makes of their numbers.
    fn numbered(metrics: &Metrics, render: impl Fn(u64) -> String + Send + Sync + 'static) -> Arc<Scrape> {
        let renderings = AtomicU64::new(0);
        let render = move || Ok(render(renderings.fetch_add(1, Ordering::Relaxed) + 1));
        Scrape::new(PLACES, metrics, render).into()
    }

    fn silent() -> Metrics {
        Metrics::new(&Instruments::silent())
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn it_is_compressed_for_those_who_take_it() {
        let app = routes(numbered(&silent(), |_| "one line\n".repeat(1_000)));
        for (coding, zipped) in [
            ("", false),
            ("identity", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0, br", false),
        ] {
            let request = Request::get("/metrics").header(header::ACCEPT_ENCODING, coding);
            let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.headers().contains_key(header::CONTENT_ENCODING), zipped, "{coding}");
            assert_eq!(answer.headers()[header::VARY], "accept-encoding");
            assert!(answer.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
            let mut body = answer.into_body().collect().await.unwrap().to_bytes().to_vec();
            if zipped {
                assert!(body.len() < 900, "{}", body.len());
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
                body = plain;
            }
            assert_eq!(body, "one line\n".repeat(1_000).into_bytes(), "{coding}");
        }
    }

    #[tokio::test]
    async fn all_who_ask_before_it_begins_share_one_rendering() {
        let scrape = numbered(&silent(), |number| format!("renderings {number}\n"));
        let none = HeaderMap::new();
        let begins = scrape.turn.lock().await;
        let all = join_all((0..PLACES).map(|_| scrape.answer(&none)));
        let (answers, ()) = tokio::join!(all, async move { drop(begins) });
        for answer in answers {
            assert_eq!(text(answer).await, "renderings 1\n");
        }
        assert_eq!(text(scrape.answer(&none).await).await, "renderings 2\n", "a later one is its own");
    }

    #[tokio::test]
    async fn scrapes_are_bounded_until_they_are_read() {
        let scrape = numbered(&silent(), |number| format!("renderings {number}\n"));
        let none = HeaderMap::new();
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.push(scrape.answer(&none).await.into_body().collect().await.unwrap().to_bytes());
        }
        let refused = scrape.answer(&none).await;
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        held.pop();
        assert_eq!(scrape.answer(&none).await.status(), 200);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn clients_that_pipeline_and_never_read_share_one_rendering_and_hold_up_nobody() {
        const CLIENTS: usize = 50;
        const PIPELINED: usize = 12;
        // More than the socket buffers of both ends take: the first answer stalls, and those behind it wait.
        const RENDERING_BYTES: usize = 32 << 20;
        let renderings = Arc::new(AtomicU64::new(0));
        let mut shared = None;
        let limits = Limits { write_stall_timeout_ms: 600_000, ..Limits::default() };
        let server = Server::with(limits, Default::default(), |_, metrics| {
            let renderings = renderings.clone();
            let scrape = numbered(metrics, move |number| {
                renderings.store(number, Ordering::Relaxed);
                "x".repeat(RENDERING_BYTES)
            });
            shared = Some(scrape.clone());
            routes(scrape).route("/healthz", get(async || "ok"))
        });
        let scrape = shared.unwrap();
        let begins = scrape.turn.lock().await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = server.connect().await;
            client.send(&"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(PIPELINED)).await;
            clients.push(client);
        }
        let refused = || server.series("web_requests_total", &[("route", "refused"), ("status", "503")]);
        let settled = async {
            while refused() != Some(((CLIENTS - PLACES) * PIPELINED) as u64) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("all others are refused");
        assert_eq!(server.get("/healthz").await.body, "ok");
        drop(begins);
        for client in &clients {
            client.first_byte().await;
        }
        assert_eq!(server.get("/healthz").await.body, "ok");
        assert_eq!(server.get("/metrics").await.status, 503);
        assert_eq!(renderings.load(Ordering::Relaxed), 1);
    }
}
