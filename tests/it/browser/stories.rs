//! The stories, as a student and a teacher have them.

use super::{
    Browser, View,
    axe::Axe,
    lab_page::{FAST, settings},
    reflow,
};
use crate::support::{Server, get, send};

#[tokio::test]
async fn a_story_asks_first_and_can_be_stopped() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let mut page = browser.open(&server.url("/"), View::WIDE).await;
    let before = settings(&server).await;
    let story = ".story[data-story=limit]";
    page.until(&format!("!document.querySelector('{story} button').disabled")).await;
    page.click(&format!("{story} button")).await;
    let idle = get(server.addr, "/story").await.json();
    assert_eq!(idle["state"], "idle", "without a prediction nothing starts");
    page.click(&format!("{story} label")).await;
    page.click(&format!("{story} button")).await;
    page.until(&format!("document.querySelector('{story} button').innerText.startsWith('Stop')")).await;
    page.until("document.querySelector('.story[data-story=wait] button').disabled").await;
    page.click(&format!("{story} button")).await;
    page.until(&format!("document.querySelector('{story} button').innerText.startsWith('Start')")).await;
    assert_eq!(settings(&server).await, before);
    assert_eq!(page.faults().await, [""; 0]);
    page.close().await;
}

#[tokio::test]
async fn who_only_looks_on_predicts_too_and_reads_the_result_above_the_columns() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &[("LAB_ADMIN_TOKEN", "s3cret"), ("LAB_UNREADY_MS", "0")]);
    let mut page = browser.open(&server.url("/"), View::PHONE).await;
    let before = settings(&server).await;
    page.click(".story[data-story=parallel] label:last-of-type").await;
    let start = "POST /story/start\nauthorization: Bearer s3cret\ncontent-type: application/json";
    assert_eq!(send(server.addr, start, r#"{"story": "parallel"}"#).await.status, 200);
    let said = "document.getElementById('story-said').innerText";
    page.until(&format!("{said}.includes('You predicted: both the same')")).await;
    page.until("document.getElementById('story-left').innerText.startsWith('about ')").await;
    page.evaluate::<()>("void scrollTo(0, 0)").await;
    page.screenshot("story-runs-390").await;
    page.until(&format!("{said}.includes('Measured: ') && {said}.includes('/sync held ')")).await;
    assert_eq!(page.evaluate::<u32>("document.querySelectorAll('#story-measured tbody tr').length").await, 2);
    assert_eq!(settings(&server).await, before);
    // It is above the columns, fits the window, and stays until it is closed.
    let above = "document.getElementById('story-now').getBoundingClientRect().bottom <=
        document.getElementById('columns').getBoundingClientRect().top";
    assert!(page.evaluate::<bool>(above).await);
    page.screenshot("story-told-390").await;
    assert_eq!(reflow::sideways(&page).await, None);
    if let Some(axe) = Axe::load() {
        assert_eq!(axe.violations(&page).await, [""; 0]);
    }
    page.click("#story-close").await;
    page.until("document.getElementById('story-now').hidden").await;
    page.until(
        "document.querySelector('.story[data-story=parallel] .outcome').innerText.includes('Measured: ')",
    )
    .await;
    assert_eq!(page.faults().await, [""; 0]);
    page.close().await;
}
