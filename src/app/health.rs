//! `lab health`: a health check for containers that needs no other program.

use std::time::Duration;

use super::{
    ask::{ServerAddr, fetch},
    ending::Ending,
};
use crate::{config::HttpUrl, output};

/// How long the server may take.
const WITHIN: Duration = Duration::from_secs(5);

/// The arguments of `lab health`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The URL to ask instead of /healthz at the server's address; if it has no path, /healthz is asked
    #[arg(value_name = "URL")]
    pub url: Option<HttpUrl>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: ServerAddr,
}

/// Sends one request and prints the response.
///
/// # Errors
/// When there is no response, or its status is not 2xx.
pub async fn run(args: &Args) -> anyhow::Result<Ending> {
    let url = match &args.url {
        Some(url) if url.has_path() => url.clone(),
        Some(url) => url.below("/healthz")?,
        None => args.server.url()?.below("/healthz")?,
    };
    let answer = fetch(&url, "`lab health URL`", WITHIN).await?;
    output::print(answer.trim_end())?;
    Ok(Ending::Done)
}
