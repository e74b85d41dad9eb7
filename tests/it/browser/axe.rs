//! axe-core's opinion of a page: what it calls serious or critical.

use std::{env, fs};

use super::Page;

const RUN: &str = r#"axe.run(document, { resultTypes: ["violations"], preload: false }).then(({ violations }) =>
  violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, help, nodes }) => nodes.map(({ html, failureSummary }) =>
      `${id}: ${help}: ${html.slice(0, 160)}: ${failureSummary.replaceAll("\n", " ")}`)))"#;

/// The script, read once; it goes into a page by the debugger, past the page's Content-Security-Policy.
pub(super) struct Axe {
    script: String,
}

impl Axe {
    /// `None`, with a word, where `AXE_CORE` names no file.
    pub(super) fn load() -> Option<Self> {
        let Some(file) = env::var_os("AXE_CORE") else {
            eprintln!("skipped: AXE_CORE does not name axe-core's script (scripts/test gets it)");
            return None;
        };
        let script = fs::read_to_string(&file).unwrap_or_else(|error| panic!("AXE_CORE: {error}"));
        // Its last value is no JSON.
        Some(Self { script: format!("{script}\nvoid 0") })
    }

    /// What is serious or critical in the page as it is now.
    pub(super) async fn violations(&self, page: &Page) -> Vec<String> {
        if !page.evaluate::<bool>("'axe' in window").await {
            page.evaluate::<()>(&self.script).await;
        }
        page.evaluate(RUN).await
    }
}
