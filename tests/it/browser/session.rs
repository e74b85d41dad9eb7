//! Signing in on the page.

use super::{Browser, View, axe::Axe};
use crate::support::Server;

const SIGNED_IN: &str = "document.getElementById('load-button')?.disabled === false";

#[tokio::test]
async fn the_token_typed_on_the_page_gives_the_right_to_change_settings() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &[("LAB_ADMIN_TOKEN", "s3cret")]);
    let change = r#"fetch("/settings", {
        method: "PATCH", headers: { "content-type": "application/json" }, body: '{"async_limit":7}',
    }).then((answer) => answer.status)"#;

    let mut page = browser.open(&server.url("/"), View::PHONE).await;
    assert!(!page.evaluate::<bool>(SIGNED_IN).await);
    if let Some(axe) = Axe::load() {
        assert_eq!(axe.violations(&page).await, [""; 0]);
    }
    assert_eq!(page.evaluate::<u16>(change).await, 401);
    assert!(!page.faults().await.is_empty(), "the browser says what was refused");

    page.type_text("input[name=token]", "wrong").await;
    page.press("Enter").await;
    page.until("document.body.innerText.includes('the token is wrong')").await;
    assert!(!page.faults().await.is_empty(), "the browser notes the 401");
    page.type_text("input[name=token]", "s3cret").await;
    page.press("Enter").await;
    page.until(SIGNED_IN).await;
    assert_eq!(page.evaluate::<u16>(change).await, 200);
    assert_eq!(page.faults().await, [""; 0]);
}
