//! A page that is open in the browser.

use std::{env, fs, path::Path};

use chromiumoxide::{
    cdp::{
        browser_protocol::{
            emulation::{
                MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams,
                SetFocusEmulationEnabledParams,
            },
            input::InsertTextParams,
            page::CaptureScreenshotFormat,
        },
        js_protocol::runtime::EvaluateParams,
    },
    error::CdpError,
    layout::Point,
    page::ScreenshotParams,
};
use serde::de::DeserializeOwned;

use super::{View, faults::Faults};
use crate::support::PATIENCE;

/// Colours that change slowly have changed.
const SETTLED: &str = "Promise.allSettled(document.getAnimations()
    .filter((animation) => animation instanceof CSSTransition).map((transition) => transition.finished)).then(() => true)";

/// How long one question to the page may wait for its answer; the debugger's own limit is 30 s.
const LOOK_MS: u32 = 5_000;

/// An open page, with the faults that the browser has seen in it.
pub(crate) struct Page {
    page: chromiumoxide::Page,
    faults: Faults,
}

impl Page {
    /// Watches a page that is still blank.
    pub(super) async fn watch(page: chromiumoxide::Page, view: View) -> Self {
        let faults = Faults::listen(&page).await;
        // As if it was the front window: a page that is hidden, or has no focus, behaves in another way.
        page.execute(SetFocusEmulationEnabledParams::new(true)).await.expect("focused");
        let page = Self { page, faults };
        page.show(view).await;
        page
    }

    /// Goes to `url` and waits until it has loaded.
    pub(crate) async fn go(&self, url: &str) {
        self.page.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Changes the window and the preferences, without loading the page again.
    pub(crate) async fn show(&self, view: View) {
        let metrics = SetDeviceMetricsOverrideParams::new(view.width_px, view.height_px, 1.0, false);
        self.page.execute(metrics).await.expect("resized");
        let scheme = MediaFeature::new("prefers-color-scheme", if view.dark { "dark" } else { "light" });
        let media = SetEmulatedMediaParams::builder().feature(scheme).build();
        self.page.execute(media).await.expect("coloured");
        self.evaluate::<bool>(SETTLED).await;
    }

    /// Shows it as for a user whose few colours the system chooses.
    pub(crate) async fn force_colours(&self) {
        self.prefer("forced-colors", "active").await;
    }

    /// Shows it as for a user whom motion disturbs.
    pub(crate) async fn reduce_motion(&self) {
        self.prefer("prefers-reduced-motion", "reduce").await;
    }

    async fn prefer(&self, feature: &str, value: &str) {
        let media = SetEmulatedMediaParams::builder().feature(MediaFeature::new(feature, value)).build();
        self.page.execute(media).await.expect("preferred");
    }

    /// The value of a JavaScript expression, awaited if it is a promise.
    pub(crate) async fn evaluate<T: DeserializeOwned>(&self, expression: &str) -> T {
        self.try_evaluate(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    async fn try_evaluate<T: DeserializeOwned>(&self, expression: &str) -> Result<T, CdpError> {
        let params = EvaluateParams::builder()
            .expression(expression)
            .await_promise(true)
            .return_by_value(true)
            .build()
            .map_err(CdpError::msg)?;
        let answer = self.page.execute(params).await?.result;
        match answer.exception_details {
            Some(details) => Err(CdpError::JavascriptException(Box::new(details))),
            // `undefined` is no value.
            None => Ok(serde_json::from_value(answer.result.value.unwrap_or_default())?),
        }
    }

    /// The text that the first element of `selector` shows.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.evaluate(&format!("document.querySelector({}).innerText", quoted(selector))).await
    }

    /// Waits until a JavaScript expression holds; while it throws it does not.
    pub(crate) async fn until(&self, predicate: &str) {
        // The page looks by itself for a while, and says what it shows when that has passed.
        let look = format!(
            "new Promise((resolve) => {{
               const end = performance.now() + {LOOK_MS};
               const look = () => {{
                 let holds = false, why = '';
                 try {{ holds = {predicate}; }} catch (error) {{ why = `${{error}}\\n`; }}
                 if (holds) resolve(null);
                 else if (performance.now() > end) resolve(why + document.body.innerText);
                 else setTimeout(look, 20);
               }};
               look();
             }})"
        );
        let mut shown = String::new();
        let looking = async {
            loop {
                match self.try_evaluate::<Option<String>>(&look).await {
                    Ok(None) => return,
                    Ok(Some(instead)) => shown = instead,
                    // The page has gone elsewhere meanwhile: the question is asked there again.
                    Err(CdpError::Chrome(_)) => {}
                    Err(error) => panic!("{predicate}: {error}"),
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking).await;
        assert!(found.is_ok(), "{predicate} never holds; the page shows: {shown}");
    }

    /// Clicks on the first element of `selector` where a user sees it.
    pub(crate) async fn click(&self, selector: &str) {
        let (x, y, covered): (f64, f64, Option<String>) = self
            .evaluate(&format!(
                "(() => {{
                   const element = document.querySelector({});
                   element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                   const box = element.getBoundingClientRect();
                   const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                   const there = document.elementFromPoint(x, y);
                   return [x, y, element.contains(there) ? null : there?.outerHTML ?? 'nothing'];
                 }})()",
                quoted(selector)
            ))
            .await;
        assert_eq!(covered, None, "{selector} cannot be clicked on: something else is there");
        self.page.click(Point::new(x, y)).await.expect("clicked");
    }

    /// Types `text` into the field of `selector` in place of what is there.
    pub(crate) async fn type_text(&self, selector: &str, text: &str) {
        let field = quoted(selector);
        self.evaluate::<()>(&format!(
            "void (document.querySelector({field}).focus(), document.querySelector({field}).select())"
        ))
        .await;
        self.page.execute(InsertTextParams::new(text)).await.expect("typed");
    }

    /// Presses and releases a key, by its name (`Tab`, `Enter`, `ArrowRight`, `a`), where the focus is.
    pub(crate) async fn press(&self, key: &str) {
        let root = self.page.find_element(":root").await.expect("a document");
        root.press_key(key).await.unwrap_or_else(|error| panic!("{key}: {error}"));
    }

    /// Writes what the page shows to `NAME.png` in the folder of `BROWSER_SCREENSHOTS`, if there is one.
    pub(crate) async fn screenshot(&self, name: &str) {
        if let Some(folder) = env::var_os("BROWSER_SCREENSHOTS") {
            let folder = Path::new(&folder);
            fs::create_dir_all(folder).expect("a folder");
            self.picture(&folder.join(format!("{name}.png"))).await;
        }
    }

    /// Writes what the window shows to `file`, a PNG.
    pub(super) async fn picture(&self, file: &Path) {
        let format = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build();
        self.page.save_screenshot(format, file).await.expect("a picture");
    }

    /// The faults that have come since the last call.
    pub(crate) async fn faults(&mut self) -> Vec<String> {
        // An answer comes after what the page has said before it.
        self.evaluate::<bool>("new Promise((resolve) => setTimeout(() => resolve(true)))").await;
        self.faults.take()
    }

    /// Closes it.
    pub(crate) async fn close(self) {
        self.page.close().await.expect("closed");
    }
}

/// A text as JavaScript writes it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
