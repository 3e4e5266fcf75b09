//! The log of a component: text or JSON lines on standard error, and the means to let it say more
//! for a while.

use std::sync::OnceLock;
use tracing_subscriber::{EnvFilter, reload};

/// The packages of ours that say more at a higher level; those of others would drown them.
const OURS: [&str; 6] = ["tepui", "master", "master_core", "grpc", "proto", "store"];

static CONTROL: OnceLock<master::LogControl> = OnceLock::new();

/// Begins to log what `filter` lets through.
pub(crate) fn start(filter: EnvFilter, json: bool) {
    let text = filter.to_string();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(crate::output::is_lively());
    if json {
        let builder = builder.json().with_filter_reloading();
        keep(builder.reload_handle(), text);
        builder.init();
    } else {
        let builder = builder.with_filter_reloading();
        keep(builder.reload_handle(), text);
        builder.init();
    }
}

/// What sets the level of the log: 0 is that of the start, 1 says more, 2 and above all.
pub(crate) fn control() -> Option<master::LogControl> {
    CONTROL.get().cloned()
}

fn keep<S: 'static>(handle: reload::Handle<EnvFilter, S>, text: String) {
    let control = master::LogControl::new(move |level| {
        if let Err(error) = handle.reload(filter(&text, level)) {
            tracing::warn!(%error, "the level of the log stays");
        }
    });
    // A process starts its log once.
    let _ = CONTROL.set(control);
}

/// The filter of the start, and at a higher level more of our own.
fn filter(start: &str, level: u32) -> EnvFilter {
    let more = match level {
        0 => return EnvFilter::new(start),
        1 => "debug",
        _ => "trace",
    };
    let ours = OURS.map(|name| format!(",{name}={more}")).concat();
    EnvFilter::new(format!("{start}{ours}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_level_lets_more_through_and_the_start_comes_back() {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter("info", 0))
            .with_writer(move || writer.clone())
            .with_filter_reloading();
        let handle = builder.reload_handle();
        tracing::subscriber::with_default(builder.finish(), || {
            for (round, level) in [0, 1, 2, 0].into_iter().enumerate() {
                handle.reload(filter("info", level)).unwrap();
                tracing::debug!(target: "master", "debug {round}");
                tracing::trace!(target: "master_core", "trace {round}");
                tracing::debug!(target: "hyper", "others {round}");
                tracing::info!(target: "other", "info {round}");
            }
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let has = |what: &str| text.contains(what);
        assert_eq!([0, 1, 2, 3].map(|n| has(&format!("debug {n}"))), [false, true, true, false]);
        assert_eq!([0, 1, 2, 3].map(|n| has(&format!("trace {n}"))), [false, false, true, false]);
        assert!((0..4).all(|n| has(&format!("info {n}"))) && !has("others"), "{text}");
    }
}
