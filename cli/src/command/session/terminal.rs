//! The terminal of whoever calls: raw while a session has it, and as it was whatever happens.

use proto::agent_api::WindowSize;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;

/// Whether standard input is a terminal.
pub(super) fn is_there() -> bool {
    isatty(io::stdin())
}

/// The size of the terminal, if there is one that knows.
pub(super) fn size() -> Option<WindowSize> {
    let size = tcgetwinsize(io::stdin()).or_else(|_| tcgetwinsize(io::stdout())).ok()?;
    let known = size.ws_row > 0 && size.ws_col > 0;
    known.then_some(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// A terminal that passes on every key; it is as it was when this is dropped.
pub(super) struct Raw(Termios);

impl Raw {
    pub(super) fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // From here on it is restored.
        let restore = Self(before);
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(restore)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
