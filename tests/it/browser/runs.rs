//! The pages of what starts, runs, drains and stops: the same for all of them.

use std::time::Duration;

use lab::{
    latency::DurationText,
    web::reading::{count, percent, rate},
};
use serde_json::Value;

use super::{Browser, Page, View, axe::Axe, page::quoted, reflow};
use crate::support::{Server, get, send};

/// Each page, a figure that moves when it runs, and a field with a value that is refused, and what it is called.
const PAGES: [(&str, &str); 2] = [("/streams", "processed"), ("/pipeline", "succeeded")];

/// Little work, so that a drain is short.
const QUICK: [(&str, &str); 2] = [("PIPELINE_WORK", "constant:20"), ("PIPELINE_BURST_INTERVAL", "10ms")];

/// More than it can do.
const OVERLOAD: [(&str, &str); 9] = [
    ("WORKERS_COUNT", "10"),
    ("STREAMS_COUNT", "300"),
    ("STREAM_INTERVAL", "100"),
    ("BUFFER_SIZE", "100"),
    ("PIPELINE_WORK", "constant:200"),
    ("PIPELINE_BURST_INTERVAL", "5ms"),
    ("PIPELINE_QUEUE_CAPACITY", "10"),
    ("PIPELINE_MIN_WORKERS", "1"),
    ("PIPELINE_MAX_WORKERS", "1"),
];

const BUTTON: &str = "document.getElementById('run-button')";

fn figure(name: &str) -> String {
    format!("document.querySelector('[data-figure={name}]').innerText")
}

/// Waits until the run's state is this, and the control says what it does then.
async fn until_state(page: &Page, state: &str, button: &str) {
    page.until(&format!("document.getElementById('state').dataset.state === '{state}'")).await;
    page.until(&format!("{BUTTON}.innerText === '{button}' && !{BUTTON}.disabled")).await;
}

async fn start(page: &Page, moves: &str) {
    until_state(page, "idle", "Start").await;
    page.click("#run-button").await;
    until_state(page, "running", "Stop and drain").await;
    let shown = figure(moves);
    let first: String = page.evaluate(&shown).await;
    page.until(&format!("{shown} !== {}", quoted(&first))).await;
}

async fn stop(page: &Page) {
    page.click("#run-button").await;
    page.until("document.getElementById('state').innerText === 'Ended'").await;
    until_state(page, "idle", "Start").await;
}

/// What is wrong with how it looks and reads now.
async fn look(page: &Page, axe: Option<&Axe>, name: &str) {
    let mut faults = Vec::new();
    for view in [View::WIDE, View::WIDE.dark(), View::PHONE, View::NARROW] {
        page.show(view).await;
        faults.extend(reflow::sideways(page).await);
        if let Some(axe) = axe.filter(|_| view.width_px != View::NARROW.width_px) {
            faults.extend(axe.violations(page).await);
        }
        let scheme = if view.dark { "-dark" } else { "" };
        page.screenshot(&format!("{name}-{}{scheme}", view.width_px)).await;
    }
    page.show(View::WIDE).await;
    assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
}

#[tokio::test]
async fn one_control_starts_and_stops_and_what_has_ended_says_so() {
    let Some(browser) = Browser::start().await else { return };
    let axe = Axe::load();
    let server = Server::start(&[], &QUICK);
    for (path, moves) in PAGES {
        let name = path.trim_matches('/');
        let mut page = browser.open(&server.url(path), View::WIDE).await;
        assert_eq!(page.text("#state").await, "Not started");
        start(&page, moves).await;
        page.until("document.getElementById('clock').innerText.startsWith('for ')").await;
        page.until("document.querySelectorAll('.strip polyline').length > 2").await;
        look(&page, axe.as_ref(), &format!("{name}-running")).await;
        stop(&page).await;
        page.until("/^\\d+ s ago, after a run of/.test(document.getElementById('clock').innerText)").await;
        figures_are_those_of_the_server(&page, &server, path).await;
        chart_ends_with_the_run(&page, &server, path).await;
        look(&page, axe.as_ref(), &format!("{name}-ended")).await;
        assert_eq!(page.faults().await, [""; 0], "{path}");
        page.close().await;
    }
}

