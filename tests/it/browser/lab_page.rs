//! The HTTP lab's page: load, levers, dots and the address that restores them, as a user has them.

use serde_json::Value;

use super::{Browser, Page, View};
use crate::support::{Server, get, send};

pub(super) const FAST: [(&str, &str); 3] =
    [("SERVICE_A_LATENCY", "uniform:5,15"), ("SERVICE_B_LATENCY", "uniform:30,120"), ("LAB_UNREADY_MS", "0")];

/// What is shown under this name in the column of `/async-limited`.
fn figure(name: &str) -> String {
    format!("document.querySelector('[data-path=\"/async-limited\"] [data-figure={name}]').innerText")
}

pub(super) async fn settings(server: &Server) -> Value {
    get(server.addr, "/settings").await.json()
}

/// Types a value into a lever and sets it.
async fn set(page: &Page, name: &str, value: &str) {
    page.type_text(&format!(".lever [name={name}]"), value).await;
    page.press("Enter").await;
}

#[tokio::test]
async fn a_load_is_sent_and_seen_to_flow() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let mut page = browser.open(&server.url("/"), View::WIDE).await;
    page.until("!document.getElementById('load-button').disabled").await;
    page.type_text("#load [name=rate]", "40").await;
    page.click("#load-button").await;
    page.until("document.getElementById('load-button').innerText === 'Stop'").await;
    page.until("flow.count() > 0").await;
    page.until(&format!("{}.endsWith('%')", figure("good_rate"))).await;
    page.until("document.querySelectorAll('.strip polyline').length > 8").await;
    // Dots are drawn, and others a moment later: the pictures differ.
    page.until("(window.drawn ??= document.querySelector('canvas').toDataURL()) !== document.querySelector('canvas').toDataURL()").await;
    page.screenshot("lab-page-loaded").await;
    // The charts show what was seen, or the span that is chosen.
    let left_edge = "document.querySelector('svg.strip').viewBox.baseVal.x";
    page.until(&format!("{left_edge} > 400")).await;
    let choose = |seconds: u32| {
        format!(
            "(() => {{ const span = document.querySelector('[name=span_s]'); span.value = '{seconds}';
               span.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"
        )
    };
    page.evaluate::<()>(&choose(300)).await;
    page.until(&format!("{left_edge} === 0 && location.hash.includes('span_s=300')")).await;
    page.evaluate::<()>(&choose(120)).await;
    page.until(&format!("Math.round({left_edge}) === 361")).await;
    // Where colours say nothing, dashes do.
    page.force_colours().await;
    let dashes = "new Set(['good', 'offered', 'plain', 'second', 'level'].map((role) =>
        getComputedStyle(document.querySelector(`.line.${role}`)).strokeDasharray)).size";
    assert_eq!(page.evaluate::<u32>(dashes).await, 4, "good and plain are solid, and never in one picture");
    page.screenshot("lab-page-forced").await;
    page.show(View::WIDE).await;
    page.click("#load-button").await;
    page.until("document.getElementById('load-button').innerText === 'Send load'").await;
    page.until("document.getElementById('notice').innerText.includes('the load that ended')").await;
    assert_eq!(page.faults().await, [""; 0]);
    page.close().await;
}

/// The columns as the page shows them, and as its JSON says they are to be shown.
const SHOWN: &str = "(async () => {
  const view = await (await fetch('/view')).json();
  const wrong = [];
  for (const { path, in_flight, orphaned, windows } of view.columns) {
    const figures = windows[30];
    const expected = {
      good_rate: live.percent(figures.good_rate), p50: live.time(figures.p50_ms), in_flight: live.count(in_flight),
      offered: `${live.count(figures.offered)} (${live.rate(figures.offered_per_second)}/s)`,
      shed: live.count(figures.shed), deadline: live.count(figures.deadline), orphaned: live.count(orphaned),
      service_error: live.count(figures.service_error), unanswered: live.count(figures.unanswered),
    };
    for (const [name, text] of Object.entries(expected)) {
      const shown = document.querySelector(`[data-path=\"${path}\"] [data-figure=${name}]`).innerText;
      if (shown !== text) wrong.push(`${path} ${name}: ${shown}, not ${text}`);
    }
  }
  return wrong;
})()";

