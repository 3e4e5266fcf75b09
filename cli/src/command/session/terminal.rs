//! The terminal of whoever calls: raw while a session has it, and as it was whatever happens.

use proto::agent_api::WindowSize;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
use std::sync::{Mutex, PoisonError};

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

/// What a terminal was before it was made raw, for whatever ends this process.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal that passes on every key; it is as it was when this is dropped, or a thread panics.
pub(super) struct Raw(());

impl Raw {
    pub(super) fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        // From here on it is restored.
        let restore = Self(());
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Before a word is said; and nothing is dropped where panics end the process.
            self::restore();
            tell(panic);
        }));
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(restore)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was, once.
fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}