/// At rest every figure is that of the JSON, and of the metrics.
async fn figures_are_those_of_the_server(page: &Page, server: &Server, path: &str) {
    let status = get(server.addr, path).await.json();
    let metrics = get(server.addr, "/metrics").await.body;
    let (terms, sums): (&Value, &[(&str, &str)]) = match path {
        "/streams" => (&status["run"], &[("generated", "streams_chunks_generated_total")]),
        _ => (&status, &[("created", "pipeline_created_total"), ("offered", "pipeline_offered_total")]),
    };
    let names =
        ["generated", "processed", "dropped", "created", "succeeded", "permanently_failed", "offered"];
    let told: Vec<(&str, u64)> =
        names.into_iter().filter_map(|name| Some((name, terms[name].as_u64()?))).collect();
    assert!(told.len() >= 3, "{terms}");
    for (name, number) in told {
        page.until(&format!("{} === {}", figure(name), quoted(&count(number)))).await;
    }
    for (name, metric) in sums {
        let sum: f64 = metrics
            .lines()
            .filter(|line| line.starts_with(metric))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        assert_eq!(Some(sum), terms[name].as_f64(), "{metric}: {metrics}");
    }
    if path == "/streams" {
        let good = terms["good_rate"].as_f64().expect("some ended");
        page.until(&format!("{} === {}", figure("good"), quoted(&percent(good)))).await;
        let workers = "document.querySelector('[name=workers_count]').value";
        page.until(&format!("{workers} > 0 && {} === `0 of ${{{workers}}}`", figure("busy"))).await;
    }
}

/// The right edge is the run's end, and the lines reach it.
async fn chart_ends_with_the_run(page: &Page, server: &Server, path: &str) {
    let charts = get(server.addr, &format!("{path}/charts")).await.json();
    assert_eq!(charts["ended"], true, "{charts}");
    let last = charts["second"].as_u64().expect("a second") - 1;
    page.until(&format!("document.querySelector('[data-axis=last]').innerText === '{last} s'")).await;
    let values = charts["columns"][0]["points"].as_object().expect("points");
    for name in ["queued", "backlog", "workers"] {
        let Some(values) = values.get(name).and_then(Value::as_array) else { continue };
        assert!(values.last().is_some_and(Value::is_number), "{name} reaches the end: {values:?}");
    }
    // The clock goes on, the chart does not.
    let clock: String = page.text("#clock").await;
    page.until(&format!("document.getElementById('clock').innerText !== {}", quoted(&clock))).await;
    let later = get(server.addr, &format!("{path}/charts")).await.json();
    assert_eq!(later, charts);
}

#[tokio::test]
async fn what_is_lost_is_seen() {
    let Some(browser) = Browser::start().await else { return };
    let axe = Axe::load();
    let server = Server::start(&[], &OVERLOAD);
    for (path, loss, full) in [("/streams", "lost", "queued"), ("/pipeline", "held_back", "waiting")] {
        let mut page = browser.open(&server.url(path), View::WIDE).await;
        until_state(&page, "idle", "Start").await;
        page.click("#run-button").await;
        page.until(&format!("document.querySelector('[data-card={loss}]').dataset.mood === 'bad'")).await;
        page.until(&format!("document.querySelector('[data-card={full}]').dataset.mood === 'bad'")).await;
        let full = format!("[data-card={full}] meter");
        page.until(&format!("(({{ value, max }}) => value >= max)(document.querySelector('{full}'))")).await;
        page.until("document.getElementById('spoken').innerText.length > 0").await;
        // Some seconds of it, for the picture.
        page.until("Number(document.getElementById('clock').innerText.match(/\\d+/)[0]) >= 5").await;
        look(&page, axe.as_ref(), &format!("{}-overloaded", path.trim_matches('/'))).await;
        assert_eq!(page.faults().await, [""; 0], "{path}");
        page.close().await;
    }
}

