//! The baseline server: an axum handler with a constant response, and handlers that do the same work as the lab's.

use std::io;
use std::net::Ipv4Addr;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::plain;

/// The longest response body.
const RESPONSE_LIMIT_BYTES: u32 = 1 << 20;

/// Around the padding: the response is a JSON string.
const QUOTE: u8 = b'"';

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Length of the response body in bytes, at least 2
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=i64::from(RESPONSE_LIMIT_BYTES)))]
    bytes: u32,
    /// Content type of the response
    #[arg(long, default_value = "application/json")]
    content_type: String,
}

/// Serves `GET /` and the [plain endpoints](plain) until stopped, and prints its address on stderr.
pub(super) async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = crate::web::listen((Ipv4Addr::LOCALHOST, 0).into(), "this machine")?;
    listener.announce();
    serve(listener.into_socket(), args, stop).await?;
    Ok(())
}

async fn serve(listener: TcpListener, args: Args, stop: CancellationToken) -> io::Result<()> {
    let content_type = axum::http::HeaderValue::try_from(args.content_type)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let body = json_of_length(args.bytes);
    let handler = move || async move { ([(CONTENT_TYPE, content_type)], body) };
    axum::serve(listener, plain::routes().route("/", get(handler)))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn json_of_length(bytes: u32) -> Bytes {
    let padding = bytes.saturating_sub(2) as usize;
    let mut body = Vec::with_capacity(padding + 2);
    body.push(QUOTE);
    body.resize(padding + 1, b'x');
    body.push(QUOTE);
    body.into()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;
    use crate::client::{Bounds, Client};
    use crate::config::HttpUrl;

    #[tokio::test]
    async fn the_response_has_the_requested_size_and_type() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: HttpUrl = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let args = Args { bytes: 217, content_type: "application/json".to_owned() };
        tokio::spawn(serve(listener, args, CancellationToken::new()));
        let bounds = Bounds { time: std::time::Duration::from_secs(60), body_bytes: 1_000 };
        let request = Request::get(url.uri()).body(Bytes::new()).unwrap();
        let page = Client::for_url(&url).unwrap().fetch(request, bounds).await.unwrap();
        assert_eq!((page.status().as_u16(), page.body().len()), (200, 217));
        assert_eq!(page.headers()[CONTENT_TYPE], "application/json");
        assert!(serde_json::from_slice::<String>(page.body()).is_ok());
    }
}
