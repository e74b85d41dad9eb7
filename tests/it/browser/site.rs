//! The pages of a server, found by following its own links from `/`.

use super::{Browser, View};
use crate::support::Server;

/// Asks as a browser does, and keeps what is answered as HTML; `fetch` follows no link twice.
const FOLLOW: &str = r#"(async () => {
  const pages = [];
  const paths = ["/"];
  for (const path of paths) {
    const answer = await fetch(path, { headers: { accept: "text/html" } });
    // Where a link only leads on, the page is found under its own address.
    if (answer.redirected || !answer.headers.get("content-type")?.startsWith("text/html")) {
      await answer.body?.cancel();
      continue;
    }
    pages.push(path);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const link of page.querySelectorAll("a[href]")) {
      const url = new URL(link.getAttribute("href"), location.origin + path);
      if (url.origin === location.origin && !paths.includes(url.pathname)) paths.push(url.pathname);
    }
  }
  return pages;
})()"#;

/// The paths of its pages.
pub(super) async fn pages(browser: &Browser, server: &Server) -> Vec<String> {
    let page = browser.open(&server.url("/"), View::WIDE).await;
    let paths: Vec<String> = page.evaluate(FOLLOW).await;
    page.close().await;
    assert!(paths.len() > 2, "the navigation leads to pages: {paths:?}");
    paths
}
