//! One keep-alive HTTP/1.1 connection that carries one request at a time.

use std::io;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why there was no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke before the head of the answer had come.
    #[error("no answer: {0}")]
    Answer(#[source] hyper::Error),
    /// The connection broke, or the limit was passed, before the whole body had come.
    #[error("body cut short: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What an exchange brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of the answer.
    pub status: StatusCode,
    /// The length of its body.
    pub body_bytes: u64,
}

/// An answer with its body, for the few that are read rather than counted.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status of the answer.
    pub status: StatusCode,
    /// Its content type.
    pub content_type: Option<HeaderValue>,
    /// Its body.
    pub body: Bytes,
}

/// An open connection. Dropping it closes the socket, whatever is in flight.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    /// Connects to `addr`. The protocol runs on a task of its own.
    ///
    /// # Errors
    ///
    /// [`Failure::Connect`] when nobody listens there, or no descriptor is left.
    pub async fn open(addr: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(addr).await.map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let (sender, protocol) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::Answer)?;
        // What ends the protocol also fails the request in flight, where it is counted.
        tokio::spawn(async { drop(protocol.await) });
        let host = HeaderValue::try_from(addr.to_string())
            .map_err(|error| Failure::Connect(io::Error::other(error)))?;
        Ok(Self { sender, host })
    }

    /// Whether the connection can carry another request; waits until the last one is over.
    pub async fn is_reusable(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends `GET target` (a path with an optional query) and counts the answer's body away.
    ///
    /// # Errors
    ///
    /// [`Failure::Answer`] or [`Failure::Body`]; the connection is of no more use then.
    pub async fn exchange(&mut self, target: &Uri) -> Result<Answer, Failure> {
        let mut response = self.send(target).await?;
        let mut body_bytes = 0;
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|error| Failure::Body(error.into()))?;
            body_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(Answer { status: response.status(), body_bytes })
    }

    /// Sends `GET target` and reads the answer's body, up to `body_limit_bytes`.
    ///
    /// # Errors
    ///
    /// As [`Connection::exchange`]; a longer body is [`Failure::Body`].
    pub async fn fetch(&mut self, target: &Uri, body_limit_bytes: usize) -> Result<Page, Failure> {
        let (mut head, body) = self.send(target).await?.into_parts();
        let body = Limited::new(body, body_limit_bytes).collect().await.map_err(Failure::Body)?.to_bytes();
        Ok(Page { status: head.status, content_type: head.headers.remove(CONTENT_TYPE), body })
    }

    async fn send(&mut self, target: &Uri) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        // The last answer may be here before the protocol's task knows that it is over.
        self.sender.ready().await.map_err(Failure::Answer)?;
        self.sender.send_request(request).await.map_err(Failure::Answer)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_follow_each_other_on_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        tokio::spawn(async { axum::serve(listener, router).await });

        let mut connection = Connection::open(addr).await.unwrap();
        let target = Uri::from_static("/");
        for _ in 0..2_000 {
            let page = connection.fetch(&target, 5).await.unwrap();
            assert_eq!(page.body, "hello");
        }
        let too_long = connection.fetch(&target, 4).await.unwrap_err();
        assert!(matches!(too_long, Failure::Body(_)), "{too_long}");
    }
}
