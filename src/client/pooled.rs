//! A client that keeps its connections.

use std::{io, time::Duration};

use axum::http::{Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::GaiResolver},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tower::util::MapErr;

use super::{
    failure::{Failure, NotResolved},
    tls::{self, Offer, Trust, TrustError},
};
use crate::config::HttpUrl;

/// How long a connection attempt may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: below the time after which common servers close one.
const IDLE_LIMIT: Duration = Duration::from_secs(4);
/// The longest head of an answer that is read.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;

type Resolver = MapErr<GaiResolver, fn(io::Error) -> NotResolved>;
type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// What one exchange may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// From the request to the answer's last byte.
    pub time: Duration,
    /// The most bytes of an answer's body that are read.
    pub answer_bytes: usize,
}

/// Asks servers over HTTP/1.1. Cloning shares the connections; there are as many as exchanges at a time.
#[derive(Debug, Clone)]
pub struct Client(legacy::Client<Connector, Full<Bytes>>);

impl Client {
    /// A client for `url`, and others of the same scheme: only for `https` are this machine's trusted
    /// authorities read.
    ///
    /// # Errors
    /// When TLS is to be spoken and this machine trusts nobody.
    pub fn for_url(url: &HttpUrl) -> Result<Self, TrustError> {
        let trust = if url.is_encrypted() { Trust::System } else { Trust::Nobody };
        let tls = tls::client_config(&trust, None, Offer::Http1)?;
        let resolver = MapErr::new(GaiResolver::new(), NotResolved as fn(io::Error) -> NotResolved);
        let mut connector = HttpConnector::new_with_resolver(resolver);
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

    /// Sends `request` and reads the answer, whatever its status. Dropped, it closes its connection.
    ///
    /// # Errors
    /// When there is no whole answer within the bounds.
    pub async fn fetch(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Response<Bytes>, Failure> {
        let mut body = BytesMut::new();
        let head = self.exchange(request, bounds, |data| body.extend_from_slice(&data)).await?;
        Ok(head.map(|()| body.freeze()))
    }

    /// Sends `request` for the answer's status alone. The body is read and dropped, so that its connection can
    /// be used again. Dropped, it closes its connection.
    ///
    /// # Errors
    /// When there is no whole answer within the bounds.
    pub async fn status(&self, request: Request<Bytes>, bounds: Bounds) -> Result<StatusCode, Failure> {
        Ok(self.exchange(request, bounds, drop).await?.status())
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        bounds: Bounds,
        mut take: impl FnMut(Bytes),
    ) -> Result<Response<()>, Failure> {
        let exchange = async {
            let response = self.0.request(request.map(Full::new)).await;
            let response = response.map_err(|error| Failure::before_answer(&error, CONNECT_LIMIT))?;
            let (head, mut body) = response.into_parts();
            let mut room = bounds.answer_bytes;
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.map_err(|_| Failure::BrokeOff)?.into_data() {
                    room = room.checked_sub(data.len()).ok_or(Failure::TooLarge(bounds.answer_bytes))?;
                    take(data);
                }
            }
            Ok(Response::from_parts(head, ()))
        };
        tokio::time::timeout(bounds.time, exchange).await.unwrap_or(Err(Failure::TimedOut(bounds.time)))
    }
}
