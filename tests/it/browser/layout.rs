//! How the HTTP lab's page is laid out: what is on the first screen, and that nothing leaves a hole.

use super::{Browser, View, axe::Axe, lab_page::FAST};
use crate::support::{Server, send};

/// The columns and charts that are not whole on the screen, or so low that nothing can be read.
const OFF_SCREEN: &str =
    "[...document.querySelectorAll('.column, .column .flow, .column .plot:has(.strip-place)')]
    .filter((part) => {
        const { top, bottom, height } = part.getBoundingClientRect();
        return top < 0 || bottom > innerHeight || height < 30;
    }).map((part) => part.className + ' ' + JSON.stringify(part.getBoundingClientRect()))";

/// The figures and readings that are cut off.
const CUT: &str = "[...document.querySelectorAll('.column :is(dd, .readout)')]
    .filter((text) => text.checkVisibility() && text.scrollWidth > text.clientWidth + 1).map((text) => text.innerText)";

#[tokio::test]
async fn the_projector_shows_all_columns_and_charts_on_one_screen() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let start = "POST /load/start\ncontent-type: application/json";
    assert_eq!(send(server.addr, start, r#"{"rate": "20/s", "length_ms": "10m"}"#).await.status, 200);
    let mut page = browser.open(&server.url("/"), View::WIDE).await;
    page.until("document.querySelectorAll('.strip polyline').length > 8").await;
    page.click("#projector").await;
    page.until("location.hash.includes('projector=1')").await;
    for (width_px, height_px) in [(1280, 720), (1920, 1080)] {
        page.show(View { width_px, height_px, dark: false }).await;
        page.evaluate::<()>("void scrollTo(0, 0)").await;
        assert_eq!(page.evaluate::<Vec<String>>(OFF_SCREEN).await, [""; 0], "{width_px} px");
        assert_eq!(page.evaluate::<Vec<String>>(CUT).await, [""; 0], "{width_px} px");
        let controls = "[...document.querySelectorAll('main :is(button, input, select)')]
            .filter((control) => control.checkVisibility() && !control.closest('#stories')).map(({ id }) => id)";
        assert_eq!(page.evaluate::<Vec<String>>(controls).await, ["projector"], "no levers");
        page.screenshot(&format!("projector-{width_px}")).await;
        if let Some(axe) = Axe::load() {
            assert_eq!(axe.violations(&page).await, [""; 0]);
        }
    }
    let address: String = page.evaluate("location.href").await;
    let other = browser.open(&address, View::WIDE).await;
    other.until("document.body.classList.contains('projector')").await;
    other.click("#projector").await;
    other
        .until("document.getElementById('levers').checkVisibility() && !location.hash.includes('projector')")
        .await;
    other.close().await;
    assert_eq!(page.faults().await, [""; 0]);
    page.close().await;
}

#[tokio::test]
async fn on_a_phone_the_columns_come_first_and_the_load_unfolds() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let page = browser.open(&server.url("/"), View::PHONE).await;
    page.until("!document.getElementById('load-button').disabled").await;
    let bottom =
        |selector: &str| format!("document.querySelector('{selector}').getBoundingClientRect().bottom");
    assert!(page.evaluate::<f64>(&bottom(".glance")).await < 600.0, "all strategies, of 844 px");
    assert!(page.evaluate::<f64>(&bottom(".column .headline")).await < 760.0, "and the first column");
    assert!(page.text("#load summary").await.contains("30/s to each (poisson, seed 1), 60 s"));
    assert!(!page.evaluate::<bool>("document.querySelector('[name=rate]').checkVisibility()").await);
    page.click("#load summary").await;
    page.type_text("#load [name=rate]", "44").await;
    page.until("document.querySelector('#load summary').innerText.includes('44/s')").await;
    // A wide window folds nothing.
    page.show(View::WIDE).await;
    page.until("[...document.querySelectorAll('.fold')].every(({ open }) => open)").await;
    page.close().await;
}

#[tokio::test]
async fn columns_and_stories_leave_no_hole_at_any_width() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let page = browser.open(&server.url("/"), View::WIDE).await;
    for width_px in [320, 390, 640, 720, 900, 1100, 1280, 1440, 1600, 1920] {
        page.show(View { width_px, height_px: 900, dark: false }).await;
        for (grid, part) in [(".stories", ".story"), (".columns", ".column")] {
            let holes: Vec<String> = page
                .evaluate(&format!(
                    "(() => {{
                       const grid = document.querySelector('{grid}').getBoundingClientRect();
                       const rows = Object.groupBy([...document.querySelectorAll('{part}')]
                         .map((part) => part.getBoundingClientRect()), ({{ top }}) => Math.round(top));
                       return Object.values(rows).filter((row) =>
                         Math.abs(Math.min(...row.map(({{ left }}) => left)) - grid.left) > 1
                         || Math.abs(Math.max(...row.map(({{ right }}) => right)) - grid.right) > 1).map(JSON.stringify);
                     }})()"
                ))
                .await;
            assert_eq!(holes, [""; 0], "{grid}, {width_px} px");
        }
    }
    page.close().await;
}

#[tokio::test]
async fn levers_at_the_foot_of_the_window_leave_the_columns_in_sight() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let mut page = browser.open(&server.url("/"), View { width_px: 1280, height_px: 800, dark: false }).await;
    page.until("!document.getElementById('load-button').disabled").await;
    page.evaluate::<()>("document.getElementById('dock').focus()").await;
    page.press("Enter").await;
    let whole = "(({ top, bottom }) => top >= 0 && bottom <= innerHeight)";
    for seen in
        [".column .headline", ".column .flow", "#levers", ".lever [name=async_timeout_ms]", "#trigger button"]
    {
        page.until(&format!("{whole}(document.querySelector('{seen}').getBoundingClientRect())")).await;
    }
    page.type_text(".lever [name=async_limit]", "7").await;
    page.press("Enter").await;
    page.until(
        "document.querySelector('[data-path=\"/async-limited\"] [data-figure=waiting]').innerText === '0, limit 7'",
    )
    .await;
    if let Some(axe) = Axe::load() {
        assert_eq!(axe.violations(&page).await, [""; 0]);
    }
    page.screenshot("levers-docked").await;
    page.click("#undock").await;
    page.until("document.activeElement.id === 'dock' && !document.body.classList.contains('docked')").await;
    assert_eq!(page.faults().await, [""; 0]);
    page.close().await;
}

#[tokio::test]
async fn a_table_of_the_requests_stands_for_the_dots_where_motion_disturbs() {
    let Some(browser) = Browser::start().await else { return };
    let server =
        Server::start(&["serve"], &[("SERVICE_B_LATENCY", "constant:3000"), ("LAB_UNREADY_MS", "0")]);
    let page = browser.open(&server.url("/"), View::WIDE).await;
    page.reduce_motion().await;
    let start = "POST /load/start\ncontent-type: application/json";
    assert_eq!(send(server.addr, start, r#"{"rate": "20/s", "length_ms": "10m"}"#).await.status, 200);
    assert!(!page.evaluate::<bool>("document.querySelector('canvas').checkVisibility()").await);
    page.until("Number(document.querySelector('[data-path=\"/async\"] [data-flow=b]').innerText) > 20").await;
    page.close().await;
}
