//! How a page is looked at.

use std::fmt;

/// The size of the window in CSS pixels, and what the user prefers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    pub(crate) dark: bool,
}

impl View {
    /// A window on a desk.
    pub(crate) const WIDE: Self = Self { width_px: 1280, height_px: 900, dark: false };
    /// A phone.
    pub(crate) const PHONE: Self = Self { width_px: 390, height_px: 844, dark: false };
    /// The least width that a page must fit (WCAG 2.2, 1.4.10).
    pub(crate) const NARROW: Self = Self { width_px: 320, height_px: 640, dark: false };

    /// The same window, dark.
    pub(crate) const fn dark(self) -> Self {
        Self { dark: true, ..self }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} px, {}", self.width_px, if self.dark { "dark" } else { "light" })
    }
}
