//! What the browser's checks must find, put there; and what a browser leaves behind.

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use super::{Browser, View, axe::Axe, keyboard, reflow};
use crate::support::PATIENCE;

const FAULTY: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Faulty</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/faulty.css"><script src="/faulty.js" defer></script></head>
<body><main><h1>Faulty</h1>
<script>document.title = "inline";</script>
<img src="/missing.png" alt="missing">
<p class="wide">wide</p><p class="faint">faint</p>
<button id="kept-out" tabindex="-1">a</button>
<a id="unseen" href="/">b</a>
<button id="good">c</button> <input id="field" aria-label="Field">
</main></body></html>"#;

const STYLE: &str = "body { margin: 0; background: #fff; } .wide { width: 600px; } .faint { color: #eee; }
#unseen:focus { outline: none; }";

const SCRIPT: &str = r#"console.error("said", 7);
let pressed = 0;
document.getElementById("good").addEventListener("click", () => { pressed += 1; });
setTimeout(() => { throw new Error("thrown"); });"#;

/// Serves the faulty page until the test ends.
async fn faulty() -> String {
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'";
    let page = ([(header::CONTENT_SECURITY_POLICY, policy), (header::CONTENT_TYPE, "text/html")], FAULTY);
    let router = Router::new()
        .route("/", get(async move || page.into_response()))
        .route("/faulty.css", get(async || ([(header::CONTENT_TYPE, "text/css")], STYLE)))
        .route("/faulty.js", get(async || ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT)))
        // The browser asks for it when it likes.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .fallback(async || StatusCode::NOT_FOUND);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn what_is_wrong_with_a_page_is_found() {
    let Some(browser) = Browser::start().await else { return };
    let mut page = browser.open(&faulty().await, View::WIDE).await;
    page.evaluate::<bool>("fetch('http://127.0.0.1:1/').catch(() => true)").await;
    let expected = [
        "console: said 7",
        "exception: Error: thrown",
        "console: Content-Security-Policy: script-src-elem forbids inline",
        "console: Content-Security-Policy: connect-src forbids http://127.0.0.1:1/",
        "/missing.png answered 404",
    ];
    let mut faults = Vec::new();
    let all_found = async {
        while !expected.iter().all(|text| faults.iter().any(|fault: &String| fault.contains(text))) {
            faults.extend(page.faults().await);
        }
    };
    let found = tokio::time::timeout(PATIENCE, all_found).await;
    assert!(found.is_ok(), "{faults:?}");
    assert_eq!(faults.iter().filter(|fault| fault.contains("said 7")).count(), 1, "taken once: {faults:?}");

    assert_eq!(reflow::sideways(&page).await, None);
    page.show(View::PHONE).await;
    let wide = reflow::sideways(&page).await.expect("it scrolls");
    assert!(wide.contains("600 px wide in a window of 390 px") && wide.contains("class=\"wide\""), "{wide}");

    let by_keyboard = keyboard::faults(&page).await;
    assert_eq!(by_keyboard.len(), 2, "{by_keyboard:?}");
    assert!(by_keyboard[0].starts_with("Tab does not reach <button id=\"kept-out\""), "{by_keyboard:?}");
    assert!(by_keyboard[1].starts_with("the focus is not seen on <a id=\"unseen\""), "{by_keyboard:?}");

    if let Some(axe) = Axe::load() {
        let violations = axe.violations(&page).await;
        assert!(violations.iter().any(|violation| violation.starts_with("color-contrast")), "{violations:?}");
        assert_eq!(page.faults().await, [""; 0], "the check itself makes none");
    }
}

#[tokio::test]
async fn a_page_is_used_as_a_user_does() {
    let Some(browser) = Browser::start().await else { return };
    let page = browser.open(&faulty().await, View::PHONE.dark()).await;
    assert!(page.evaluate::<bool>("matchMedia('(prefers-color-scheme: dark)').matches").await);
    assert_eq!(page.evaluate::<(u32, u32)>("[innerWidth, innerHeight]").await, (390, 844));
    assert_eq!(page.text("h1").await, "Faulty");
    page.click("#good").await;
    page.until("pressed === 1").await;
    page.press("Enter").await;
    page.until("pressed === 2").await;
    page.type_text("#field", "one").await;
    page.type_text("#field", "two").await;
    page.press("3").await;
    assert_eq!(page.evaluate::<String>("document.getElementById('field').value").await, "two3");
}

#[tokio::test]
async fn a_browser_leaves_nothing_behind_however_its_test_ends() {
    let Some(browser) = Browser::start().await else { return };
    let profile = browser.profile().to_owned();
    let running = || {
        let named = |process: procfs::process::Process| {
            let arguments = process.cmdline().unwrap_or_default();
            arguments.iter().any(|argument| argument.contains(&*profile.to_string_lossy()))
        };
        procfs::process::all_processes()
            .expect("processes")
            .flatten()
            .filter(|process| procfs::process::Process::new(process.pid()).is_ok_and(named))
            .count()
    };
    assert!(running() > 0);
    let test = tokio::spawn(async move {
        let _page = browser.open("about:blank", View::WIDE).await;
        panic!("as a test that fails");
    });
    assert!(test.await.is_err_and(|error| error.is_panic()));
    assert_eq!(running(), 0);
    assert!(!profile.exists());
}
