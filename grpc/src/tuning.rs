//! HTTP/2 settings that both sides share.
//!
//! Without keep-alive a stream hangs for ever after a partition: TCP alone notices nothing while
//! nobody sends. The windows let a burst of some ten thousand messages leave without a round trip.

use std::time::Duration;

/// Bytes in flight on one stream.
pub const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes in flight on one connection.
pub const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// How often a silent connection is pinged.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long a ping may stay unanswered before the connection is closed.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that wait in a client's channel; who sends more waits.
pub const CLIENT_QUEUE: usize = 4096;