#[tokio::test]
async fn a_refused_value_is_named_beside_its_field_and_beside_the_control() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&[], &QUICK);
    for (path, field, label, bad, good) in
        [("/streams", "workers_count", "Workers", "5", "12"), ("/pipeline", "rate", "Load", "100000", "20")]
    {
        let mut page = browser.open(&server.url(path), View::PHONE).await;
        until_state(&page, "idle", "Start").await;
        if path == "/pipeline" {
            page.evaluate::<()>("void (() => { const unit = document.querySelector('[data-unit]'); unit.value = '/s'; unit.dispatchEvent(new Event('input', { bubbles: true })); })()").await;
        }
        page.type_text(&format!("[name={field}]"), bad).await;
        page.press("Enter").await;
        page.until(&format!("document.querySelector('[name={field}]').hasAttribute('aria-invalid')")).await;
        for place in [format!("#{field}-refused"), "#refused".to_owned()] {
            let said = page.text(&place).await;
            assert!(said.starts_with(&format!("{label}: ")) && said.contains(" to "), "{said}");
            assert!(!said.contains("line 1") && !said.contains(&format!("{field}:")), "{said}");
        }
        let seen = "(({ top, bottom }) => top >= 0 && bottom <= innerHeight)";
        page.until(&format!("{seen}(document.getElementById('{field}-refused').getBoundingClientRect())"))
            .await;
        assert_eq!(get(server.addr, path).await.json()["state"], "idle");
        assert!(page.faults().await.iter().all(|fault| fault.contains("400")));

        page.type_text(&format!("[name={field}]"), good).await;
        page.press("Enter").await;
        until_state(&page, "running", "Stop and drain").await;
        assert_eq!(page.text("#refused").await, "");
        let status = get(server.addr, path).await.json();
        let set = match path {
            "/streams" => status["workers_count"].to_string(),
            _ => status["rate"].as_str().expect("a rate").replace("/s", ""),
        };
        assert_eq!(set, good);
        page.close().await;
    }
}

#[tokio::test]
async fn fields_show_what_is_set_and_do_not_disturb_who_types() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&[], &QUICK);
    let page = browser.open(&server.url("/streams"), View::WIDE).await;
    start(&page, "processed").await;
    let value = |name: &str| format!("document.querySelector('[name={name}]').value");
    let head = "PATCH /streams\ncontent-type: application/json";
    page.until("document.querySelector('[name=buffer_size]').disabled").await;
    page.until("document.getElementById('set').hidden").await;
    page.type_text("[name=workers_count]", "33").await;
    page.until("!document.getElementById('set').hidden").await;
    let body = r#"{"workers_count":44,"streams_count":77}"#;
    assert_eq!(send(server.addr, head, body).await.status, 200);
    page.until(&format!("{} === '77'", value("streams_count"))).await;
    page.until("document.querySelector('#changes ul').textContent.includes('s: Workers: 44, Streams: 77')")
        .await;
    // It is read as the values are: where the line is, on the picture and beside the slider.
    let changed = "charts.shown().marks.at(-1).second - charts.shown().second + 1";
    let slide = format!(
        "(() => {{ const slider = document.getElementById('look-back'); slider.value = -({changed});
           slider.dispatchEvent(new Event('input')); return slider.getAttribute('aria-valuetext'); }})()"
    );
    page.until(&format!("{slide}.includes('Workers: 44')")).await;
    page.until("document.getElementById('look-back-text').innerText.includes('Workers: 44')").await;
    assert_eq!(page.evaluate::<String>(&value("workers_count")).await, "33");
    page.press("Enter").await;
    page.until("document.getElementById('set').hidden").await;
    assert_eq!(get(server.addr, "/streams").await.json()["workers_count"], 33);
    assert_eq!(send(server.addr, head, r#"{"workers_count":55}"#).await.status, 200);
    page.evaluate::<()>("document.activeElement.blur()").await;
    page.until(&format!("{} === '55'", value("workers_count"))).await;
    page.close().await;
}

#[tokio::test]
async fn what_is_spoken_leaves_time_to_be_heard() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&[], &QUICK);
    let page = browser.open(&server.url("/streams"), View::WIDE).await;
    start(&page, "processed").await;
    let gaps: Vec<f64> = page
        .evaluate(
            "new Promise((resolve) => {
               const times = [];
               new MutationObserver(() => {
                 times.push(performance.now());
                 if (times.length === 3) resolve(times.slice(1).map((time, nth) => time - times[nth]));
               }).observe(document.getElementById('spoken'), { childList: true, characterData: true, subtree: true });
             })",
        )
        .await;
    assert!(gaps.iter().all(|gap| *gap >= 4_900.0), "{gaps:?} ms");
    page.close().await;
}

