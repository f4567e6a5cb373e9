//! How eagerly a connection retransmits: KCP's four numbers (`ikcp_nodelay`), typed and named.

use crate::config::ConfigError;
use std::{fmt, str::FromStr, time::Duration};

/// Lower bound and growth of the retransmission timeout (first argument of `ikcp_nodelay`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoDelay {
    /// 0: at least 100 ms; a timeout adds a whole one (with [`Backoff::Exponential`]: doubles it).
    Off,
    /// 1: at least 30 ms; a timeout adds half of one.
    On,
    /// 2: as `On`; with [`Backoff::Exponential`] it adds half of the measured timeout, not of its own.
    Twice,
}

/// How a segment's timeout grows each time that it runs out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backoff {
    /// As kcp-go: by the measured timeout, or half of it with nodelay.
    #[default]
    Linear,
    /// As `ikcp.c`: with nodelay 0 it doubles, with 1 it grows by half its own, with 2 by half of the measured one.
    Exponential,
}

/// Whether KCP's congestion window bounds what is in flight (`nc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Congestion {
    /// `nc=0`: the window of `ikcp.c`.
    Classic,
    /// `nc=1`: only the windows of both sides count.
    None,
}

/// A retransmission profile. Pass one to [`Config::profile`](crate::Config::profile).
///
/// | | nodelay | interval | resend | nc | paced |
/// |---|---|---|---|---|---|
/// | `default` | 1 | 20 ms | 2 | 1 | yes |
/// | `normal` | 0 | 40 ms | 2 | 1 | no |
/// | `fast` | 0 | 30 ms | 2 | 1 | no |
/// | `fast2` | 1 | 20 ms | 2 | 1 | no |
/// | `fast3` | 1 | 10 ms | 2 | 1 | no |
///
/// The last four are kcptun's modes. Here data and acknowledgements never wait for a tick, whatever the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    nodelay: NoDelay,
    interval: Duration,
    resend: u32,
    congestion: Congestion,
    paced: bool,
}

impl Profile {
    /// Good without tuning: retransmits early, and spreads what it sends over the round trip.
    pub const DEFAULT: Profile = Profile { paced: true, ..Profile::kcp(NoDelay::On, 20) };
    /// kcptun's `normal`.
    pub const NORMAL: Profile = Profile::kcp(NoDelay::Off, 40);
    /// kcptun's `fast`.
    pub const FAST: Profile = Profile::kcp(NoDelay::Off, 30);
    /// kcptun's `fast2`.
    pub const FAST2: Profile = Profile::kcp(NoDelay::On, 20);
    /// kcptun's `fast3`.
    pub const FAST3: Profile = Profile::kcp(NoDelay::On, 10);

    const fn kcp(nodelay: NoDelay, interval_ms: u64) -> Profile {
        let interval = Duration::from_millis(interval_ms);
        Profile { nodelay, interval, resend: 2, congestion: Congestion::None, paced: false }
    }

    /// A profile of one's own.
    ///
    /// `interval` is the smallest slack of the retransmission timeout above the smoothed round trip
    /// (10 ms to 5 s). `resend` is after how many acknowledgements of later segments one is sent
    /// again (0 = never, at most 64).
    ///
    /// # Errors
    /// [`ConfigError`] when `interval` or `resend` is out of its range.
    pub fn new(
        nodelay: NoDelay,
        interval: Duration,
        resend: u32,
        congestion: Congestion,
    ) -> Result<Profile, ConfigError> {
        if !(Duration::from_millis(10)..=Duration::from_secs(5)).contains(&interval) {
            return Err(ConfigError::Interval(interval));
        }
        if resend > 64 {
            return Err(ConfigError::Resend(resend));
        }
        Ok(Profile { nodelay, interval, resend, congestion, paced: false })
    }

    /// The same profile, with a window spread over the round trip rather than sent in one burst, or not.
    /// Round trips below 3 ms are never paced.
    #[must_use]
    pub fn paced(mut self, paced: bool) -> Profile {
        self.paced = paced;
        self
    }

    /// Whether a window is spread over the round trip.
    pub fn is_paced(&self) -> bool {
        self.paced
    }

    /// Lower bound and growth of the timeout.
    pub fn nodelay(&self) -> NoDelay {
        self.nodelay
    }

    /// Smallest slack of the timeout above the smoothed round trip.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Acknowledgements of later segments after which one is sent again; 0 = never.
    pub fn resend(&self) -> u32 {
        self.resend
    }

    /// Whether there is a congestion window.
    pub fn congestion(&self) -> Congestion {
        self.congestion
    }

    /// The smallest retransmission timeout (`IKCP_RTO_MIN`, `IKCP_RTO_NDL`).
    pub(crate) fn min_rto(&self) -> Duration {
        Duration::from_millis(if self.nodelay == NoDelay::Off { 100 } else { 30 })
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for Profile {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "default" => Self::DEFAULT,
            "normal" => Self::NORMAL,
            "fast" => Self::FAST,
            "fast2" => Self::FAST2,
            "fast3" => Self::FAST3,
            _ => return Err(ConfigError::name("profile", name, "default, normal, fast, fast2 or fast3")),
        })
    }
}

impl FromStr for NoDelay {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "0" => Self::Off,
            "1" => Self::On,
            "2" => Self::Twice,
            _ => return Err(ConfigError::name("nodelay", text, "0, 1 or 2")),
        })
    }
}

impl fmt::Display for NoDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self as u8).fmt(f)
    }
}
