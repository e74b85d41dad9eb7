//! The HTML reports: files that are opened without a server, and hold to what the pages hold to.

use std::path::Path;

use super::{Browser, View, axe::Axe, keyboard, reflow};
use crate::support::{Server, run};

/// A report of every command that writes one, the more there is in it the better: its name, and the code it ends with.
fn write(folder: &Path, server: &Server) -> Vec<String> {
    let url = server.url("/async-limited");
    let file = |name: &str| folder.join(name).to_str().expect("text").to_owned();
    let html = |name: &str| format!("--html={}", file(&format!("{name}.html")));
    // Everything that a run can come to: good, failed, shed, given up.
    let brief = ["--rate", "80", "--for", "2s", "--arrivals", "poisson", "--slo-ms", "60ms"];
    let checked = ["--check", "good>1%,p95<1ms"];
    let mut written = Vec::new();
    let mut report = |name: &str, arguments: &[&str], code: i32| {
        let (ended, _, err) = run(&[arguments, &[&html(name)]].concat(), &[]);
        assert_eq!(ended, code, "{name}: {err}");
        written.push(name.to_owned());
    };
    report("load", &[&["load", &url][..], &brief, &checked].concat(), 1);
    report("unreachable", &["load", "http://127.0.0.1:1/", "--rate", "20", "--for", "1s"], 1);
    let sync = server.url("/sync");
    report("compare", &[&["load", "compare", &url, &sync, "--pairs", "5"][..], &brief[..4]].concat(), 0);
    let find =
        ["--find-max", "p50<9s", "--rate", "50", "--max-rate", "50", "--precision", "100%", "--for", "2s"];
    report("find-max", &[&["load", &url][..], &find].concat(), 0);
    for one in ["one", "other"] {
        let json = format!("--json={}", file(one));
        let (code, _, err) = run(&[&["load", &url][..], &brief[..6], &[&json]].concat(), &[]);
        assert_eq!(code, 0, "{err}");
    }
    report("merge", &["load", "merge", &file("one"), &file("other")], 0);
    report("simulate", &["pipeline", "simulate", "quiet", "bursts", "--repetitions", "2"], 0);
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_fits_its_window_says_no_error_and_is_accessible() {
    let Some(browser) = Browser::start().await else { return };
    let axe = Axe::load();
    let services = [
        ("SERVICE_A_LATENCY", "uniform:5,15"),
        ("SERVICE_B_LATENCY", "uniform:30,120"),
        ("ASYNC_LIMIT", "4"),
    ];
    let server = Server::start(&["serve"], &services);
    let folder = tempfile::tempdir().expect("a folder");
    let reports = tokio::task::block_in_place(|| write(folder.path(), &server));
    let mut found = Vec::new();
    for report in reports {
        let url = format!("file://{}", folder.path().join(format!("{report}.html")).display());
        let mut page = browser.open(&url, View::WIDE).await;
        for view in [View::WIDE, View::WIDE.dark(), View::PHONE, View::NARROW.dark()] {
            page.show(view).await;
            let mut faults: Vec<String> = reflow::sideways(&page).await.into_iter().collect();
            if let Some(axe) = &axe {
                faults.extend(axe.violations(&page).await);
            }
            faults.extend(page.faults().await);
            let scheme = if view.dark { "dark" } else { "light" };
            page.screenshot(&format!("report-{report}-{}-{scheme}", view.width_px)).await;
            found.extend(faults.into_iter().map(|fault| format!("{report}, {view}: {fault}")));
        }
        found.extend(keyboard::faults(&page).await.into_iter().map(|fault| format!("{report}: {fault}")));
        page.close().await;
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
