//! Printing to a reader that may go away.
//!
//! `println!` ends the program on the spot then, and what it had started would stay behind. Here
//! the stack is unwound in silence, so that a running cluster is ended as at any other end.

use std::io::Write;
use std::panic::{catch_unwind, resume_unwind};

/// What is thrown when nobody reads any more.
struct NobodyReads;

/// As the standard one, but a reader that went away ends the program in good order.
macro_rules! println {
    ($($part:tt)*) => { $crate::out::line(format_args!($($part)*)) };
}

/// Prints a line.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        // Without a message: it is no fault of ours.
        resume_unwind(Box::new(NobodyReads));
    }
}

/// Runs `work`; false when its reader went away.
pub(crate) fn to_the_end(work: impl FnOnce()) -> bool {
    match catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(()) => true,
        Err(thrown) if thrown.is::<NobodyReads>() => false,
        Err(panic) => resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cluster<'a>(&'a mut bool);

    impl Drop for Cluster<'_> {
        fn drop(&mut self) {
            *self.0 = true;
        }
    }

    #[test]
    fn a_reader_that_went_away_ends_what_was_started() {
        let mut ended = false;
        let read = to_the_end(|| {
            let _cluster = Cluster(&mut ended);
            resume_unwind(Box::new(NobodyReads));
        });
        assert!(!read && ended);
        assert!(to_the_end(|| ()));
    }
}
