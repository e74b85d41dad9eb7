//! Pages that show what happens now.

use super::{Browser, View};
use crate::support::Server;

/// Starts the run from the page, and waits until its figure moves.
async fn start_and_see_it_move(page: &super::Page, figure: &str) {
    page.until("document.getElementById('state').innerText === 'idle'").await;
    page.until("!document.querySelector('form[data-path$=\"/start\"] button').disabled").await;
    page.click("form[data-path$='/start'] button").await;
    page.until("document.getElementById('state').innerText === 'running'").await;
    let shown = format!("document.querySelector('[data-figure={figure}]').innerText");
    let first: String = page.evaluate(&shown).await;
    page.until(&format!("{shown} !== {}", super::page::quoted(&first))).await;
}

#[tokio::test]
async fn a_page_comes_back_by_itself_after_the_server_has_started_again() {
    let Some(browser) = Browser::start().await else { return };
    for (path, figure) in [("/streams", "processed"), ("/pipeline", "succeeded")] {
        let server = Server::start(&[], &[]);
        let addr = server.addr.to_string();
        let mut page = browser.open(&server.url(path), View::WIDE).await;
        start_and_see_it_move(&page, figure).await;
        assert_eq!(page.faults().await, [""; 0], "{path}");

        drop(server);
        page.until("document.getElementById('state').innerText === 'not connected'").await;
        let _server = Server::start(&["--addr", &addr], &[]);
        start_and_see_it_move(&page, figure).await;
        let faults = page.faults().await;
        assert!(faults.iter().all(|fault| fault.contains("net::ERR_")), "{path}: {faults:?}");
        page.close().await;
    }
}
