//! Round trip and retransmission timeout: RFC 6298 with KCP's bounds (`ikcp_update_ack`).

use crate::profile::Profile;
use std::time::Duration;

const RTO_INIT: Duration = Duration::from_millis(200); // IKCP_RTO_DEF
const RTO_MAX: Duration = Duration::from_secs(60); // IKCP_RTO_MAX

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    /// Smoothed round trip (`rx_srtt`); none before the first sample.
    pub(crate) smoothed: Option<Duration>,
    /// Its mean deviation (`rx_rttval`).
    pub(crate) variance: Duration,
    /// The current timeout (`rx_rto`), without any back-off.
    pub(crate) rto: Duration,
    /// Data has been answered: it isn't a mere estimate.
    pub(crate) measured: bool,
    min_rto: Duration,
    max_rto: Duration,
    slack: Duration,
}

impl Rtt {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            smoothed: None,
            variance: Duration::ZERO,
            rto: RTO_INIT,
            measured: false,
            min_rto: profile.min_rto(),
            max_rto: RTO_MAX,
            slack: profile.interval(),
        }
    }

    /// Keeps the timeout at that value, whatever is measured.
    pub(super) fn pin(&mut self, rto: Duration) {
        (self.min_rto, self.max_rto, self.rto) = (rto, rto, rto);
        (self.smoothed, self.variance) = (None, Duration::ZERO);
    }

    pub(crate) fn set_profile(&mut self, profile: &Profile) {
        self.min_rto = profile.min_rto();
        self.slack = profile.interval();
        self.update_rto();
    }

    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.measured = true;
        match self.smoothed {
            None => {
                // RFC 6298 (2.2)
                self.smoothed = Some(rtt);
                self.variance = rtt / 2;
            }
            Some(smoothed) => {
                // RFC 6298 (2.3), alpha = 1/8, beta = 1/4
                self.variance = (self.variance * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
        self.update_rto();
    }

    /// What the opening took: good enough to pace by. The path wasn't loaded then, so the timeout stays
    /// what it is until data tells.
    pub(crate) fn estimate(&mut self, rtt: Duration) {
        if self.smoothed.is_none() {
            (self.smoothed, self.variance) = (Some(rtt), rtt / 2);
            self.rto = self.rto.max(rtt * 3).min(self.max_rto);
        }
    }

    fn update_rto(&mut self) {
        if let Some(smoothed) = self.smoothed {
            let rto = smoothed + self.slack.max(self.variance * 4);
            self.rto = rto.clamp(self.min_rto, self.max_rto);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn follows_rfc_6298_and_stays_within_the_bounds_of_kcp() {
        let mut rtt = Rtt::new(&Profile::FAST3);
        assert_eq!(rtt.rto, ms(200));
        rtt.sample(ms(100));
        assert_eq!((rtt.smoothed, rtt.variance, rtt.rto), (Some(ms(100)), ms(50), ms(300)));
        rtt.sample(ms(60));
        assert_eq!((rtt.smoothed, rtt.variance), (Some(ms(95)), Duration::from_micros(47_500)));
        for _ in 0..1000 {
            rtt.sample(ms(1));
        }
        assert_eq!(rtt.rto, ms(30));
        rtt.set_profile(&Profile::NORMAL);
        assert_eq!(rtt.rto, ms(100));
        rtt.sample(ms(200_000));
        assert_eq!(rtt.rto, RTO_MAX);
    }
}
