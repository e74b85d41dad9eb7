//! The pages in a real Chromium.
//!
//! A test starts a [`Browser`], opens a page of a server in it, looks with a [`View`] (size, light or dark), acts as a
//! user does (click, type, keys), waits until something holds in the page, and asks for the faults that the
//! browser has seen meanwhile. Without Chromium such a test is skipped with a word, and fails in CI.
//!
//! ```text
//!   Browser ──open──> Page ──> text, until, click, type_text, press, screenshot, faults
//!                      └────> reflow, axe, keyboard: what is wrong with what it shows
//! ```
//!
//! Set `BROWSER_SCREENSHOTS` to a folder to see what a test saw, and `AXE_CORE` to the file `axe.min.js` to check
//! accessibility; `scripts/test` does the latter.

mod axe;
mod chromium;
mod every_page;
mod faults;
mod harness;
mod keyboard;
mod lab_page;
mod layout;
mod page;
mod picture;
mod pinned;
mod reflow;
mod reports;
mod runs;
mod session;
mod site;
mod stories;
mod view;

pub(crate) use chromium::Browser;
pub(crate) use page::Page;
pub(crate) use view::View;
