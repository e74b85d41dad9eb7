//! A page does not scroll sideways; what is wider than it scrolls inside.

use super::Page;

const SIDEWAYS: &str = r#"(() => {
  const root = document.documentElement;
  const width = root.clientWidth;
  if (root.scrollWidth <= width) return null;
  const wide = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > width + 0.5);
  const name = wide[0] ? wide[0].outerHTML.slice(0, 120) : "something";
  return `it is ${root.scrollWidth} px wide in a window of ${width} px: ${name}`;
})()"#;

/// What makes the page scroll sideways, if it does.
pub(super) async fn sideways(page: &Page) -> Option<String> {
    page.evaluate(SIDEWAYS).await
}
