//! A run that is pinned: a ghost behind the next one, made of what the charts had of it.

use super::{Browser, Page, View, lab_page::FAST};
use crate::support::{Server, get, until};

/// What the readouts say of the pinned run, beside what the charts had of it at that time after its start.
const READ: &str = r#"(() => {
  const { second, run, columns } = window.charted;
  const first = second - columns[0].points.offered.length;
  const slider = document.getElementById("look-back");
  const wrong = [];
  let compared = 0;
  for (let back = 0; back < second - run.second; back += 1) {
    slider.value = back;
    slider.dispatchEvent(new Event("input"));
    for (const { path } of columns) {
      const since = second - 1 - back - run.second;
      const good = window.pinnedPoints[path]?.[since] ?? null;
      const plot = document.querySelector(`[data-path="${path}"] .plot[data-row=good]`);
      const told = plot.querySelector(".key.ghost")?.textContent ?? null;
      const expected = good === null ? null : `pinned: good ${live.rate(good)}/s`;
      if (told !== expected) wrong.push(`${path}, ${since} s: ${told}, not ${expected}`);
      compared += told === null ? 0 : 1;
    }
  }
  slider.value = 0;
  slider.dispatchEvent(new Event("input"));
  return compared < 8 ? [`only ${compared} were compared`] : wrong;
})()"#;

/// Keeps what the charts show, and the good answers of the run that is on them.
const LISTEN: &str = r#"void document.addEventListener("charts", ({ detail }) => {
  window.charted = detail;
  const { second, run, columns } = detail;
  const first = second - columns[0].points.offered.length;
  if (!run || (window.pinnedRun ??= run.began_ms) !== run.began_ms) return;
  window.pinnedPoints = Object.fromEntries(columns.map(({ path, points }) =>
    [path, points.good.slice(run.second - first, (run.ended_second ?? second) + 1 - first)]));
})"#;

async fn send_load(page: &Page, rate: &str) {
    page.until("document.getElementById('load-button').innerText === 'Send load'").await;
    page.type_text("#load [name=rate]", rate).await;
    page.click("#load-button").await;
    page.until("document.getElementById('load-button').innerText === 'Stop'").await;
}

async fn set_limit(page: &Page, limit: u32) {
    page.type_text(".lever [name=async_limit]", &limit.to_string()).await;
    page.press("Enter").await;
    page.until(&format!("document.querySelector('.lever [name=async_limit]').dataset.applied === '{limit}'"))
        .await;
}

#[tokio::test]
async fn a_pinned_run_is_a_ghost_behind_the_next_one_until_it_is_let_go() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&["serve"], &FAST);
    let mut page = browser.open(&server.url("/"), View::WIDE).await;
    page.evaluate::<()>(LISTEN).await;
    assert!(page.evaluate::<bool>("document.getElementById('pin').disabled").await, "there is no run yet");
    send_load(&page, "40").await;
    page.until("window.charted?.run && window.charted.second > window.charted.run.second + 3").await;
    page.click("#pin").await;
    page.until(
        "document.getElementById('pinned-text').innerText.includes('40/s to each (poisson, seed 1), 60 s')",
    )
    .await;
    page.until("document.getElementById('pin').disabled").await;
    assert_eq!(
        page.evaluate::<u32>("document.querySelectorAll('.ghost').length").await,
        0,
        "it is on the charts itself"
    );
    page.click("#load-button").await;
    page.until(
        "window.charted.run.ended_second !== null && window.charted.second > window.charted.run.ended_second",
    )
    .await;

    set_limit(&page, 7).await;
    send_load(&page, "20").await;
    page.until("document.querySelectorAll('.strip .line.ghost').length >= 8").await;
    let differs = "document.getElementById('pinned-text').innerText";
    page.until(&format!(
        "{differs}.includes('rate: 40/s → 20/s') && {differs}.includes('limit of /async-limited: 32 → 7')"
    ))
    .await;
    page.until("window.charted.second > window.charted.run.second + 3").await;
    assert_eq!(page.evaluate::<Vec<String>>(READ).await, [""; 0]);
    page.until("document.querySelector('[data-path=\"/async\"] [data-ghost=figures]').innerText.includes('% good, p50 ')").await;
    page.screenshot("lab-page-pinned").await;
    // Higher than this run, it is on the scale all the same.
    let above: bool = page
        .evaluate(
            "[...document.querySelectorAll('.plot svg.strip')].every((strip) => {
                const top = strip.viewBox.baseVal.y;
                return [...strip.querySelectorAll('.ghost')].every((line) => [...line.points].every(({ y }) => y >= top));
            })",
        )
        .await;
    assert!(above);

    // It lasts as long as the tab, and nothing of it is on the server or in the address.
    page.go(&server.url("/")).await;
    page.until("document.querySelectorAll('.strip .line.ghost').length >= 8").await;
    assert!(!page.evaluate::<String>("location.href").await.contains("pin"));
    let other = browser.open(&server.url("/"), View::WIDE).await;
    other.until("document.querySelectorAll('.strip polyline').length > 8").await;
    assert!(other.evaluate::<bool>("document.getElementById('pinned').hidden").await);
    other.close().await;

    page.click("#unpin").await;
    page.until(
        "document.querySelectorAll('.ghost').length === 0 && document.getElementById('pinned').hidden",
    )
    .await;
    page.until("!document.getElementById('pin').disabled").await;
    page.click("#load-button").await;
    until(server.addr, "/load", |answer| (answer.json()["state"] == "idle").then_some(())).await;
    assert_eq!(get(server.addr, "/settings").await.json()["async_limit"], 7);
    assert_eq!(page.faults().await, [""; 0]);
    page.close().await;
}