#[tokio::test]
async fn the_span_of_the_charts_is_in_the_address() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&[], &QUICK);
    let page = browser.open(&server.url("/pipeline"), View::WIDE).await;
    let choose = "(() => { const span = document.getElementById('span'); span.value = '60';
        span.dispatchEvent(new Event('change')); })()";
    page.evaluate::<()>(choose).await;
    page.until("location.hash === '#span_s=60'").await;
    page.go(&server.url("/docs")).await;
    page.go(&server.url("/pipeline#span_s=60")).await;
    page.until("document.getElementById('span').value === '60'").await;
    page.close().await;
}

#[tokio::test]
async fn a_noisy_neighbour_is_set_at_the_start() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&[], &[]);
    let page = browser.open(&server.url("/streams"), View::WIDE).await;
    until_state(&page, "idle", "Start").await;
    page.type_text("[name=noisy_factor]", "50").await;
    page.press("Enter").await;
    until_state(&page, "running", "Stop and drain").await;
    page.until(&format!("{}.includes(' of ')", figure("beside"))).await;
    assert_eq!(get(server.addr, "/streams").await.json()["noisy_factor"], 50);
    page.close().await;
}

#[tokio::test]
async fn without_rights_values_are_shown_and_no_controls() {
    let Some(browser) = Browser::start().await else { return };
    let axe = Axe::load();
    let server = Server::start(&[], &[("LAB_ADMIN_TOKEN", "s3cret")]);
    for (path, _) in PAGES {
        let mut page = browser.open(&server.url(path), View::WIDE).await;
        let controls: u32 = page
            .evaluate("document.querySelectorAll('main :is(button, select:not(#span), input:not(#look-back, #look-back-s))').length")
            .await;
        assert_eq!(controls, 0, "{path}");
        assert!(
            page.evaluate::<bool>("document.querySelectorAll('main dl [data-setting]').length > 1").await
        );
        look(&page, axe.as_ref(), &format!("{}-signed-out", path.trim_matches('/'))).await;
        assert_eq!(page.faults().await, [""; 0], "{path}");
        page.click("main a[href='#sign-in']").await;
        page.type_text("#sign-in [name=token]", "s3cret").await;
        page.press("Enter").await;
        until_state(&page, "idle", "Start").await;
        page.evaluate::<bool>("fetch('/session', { method: 'DELETE' }).then(() => true)").await;
        page.close().await;
    }
}

#[tokio::test]
async fn what_is_old_says_so_and_the_page_comes_back_by_itself() {
    let Some(browser) = Browser::start().await else { return };
    for (path, moves) in PAGES {
        let server = Server::start(&[], &QUICK);
        let addr = server.addr.to_string();
        let mut page = browser.open(&server.url(path), View::WIDE).await;
        start(&page, moves).await;
        assert_eq!(page.faults().await, [""; 0], "{path}");

        drop(server);
        page.until("/Not connected: .* [1-9] s old/.test(document.getElementById('old').innerText)").await;
        page.until(&format!("{BUTTON}.disabled")).await;
        page.until("[...document.querySelectorAll('#settings [name]')].every((field) => field.disabled)")
            .await;
        page.screenshot(&format!("{}-disconnected-1280", path.trim_matches('/'))).await;
        let _server = Server::start(&["--addr", &addr], &QUICK);
        page.until("document.getElementById('old').innerText === ''").await;
        start(&page, moves).await;
        let faults = page.faults().await;
        assert!(faults.iter().all(|fault| fault.contains("net::ERR_")), "{path}: {faults:?}");
        page.close().await;
    }
}

#[tokio::test]
async fn the_page_writes_numbers_as_the_server_does() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(&[], &[]);
    let page = browser.open(&server.url("/streams"), View::WIDE).await;
    let said = async |call: String| page.evaluate::<String>(&call).await;
    for number in [0, 999, 1_000, 7_304, 1_234_567] {
        assert_eq!(said(format!("live.count({number})")).await, count(number));
    }
    for number in [0.0, 9.94, 9.96, 12.5, 1_820.7] {
        assert_eq!(said(format!("live.rate({number})")).await, rate(number));
    }
    for share in [0.0, 0.28, 0.57, 0.999_96, 1.0] {
        assert_eq!(said(format!("live.percent({share})")).await, percent(share));
    }
    for micros in [85, 853, 1_000, 9_994, 35_000, 99_960, 412_000, 999_600, 1_820_700, 45_600_000] {
        let text = DurationText(Duration::from_micros(micros)).to_string();
        assert_eq!(said(format!("live.time({})", micros as f64 / 1e3)).await, text);
    }
    page.close().await;
}
