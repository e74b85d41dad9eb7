//! Progress bars that never block, even if the terminal is stopped.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

use indicatif::{ProgressDrawTarget, TermLike};
use parking_lot::Mutex;

use super::stderr::stderr;

/// The highest redraw rate.
const FRAMES_PER_SECOND: u8 = 20;
/// The width to assume if the terminal does not report one.
const WIDTH_COLUMNS: u16 = 80;

/// The target for progress bars: stderr if it is a terminal that can move its cursor, and nowhere otherwise. Drawing
/// does not block: a new frame replaces one that is not written yet. A bar must fit into one line (`{wide_msg}`
/// truncates itself), because a replaced frame is not cleared.
pub fn progress() -> ProgressDrawTarget {
    let moves = std::env::var_os("TERM").is_some_and(|name| name != "dumb");
    if moves && io::stderr().is_terminal() {
        ProgressDrawTarget::term_like_with_hz(Box::new(Terminal::default()), FRAMES_PER_SECOND)
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// Collects the parts of a frame and passes the complete frame to the writer.
#[derive(Debug, Default)]
struct Terminal {
    frame: Mutex<String>,
}

impl Terminal {
    fn add(&self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.frame.lock().write_fmt(text).map_err(io::Error::other)
    }

    /// Moves the cursor; `direction` is the letter of the escape sequence.
    fn move_cursor(&self, cells: usize, direction: char) -> io::Result<()> {
        if cells == 0 { Ok(()) } else { self.add(format_args!("\x1b[{cells}{direction}")) }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr());
        size.map(|size| size.ws_col).ok().filter(|columns| *columns > 0).unwrap_or(WIDTH_COLUMNS)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.add(format_args!("{s}\n"))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.add(format_args!("{s}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        stderr().frame(std::mem::take(&mut *self.frame.lock()));
        Ok(())
    }
}
