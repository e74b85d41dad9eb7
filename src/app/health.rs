//! `lab health`: the question that a container's health check asks, by the binary itself.

use super::{
    ask::{Whom, fetch},
    ending::Ending,
};
use crate::{config::HttpUrl, output};

/// Whom to ask.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The URL to ask instead of /healthz at the server's address; without a path its /healthz
    #[arg(value_name = "URL")]
    pub url: Option<HttpUrl>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub whom: Whom,
}

/// Asks once.
///
/// # Errors
/// When nothing answers, or not with 2xx.
pub async fn run(args: &Args) -> anyhow::Result<Ending> {
    let url = match &args.url {
        Some(url) if url.has_path() => url.clone(),
        Some(url) => url.below("/healthz")?,
        None => args.whom.url()?.below("/healthz")?,
    };
    let answer = fetch(&url, "`lab health URL`").await?;
    output::print(answer.trim_end())?;
    Ok(Ending::Done)
}
