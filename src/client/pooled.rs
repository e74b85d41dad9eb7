//! A client that reuses its connections.

use std::time::Duration;

use axum::http::{Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    failure::Failure,
    reach::{Reach, Resolver},
    tls::{self, Offer, Trust, TrustError},
};
use crate::config::HttpUrl;

/// The time limit of a connection attempt.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: less than the idle timeout of common servers.
const IDLE_LIMIT: Duration = Duration::from_secs(4);
/// The largest response head that is accepted.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;

type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// The limits of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// From sending the request to the last byte of the response.
    pub time: Duration,
    /// The largest response body.
    pub body_bytes: usize,
}

/// An HTTP/1.1 client. Clones share its connections. It opens one connection per concurrent exchange.
#[derive(Debug, Clone)]
pub struct Client(legacy::Client<Connector, Full<Bytes>>);

impl Client {
    /// A client for URLs with the scheme of `url`. It reads this machine's trusted certificates only for `https`.
    ///
    /// # Errors
    /// When `url` is https and this machine has no trusted certificates.
    pub fn for_url(url: &HttpUrl) -> Result<Self, TrustError> {
        Self::within(url, Reach::Anywhere)
    }

    /// The same with a rule for the addresses that names may have. It does not concern an address in the URL itself.
    ///
    /// # Errors
    /// When `url` is https and this machine has no trusted certificates.
    pub fn within(url: &HttpUrl, reach: Reach) -> Result<Self, TrustError> {
        let trust = if url.is_encrypted() { Trust::System } else { Trust::Nobody };
        let tls = tls::client_config(&trust, None, Offer::Http1)?;
        let mut connector = HttpConnector::new_with_resolver(Resolver::new(reach));
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .http1_max_buf_size(HEAD_LIMIT_BYTES)
            .build(HttpsConnector::from((connector, tls)));
        Ok(Self(client))
    }

    /// Sends `request` and reads the whole response, whatever its status. Dropping the future closes the
    /// connection.
    ///
    /// # Errors
    /// When no complete response arrives within the bounds.
    pub async fn fetch(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Response<Bytes>, Failure> {
        let mut body = BytesMut::new();
        let take = |data: Bytes| {
            body.extend_from_slice(&data);
            true
        };
        let head = self.exchange(request, bounds, take).await?;
        Ok(head.map(|()| body.freeze()))
    }

    /// The same, but a body that is larger than its bound is cut, which closes the connection.
    ///
    /// # Errors
    /// When no response arrives within the time limit.
    pub async fn fetch_start(
        &self,
        request: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, Failure> {
        let mut body = BytesMut::new();
        let take = |data: Bytes| {
            let room = bounds.body_bytes - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
            data.len() <= room
        };
        let unbounded = Bounds { body_bytes: usize::MAX, ..bounds };
        let head = self.exchange(request, unbounded, take).await?;
        Ok(head.map(|()| body.freeze()))
    }

    /// Sends `request` and returns the status. It reads and discards the body, so that the connection can be
    /// reused. Dropping the future closes the connection.
    ///
    /// # Errors
    /// When no complete response arrives within the bounds.
    pub async fn status(&self, request: Request<Bytes>, bounds: Bounds) -> Result<StatusCode, Failure> {
        Ok(self.exchange(request, bounds, |_| true).await?.status())
    }

    /// Passes the body to `take` until that returns `false`.
    async fn exchange(
        &self,
        request: Request<Bytes>,
        bounds: Bounds,
        mut take: impl FnMut(Bytes) -> bool,
    ) -> Result<Response<()>, Failure> {
        let exchange = async {
            let response = self.0.request(request.map(Full::new)).await;
            let response = response.map_err(|error| Failure::before_answer(&error, CONNECT_LIMIT))?;
            let (head, mut body) = response.into_parts();
            let mut room = bounds.body_bytes;
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.map_err(|_| Failure::BrokeOff)?.into_data() {
                    room = room.checked_sub(data.len()).ok_or(Failure::TooLarge(bounds.body_bytes))?;
                    if !take(data) {
                        break;
                    }
                }
            }
            Ok(Response::from_parts(head, ()))
        };
        tokio::time::timeout(bounds.time, exchange).await.unwrap_or(Err(Failure::TimedOut(bounds.time)))
    }
}
