//! `GET /metrics`: rendered once for all who ask at the same moment, and compressed for those who take it.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tower_http::compression::CompressionLayer;

use crate::telemetry::Telemetry;

/// The route.
pub fn scrape(telemetry: &Telemetry) -> Router {
    let scrape = Arc::new(Scrape::new(telemetry.clone()));
    let answer = async move || scrape.answer().await;
    Router::new().route("/metrics", get(answer)).layer(CompressionLayer::new())
}

struct Scrape {
    telemetry: Telemetry,
    /// The rendering that has not begun: all who come before it begins share it. None of them sees less than
    /// what had been recorded when it asked.
    next: Mutex<Arc<OnceCell<Bytes>>>,
    /// One rendering at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Scrape {
    fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, next: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    async fn answer(&self) -> Response {
        let shared = self.next.lock().clone();
        let rendered = shared.get_or_try_init(async || {
            let _turn = self.turn.lock().await;
            *self.next.lock() = Arc::default();
            self.telemetry.render().map(Bytes::from)
        });
        match rendered.await {
            Ok(text) => {
                let plain = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
                (plain, text.clone()).into_response()
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "metrics cannot be shown");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
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
    use crate::{metrics, telemetry::Buckets};

    metrics! {
        /// Times
        TIMES: "test_ms" by "end";
        /// Renderings
        RENDERINGS: "test_renderings";
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn it_is_compressed_for_those_who_take_it() {
        let telemetry = Telemetry::scraped(1_500).unwrap();
        let instruments = telemetry.instruments();
        let _shown = instruments.durations(TIMES, Buckets::Percentile).with(["ok"]);
        let ask = async |coding: &str| {
            let request = Request::get("/metrics").header(header::ACCEPT_ENCODING, coding);
            scrape(&telemetry).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
        };
        let plain = ask("identity").await;
        assert!(plain.headers().get(header::CONTENT_ENCODING).is_none());
        let plain = text(plain).await;
        let zipped = ask("gzip, deflate").await;
        assert_eq!(zipped.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(zipped.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
        let zipped = zipped.into_body().collect().await.unwrap().to_bytes();
        assert!(zipped.len() * 4 < plain.len(), "{} of {}", zipped.len(), plain.len());
        let mut unzipped = String::new();
        flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut unzipped).unwrap();
        // What the process uses changes from one look to the next.
        let own = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("test_ms")).map(str::to_owned).collect()
        };
        assert_eq!(own(&unzipped), own(&plain));
        assert!(own(&plain).len() > 100);
    }

    #[tokio::test]
    async fn all_who_ask_before_it_begins_share_one_rendering() {
        let telemetry = Telemetry::scraped(1_500).unwrap();
        let renderings = Arc::new(AtomicU64::new(0));
        let counted = renderings.clone();
        telemetry
            .instruments()
            .observe(move || Some(counted.fetch_add(1, Ordering::Relaxed) + 1))
            .show(RENDERINGS, |count| *count);
        let scrape = Scrape::new(telemetry);
        let begins = scrape.turn.lock().await;
        let ten = join_all((0..10).map(|_| scrape.answer()));
        let (answers, ()) = tokio::join!(ten, async move { drop(begins) });
        for answer in answers {
            assert!(text(answer).await.contains("test_renderings 1\n"));
        }
        assert!(text(scrape.answer().await).await.contains("test_renderings 2\n"), "a later one is its own");
    }
}
