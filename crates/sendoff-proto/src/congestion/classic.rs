//! KCP's own congestion window (`nc = 0`): slow start, then about one segment a round trip;
//! halved by a fast retransmission, one segment after a timeout (`ikcp_input`, `ikcp_flush`).

use super::Controller;

const SSTHRESH_INIT: u32 = 2; // IKCP_THRESH_INIT
const SSTHRESH_MIN: u32 = 2; // IKCP_THRESH_MIN

/// The window grows in bytes, as the reference does, so that its steps of `mss / 16` are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classic {
    window: u32,
    threshold: u32,
    /// The window in bytes (`incr`).
    bytes: u64,
    mss: u64,
}

impl Classic {
    pub(crate) fn new(mss: usize) -> Self {
        let mss = mss as u64;
        Self { window: 1, threshold: SSTHRESH_INIT, bytes: mss, mss }
    }
}

impl Controller for Classic {
    fn on_delivered(&mut self, remote_window: u32) {
        if self.window >= remote_window {
            return;
        }
        if self.window < self.threshold {
            self.window += 1;
            self.bytes += self.mss;
        } else {
            self.bytes = self.bytes.max(self.mss);
            self.bytes += self.mss * self.mss / self.bytes + self.mss / 16;
            if (u64::from(self.window) + 1) * self.mss <= self.bytes {
                self.window = u32::try_from(self.bytes.div_ceil(self.mss)).unwrap_or(u32::MAX);
            }
        }
        if self.window > remote_window {
            self.window = remote_window;
            self.bytes = u64::from(remote_window) * self.mss;
        }
    }

    fn on_fast_retransmit(&mut self, in_flight: u32, resend: u32) {
        self.threshold = (in_flight / 2).max(SSTHRESH_MIN);
        self.window = self.threshold + resend;
        self.bytes = u64::from(self.window) * self.mss;
    }

    fn on_timeout(&mut self) {
        self.threshold = (self.window / 2).max(SSTHRESH_MIN);
        self.window = 1;
        self.bytes = self.mss;
    }

    fn window(&self) -> u32 {
        self.window.max(1)
    }

    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_about_a_segment_per_window_and_never_past_the_peer() {
        let mut cc = Classic::new(1376);
        let mut seen = vec![cc.window()];
        for _ in 0..200 {
            cc.on_delivered(16);
            seen.push(cc.window());
        }
        // The reference rounds up, so a step is of two at times.
        assert!(seen.windows(2).all(|w| w[0] <= w[1] && w[1] <= w[0] + 2), "{seen:?}");
        assert_eq!(*seen.last().unwrap(), 16);
        assert!(seen[16] < 16, "slower than slow start: {seen:?}");
    }

    #[test]
    fn loss_halves_and_a_timeout_starts_from_one() {
        let mut cc = Classic::new(1000);
        for _ in 0..10_000 {
            cc.on_delivered(100);
        }
        assert_eq!(cc.window(), 100);
        cc.on_fast_retransmit(80, 2);
        assert_eq!(cc.window(), 42);
        cc.on_timeout();
        assert_eq!(cc.window(), 1);
        for _ in 0..20 {
            cc.on_delivered(100);
        }
        assert_eq!(cc.window(), 21, "slow start up to half of 42");
    }
}