#[tokio::test]
async fn at_rest_the_page_shows_the_figures_of_its_json_and_of_the_audit() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let page = browser.open(&server.url("/"), View::WIDE).await;
    page.until("!document.getElementById('load-button').disabled").await;
    page.type_text("#load [name=length_ms]", "4").await;
    page.click("#load-button").await;
    page.until("document.getElementById('load-state').innerText.startsWith('The last load: ')").await;
    page.until("document.getElementById('notice').innerText.includes('the load that ended')").await;
    let audit = crate::support::at_rest(server.addr).await.http.expect("requests");
    let state = page.text("#load-state").await;
    let offered = lab::web::reading::count(audit.sum.completed);
    assert!(state.starts_with(&format!("The last load: {offered} offered, 0 in flight")), "{state}");
    page.until("document.querySelector('[data-path=\"/sync\"] [data-figure=in_flight]').innerText === '0'")
        .await;
    assert_eq!(page.evaluate::<Vec<String>>(SHOWN).await, [""; 0]);
    page.close().await;
}

#[tokio::test]
async fn a_lever_changes_the_setting_and_a_bad_value_is_refused_beside_it() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let mut page = browser.open(&server.url("/"), View::PHONE).await;
    set(&page, "async_limit", "7").await;
    page.until("document.querySelector('.lever [name=async_limit]').dataset.applied === '7'").await;
    assert_eq!(settings(&server).await["async_limit"], 7);
    // Set by somebody else, it is shown too.
    let head = "PATCH /settings\ncontent-type: application/json";
    assert_eq!(send(server.addr, head, r#"{"async_timeout_ms": 777}"#).await.status, 200);
    page.until("document.querySelector('.lever [name=async_timeout_ms]').value === '777'").await;
    page.until(&format!("{}.includes('limit 7')", figure("waiting"))).await;
    assert_eq!(page.faults().await, [""; 0]);

    set(&page, "service_b_latency", "sometimes:5").await;
    page.until("document.querySelector('.lever [name=service_b_latency]').hasAttribute('aria-invalid')")
        .await;
    let beside =
        "document.querySelector('.lever [name=service_b_latency]').closest('form').querySelector('.error')";
    let said: String = page.evaluate(&format!("{beside}.innerText")).await;
    assert!(said.contains("uniform:MIN,MAX") && !said.contains("line 1"), "{said}");
    assert_eq!(settings(&server).await["service_b_latency"], "uniform:30,120");
    // The browser notes the 400 that was answered.
    assert!(page.faults().await.iter().all(|fault| fault.contains("400")));
    page.close().await;
}

#[tokio::test]
async fn the_address_restores_the_screen_and_changes_nothing_until_it_is_set() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let page = browser
        .open(&server.url("/#rate=12&window_s=60&async_limit=9&seed=18446744073709551615"), View::WIDE)
        .await;
    page.until("!document.getElementById('apply').hidden").await;
    let value = async |selector: &str| -> String {
        page.evaluate(&format!("document.querySelector('{selector}').value")).await
    };
    assert_eq!(value("#load [name=rate]").await, "12");
    assert_eq!(value("#load [name=seed]").await, "18446744073709551615");
    assert_eq!(value("[name=window_s]:checked").await, "60");
    assert_eq!(value(".lever [name=async_limit]").await, "9");
    assert_eq!(settings(&server).await["async_limit"], 32, "opened, it has changed nothing");
    page.click("#apply").await;
    page.until("document.querySelector('.lever [name=async_limit]').dataset.applied === '9'").await;
    assert_eq!(settings(&server).await["async_limit"], 9);
    page.click("#load-button").await;
    page.until("document.getElementById('load-button').innerText === 'Stop'").await;
    page.until("location.hash.includes('async_limit=9') && location.hash.includes('rate=12')").await;
    page.until("document.getElementById('link').hash === location.hash").await;
    let status = get(server.addr, "/load").await.json();
    assert_eq!((&status["seed"], &status["rate"]), (&Value::from(u64::MAX), &Value::from("12/s")));
    page.close().await;
}

