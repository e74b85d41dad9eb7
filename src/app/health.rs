//! `lab health`: the question that a container's health check asks, by the binary itself.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Ending;

const ANSWER_LIMIT_BYTES: usize = 4 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The address to ask
    #[arg(default_value = "http://127.0.0.1:8080/healthz", value_name = "URL")]
    pub url: String,
}

/// Asks once.
///
/// # Errors
/// When nothing answers, or not with 2xx.
pub async fn run(args: &Args) -> anyhow::Result<Ending> {
    let answer = fetch(&args.url).await?;
    super::print::print(answer.trim_end())?;
    Ok(Ending::Done)
}

/// The body of a 2xx answer from a plain HTTP server; bounded in size and time.
pub(super) async fn fetch(url: &str) -> anyhow::Result<String> {
    tokio::time::timeout(TIME_LIMIT, exchange(url))
        .await
        .with_context(|| format!("{url} did not answer within {} s", TIME_LIMIT.as_secs()))?
        .with_context(|| format!("asking {url}"))
}

async fn exchange(url: &str) -> anyhow::Result<String> {
    let uri: Uri = url.parse()?;
    anyhow::ensure!(uri.scheme_str() == Some("http"), "an http:// URL is needed");
    let authority = uri.authority().context("the URL has no host")?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = axum::http::Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header("host", authority.as_str())
        .body(Empty::<Bytes>::new())?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?
            .to_bytes();
        anyhow::ensure!(status.is_success(), "answered {status}");
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    // The connection's future drives the exchange and ends with it.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
