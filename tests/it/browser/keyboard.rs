//! Every control of a page is reached by Tab, and is seen to have the focus.

use super::Page;

/// Remembers the controls and how they look without the focus, and notes which of them get it, and how they look then.
const WATCH: &str = r#"void (() => {
  const look = (element) => {
    const { outlineStyle, outlineWidth, boxShadow, borderColor, backgroundColor, textDecoration } = getComputedStyle(element);
    const outline = outlineStyle === "none" ? "none" : outlineStyle + outlineWidth;
    return [outline, boxShadow, borderColor, backgroundColor, textDecoration].join();
  };
  document.activeElement.blur();
  const selector = "a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex='-1'])";
  const controls = [...document.querySelectorAll(selector)].filter((element) =>
    !element.disabled && element.type !== "hidden" && element.checkVisibility({ visibilityProperty: true })
    // Of a group of radio buttons Tab reaches one; the arrow keys reach the others.
    && !(element.type === "radio" && !element.checked));
  const unreached = new Map(controls.map((element) => [element, look(element)]));
  const unseen = [];
  document.addEventListener("focusin", ({ target }) => {
    if (!unreached.has(target)) return;
    const box = target.getBoundingClientRect();
    const inside = box.width > 0 && box.right > 0 && box.left < innerWidth;
    if (!inside || look(target) === unreached.get(target)) unseen.push(target);
    unreached.delete(target);
  });
  window.keyboard = { left: () => unreached.size, faults: () => [
    ...[...unreached.keys()].map((element) => `Tab does not reach ${element.outerHTML.slice(0, 120)}`),
    ...unseen.map((element) => `the focus is not seen on ${element.outerHTML.slice(0, 120)}`),
  ] };
})()"#;

/// What is wrong for those who have no mouse.
pub(super) async fn faults(page: &Page) -> Vec<String> {
    page.evaluate::<()>(WATCH).await;
    // Between two controls there may be something else that takes the focus, such as a box that scrolls.
    let mut left: usize = page.evaluate("keyboard.left()").await;
    loop {
        for _ in 0..=left {
            page.press("Tab").await;
        }
        let now: usize = page.evaluate("keyboard.left()").await;
        if now == 0 || now == left {
            break;
        }
        left = now;
    }
    page.evaluate("keyboard.faults()").await
}