#[tokio::test]
async fn the_load_goes_to_the_strategies_that_are_chosen() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let page = browser.open(&server.url("/#strategies=%2Fasync"), View::WIDE).await;
    page.until("!document.getElementById('load-button').disabled").await;
    page.click("[name=strategies][value='/async']").await;
    page.click("#load-button").await;
    page.until("document.querySelector('#load .error').innerText.includes('at least one strategy')").await;
    page.click("[name=strategies][value='/async-timeout']").await;
    page.click("#load-button").await;
    page.until("document.getElementById('load-state').innerText.includes('to /async-timeout, ')").await;
    page.until("document.querySelector('#load .error').innerText === ''").await;
    page.until("document.getElementById('again').textContent.match(/^lab load/gm).length === 1").await;
    let status = get(server.addr, "/load").await.json();
    assert_eq!(status["strategies"], serde_json::json!(["/async-timeout"]));
    page.close().await;
}

#[tokio::test]
async fn the_page_says_when_what_it_shows_is_old_and_comes_back() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let addr = server.addr.to_string();
    let page = browser.open(&server.url("/"), View::WIDE).await;
    page.until("!document.getElementById('load-button').disabled").await;
    drop(server);
    page.until("document.body.classList.contains('stale')").await;
    page.until("document.getElementById('load-button').disabled").await;
    // No action is offered that could not be taken.
    let enabled =
        "document.querySelectorAll('main :is(.lever, .story, #trigger) :is(button, select):enabled').length";
    page.until(&format!("{enabled} === 0")).await;
    let _server = Server::start(&["serve", "--addr", &addr], &FAST);
    page.until("!document.body.classList.contains('stale')").await;
    page.click("#load-button").await;
    page.until("flow.count() > 0").await;
    page.close().await;
}

#[tokio::test]
async fn the_curve_follows_its_lever_and_shows_what_is_typed_before_it_is_set() {
    let Some(browser) = Browser::start().await else { return };
    let server =
        Server::start(&["serve"], &[("SERVICE_B_LATENCY", "uniform:300,1200"), ("LAB_UNREADY_MS", "0")]);
    let mut page = browser.open(&server.url("/"), View::WIDE).await;
    let title = "document.querySelector('#curve svg title').textContent";
    assert_eq!(page.evaluate::<String>(title).await, "B takes 750 ms on average, p50 750 ms, p95 1.16 s");
    let preview = "document.querySelector('#curve [data-curve=preview]').hidden";
    page.until("!document.getElementById('load-button').disabled").await;
    page.type_text(".lever [name=service_b_latency]", "constant:200").await;
    page.until(&format!("{title}.includes('p95 200 ms') && !{preview}")).await;
    assert_eq!(settings(&server).await["service_b_latency"], "uniform:300,1200", "it is only shown");
    page.press("Enter").await;
    page.until(preview).await;
    assert_eq!(settings(&server).await["service_b_latency"], "constant:200");
    // The deadline is held against it, by whomever it is set.
    let head = "PATCH /settings\ncontent-type: application/json";
    assert_eq!(send(server.addr, head, r#"{"async_timeout_ms": 150}"#).await.status, 200);
    page.until("document.querySelector('#curve li.deadline').innerText.includes('100.0 % take longer')")
        .await;
    assert_eq!(page.faults().await, [""; 0]);

    page.type_text(".lever [name=service_b_latency]", "constantly").await;
    let beside =
        "document.querySelector('.lever [name=service_b_latency]').form.querySelector('.error').innerText";
    page.until(&format!("{beside}.includes('uniform:MIN,MAX')")).await;
    assert!(page.evaluate::<String>(title).await.contains("p95 200 ms"), "the last curve stays");
    page.type_text(".lever [name=service_b_latency]", "constant:200").await;
    page.until(&format!("{beside} === '' && {preview}")).await;
    assert!(page.faults().await.iter().all(|fault| fault.contains("400")));
    page.close().await;
}
