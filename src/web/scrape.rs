//! `GET /metrics`. Concurrent scrapes share one rendering, and one compression of it if they accept gzip.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::get;

use super::{Metrics, Shared};
use crate::telemetry::Telemetry;

/// The most concurrent scrapes.
const SCRAPES_MAX: usize = 64;

/// The route. Refused scrapes are counted in `metrics`.
pub fn scrape(telemetry: &Telemetry, metrics: &Metrics) -> Router {
    let telemetry = telemetry.clone();
    routes(scraped(SCRAPES_MAX, metrics, move || telemetry.render()).into())
}

fn scraped(
    scrapes_max: usize,
    metrics: &Metrics,
    render: impl Fn() -> anyhow::Result<String> + Send + Sync + 'static,
) -> Shared {
    let metrics = metrics.clone();
    let refused = move || metrics.refused(Some(&Method::GET), StatusCode::SERVICE_UNAVAILABLE);
    Shared::new("text/plain; version=0.0.4; charset=utf-8", render).bounded(scrapes_max, refused)
}

fn routes(scrape: Arc<Shared>) -> Router {
    Router::new().route("/metrics", get(async move |headers: HeaderMap| scrape.answer(&headers).await))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::body::Body;
    use axum::http::Request;
    use axum::http::header;
    use axum::response::Response;
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

    /// A scrape that passes the number of each rendering to `render`.
    fn numbered(metrics: &Metrics, render: impl Fn(u64) -> String + Send + Sync + 'static) -> Arc<Shared> {
        let renderings = AtomicU64::new(0);
        let render = move || Ok(render(renderings.fetch_add(1, Ordering::Relaxed) + 1));
        scraped(PLACES, metrics, render).into()
    }

    fn silent() -> Metrics {
        Metrics::new(&Instruments::silent())
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn it_is_compressed_for_clients_that_accept_gzip() {
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
    async fn requests_before_a_rendering_begins_share_it() {
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
    async fn a_scrape_counts_towards_the_limit_until_it_is_read() {
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
    async fn clients_that_never_read_share_one_rendering_and_block_no_others() {
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
