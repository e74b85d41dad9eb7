//! What holds for every page of the product, in every window, light and dark, idle and running.

use super::{Browser, View, axe::Axe, keyboard, reflow, site};
use crate::support::{Server, send};

/// A lab whose services answer at once, so that the links to its endpoints are followed quickly.
fn lab() -> Server {
    let environment = [("SERVICE_A_LATENCY", "constant:0"), ("SERVICE_B_LATENCY", "constant:0")];
    Server::start(&[], &environment)
}

/// Starts what can be started.
async fn start(server: &Server) {
    for path in ["/streams/start", "/pipeline/start"] {
        assert_eq!(send(server.addr, &format!("POST {path}"), "").await.status / 100, 2, "{path}");
    }
}

fn name(path: &str, view: View) -> String {
    let page = path.trim_matches('/').replace('/', "-");
    let scheme = if view.dark { "dark" } else { "light" };
    format!("{}-{}-{scheme}", if page.is_empty() { "index" } else { &page }, view.width_px)
}

#[tokio::test]
async fn every_page_fits_its_window_says_no_error_and_is_accessible() {
    let Some(browser) = Browser::start().await else { return };
    let axe = Axe::load();
    let server = lab();
    let paths = site::pages(&browser, &server).await;
    let mut found = Vec::new();
    for state in ["idle", "running"] {
        if state == "running" {
            start(&server).await;
        }
        for path in &paths {
            let mut page = browser.open(&server.url(path), View::WIDE).await;
            for view in
                [View::WIDE, View::PHONE, View::NARROW].into_iter().flat_map(|view| [view, view.dark()])
            {
                page.show(view).await;
                let mut faults: Vec<String> = reflow::sideways(&page).await.into_iter().collect();
                if let Some(axe) = axe.as_ref().filter(|_| view.width_px != View::NARROW.width_px) {
                    faults.extend(axe.violations(&page).await);
                }
                faults.extend(page.faults().await);
                page.screenshot(&format!("{}-{state}", name(path, view))).await;
                found.extend(faults.into_iter().map(|fault| format!("{path}, {state}, {view}: {fault}")));
            }
            page.close().await;
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[tokio::test]
async fn every_control_is_reached_by_the_keyboard_and_seen_to_have_the_focus() {
    let Some(browser) = Browser::start().await else { return };
    let server = lab();
    let paths = site::pages(&browser, &server).await;
    start(&server).await;
    let mut found = Vec::new();
    for path in &paths {
        for view in [View::WIDE, View::PHONE.dark()] {
            let page = browser.open(&server.url(path), view).await;
            let faults = keyboard::faults(&page).await;
            found.extend(faults.into_iter().map(|fault| format!("{path}, {view}: {fault}")));
            page.close().await;
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[tokio::test]
async fn the_documentation_is_readable_in_a_narrow_window() {
    let Some(browser) = Browser::start().await else { return };
    let server = lab();
    for path in ["/docs", "/docs/http-lab", "/docs/reference"] {
        let mut page = browser.open(&server.url(path), View::NARROW).await;
        let mut faults: Vec<String> = reflow::sideways(&page).await.into_iter().collect();
        faults.extend(page.faults().await);
        page.screenshot(&name(path, View::NARROW)).await;
        page.close().await;
        assert!(faults.is_empty(), "{path}: {faults:?}");
    }
}
