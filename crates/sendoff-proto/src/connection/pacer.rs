//! Spreads a window over the round trip, so that a path needn't queue it whole.
//!
//! KCP sends what the window allows at once: after a loss is mended, that is a whole window in one
//! burst, which overflows queues that the same rate, spread, would not. The pacer is a token bucket,
//! filled a quarter faster than one window each smoothed round trip, so it never limits the average rate.

use std::time::{Duration, Instant};

/// Round trips below this aren't paced: the timer is too coarse, and what buffers there are hold a window.
const MIN_RTT: Duration = Duration::from_millis(3);

/// Segments that may always leave at once.
const MIN_BURST: f64 = 64.0;

/// How long a burst may be saved up for.
const BURST_TIME: Duration = Duration::from_millis(4);

/// Faster than a window each round trip by this factor.
const GAIN: f64 = 1.25;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    tokens: f64,
    filled: Instant,
    /// Segments a second; `None` = unlimited.
    rate: Option<f64>,
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: MIN_BURST, filled: now, rate: None }
    }

    /// Lets time pass at the rate that holds from now on.
    pub(crate) fn refill(&mut self, now: Instant, window: u32, rtt: Option<Duration>) {
        self.rate = match rtt {
            Some(rtt) if rtt >= MIN_RTT => Some(GAIN * f64::from(window) / rtt.as_secs_f64()),
            _ => None,
        };
        let Some(rate) = self.rate else { return };
        let burst = MIN_BURST.max(rate * BURST_TIME.as_secs_f64());
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(burst);
        self.filled = now;
    }

    /// Segments that may leave now.
    #[inline]
    pub(crate) fn allowance(&self) -> u32 {
        match self.rate {
            None => u32::MAX,
            Some(_) => self.tokens as u32,
        }
    }

    #[inline]
    pub(crate) fn spend(&mut self) {
        if self.rate.is_some() {
            self.tokens -= 1.0;
        }
    }

    /// When half a burst is there again, if now there is nothing.
    pub(crate) fn next(&self) -> Option<Instant> {
        let rate = self.rate.filter(|_| self.tokens < 1.0)?;
        let wanted = MIN_BURST.max(rate * BURST_TIME.as_secs_f64()) / 2.0;
        Some(self.filled + Duration::from_secs_f64((wanted - self.tokens) / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_most_of_a_round_trip_to_leave() {
        let start = Instant::now();
        let rtt = Some(Duration::from_millis(100));
        let mut pacer = Pacer::new(start);
        let (mut sent, mut now) = (0, start);
        pacer.refill(now, 1_000, rtt);
        while sent < 1_000 {
            while pacer.allowance() > 0 && sent < 1_000 {
                pacer.spend();
                sent += 1;
            }
            if let Some(next) = pacer.next() {
                assert!(next > now);
                now = next;
                pacer.refill(now, 1_000, rtt);
            }
        }
        let took = now - start;
        assert!((70..80).contains(&took.as_millis()), "{took:?}");
    }

    #[test]
    fn short_and_unknown_round_trips_are_not_paced() {
        let now = Instant::now();
        let mut pacer = Pacer::new(now);
        for rtt in [None, Some(Duration::from_millis(1))] {
            pacer.refill(now, 32, rtt);
            assert_eq!((pacer.allowance(), pacer.next()), (u32::MAX, None));
        }
    }
}
