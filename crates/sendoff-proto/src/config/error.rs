//! Settings that make no sense.

use std::time::Duration;

/// Why a setting is refused. Prints the setting, its value, and what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The datagram size is out of range.
    #[error("mtu {0}: must be 50 to 65507 bytes")]
    Mtu(usize),
    /// The blocks that are required don't fit.
    #[error("mtu {0}: must be at least 128 bytes with wire required")]
    RequiredMtu(usize),
    /// What encryption and forward error correction take of each datagram leaves too little for KCP.
    #[error("mtu {mtu}: must be at least {least} bytes, {overhead} of them for encryption and FEC")]
    SealedMtu {
        /// What was given.
        mtu: usize,
        /// What would do.
        least: usize,
        /// What encryption and forward error correction take.
        overhead: usize,
    },
    /// The send window is out of range.
    #[error("send window {0}: must be 1 to 32768 segments")]
    SendWindow(u32),
    /// The receive window is out of range.
    #[error("receive window {0}: must be 1 to 32768 segments")]
    RecvWindow(u32),
    /// A message of 127 fragments has to fit in the receive window.
    #[error("receive window {0}: must be at least 128 segments in message mode")]
    MessageWindow(u32),
    /// The interval is out of range.
    #[error("interval {0:?}: must be 10 ms to 5 s")]
    Interval(Duration),
    /// The fast-retransmission threshold is out of range.
    #[error("resend {0}: must be 0 to 64 acknowledgements")]
    Resend(u32),
    /// The number of drivers is out of range.
    #[error("drivers {0}: must be 1 to 255")]
    Drivers(usize),
    /// The DSCP is out of range.
    #[error("dscp {0}: must be 0 to 63")]
    Dscp(u8),
    /// Not one of the names there are.
    #[error("{setting} {value}: must be {expected}")]
    Name {
        /// The setting.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        expected: &'static str,
    },
}

impl ConfigError {
    pub(crate) fn name(setting: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Name { setting, value: value.to_owned(), expected }
    }
}
