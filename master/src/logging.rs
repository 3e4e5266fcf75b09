//! How much the process logs, for a while, as an operator asks.
//!
//! The log belongs to whoever started it: it gives the master the means to set its level. Level 0
//! is what it was started with, 1 says more, 2 and above say everything.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Sets the level of the process' log.
#[derive(Clone)]
pub struct LogControl(Arc<dyn Fn(u32) + Send + Sync>);

impl LogControl {
    /// By calling `set` with a level.
    pub fn new(set: impl Fn(u32) + Send + Sync + 'static) -> Self {
        Self(Arc::new(set))
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogControl")
    }
}

/// The level now, and who set it.
#[derive(Debug)]
pub(crate) struct Logging {
    control: Option<LogControl>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    level: u32,
    /// Counts settings: an older one ends nothing.
    setting: u64,
}

/// This log has no control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoControl;

impl Logging {
    pub(crate) fn new(control: Option<LogControl>) -> Arc<Self> {
        Arc::new(Self { control, state: Mutex::default() })
    }

    pub(crate) fn level(&self) -> u32 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).level
    }

    /// Sets the level, and after `duration` that of the start, unless it was set anew meanwhile.
    /// Within a runtime.
    ///
    /// # Errors
    /// When nobody gave the means.
    pub(crate) fn set(self: &Arc<Self>, level: u32, duration: Duration) -> Result<(), NoControl> {
        let control = self.control.as_ref().ok_or(NoControl)?;
        let setting = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.level = level;
            state.setting += 1;
            (control.0)(level);
            state.setting
        };
        tracing::info!(level, ?duration, "the log's level is set");
        let logging = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            logging.revert(setting);
        });
        Ok(())
    }

    fn revert(&self, setting: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.setting == setting {
            state.level = 0;
            if let Some(control) = &self.control {
                (control.0)(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_level_holds_for_its_time_and_the_newest_counts() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let control = LogControl::new(move |level| tell.send(level).unwrap());
        let logging = Logging::new(Some(control));
        logging.set(2, Duration::from_secs(3600)).unwrap();
        logging.set(1, Duration::from_secs(3600)).unwrap();
        // The time of the first one is over.
        logging.revert(1);
        assert_eq!(logging.level(), 1);
        logging.set(3, Duration::from_millis(1)).unwrap();
        let mut levels = Vec::new();
        while levels.len() < 4 {
            let next = tokio::time::timeout(Duration::from_secs(20), told.recv()).await;
            levels.push(next.unwrap().unwrap());
        }
        assert_eq!((levels, logging.level()), (vec![2, 1, 3, 0], 0));
        assert_eq!(Logging::new(None).set(1, Duration::ZERO), Err(NoControl));
    }
}
