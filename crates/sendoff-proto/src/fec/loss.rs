//! Counting losses in runs.

/// What became of datagrams, in the order in which they were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossReport {
    /// Datagrams that arrived.
    pub delivered: u64,
    /// Datagrams that didn't.
    pub lost: u64,
    /// Runs of lost ones: 3 lost in a row are one run.
    pub runs: u64,
}

impl LossReport {
    /// All datagrams.
    pub fn total(&self) -> u64 {
        self.delivered + self.lost
    }

    /// The share that was lost, 0 to 1; 0 if there were none.
    pub fn rate(&self) -> f64 {
        self.lost as f64 / self.total().max(1) as f64
    }

    /// Datagrams that are lost in a row, on average; 0 if none was lost.
    pub fn mean_run(&self) -> f64 {
        self.lost as f64 / self.runs.max(1) as f64
    }

    /// What has been added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            delivered: self.delivered - earlier.delivered,
            lost: self.lost - earlier.lost,
            runs: self.runs - earlier.runs,
        }
    }
}

/// Counts what becomes of datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossMeter {
    report: LossReport,
    in_run: bool,
}

impl LossMeter {
    /// The next datagram, in the order in which they were sent.
    #[inline]
    pub fn record(&mut self, lost: bool) {
        if lost {
            self.report.lost += 1;
            self.report.runs += u64::from(!self.in_run);
        } else {
            self.report.delivered += 1;
        }
        self.in_run = lost;
    }

    /// The next `count` datagrams, all alike.
    pub(super) fn record_many(&mut self, lost: bool, count: u64) {
        if count > 0 {
            self.record(lost);
            *if lost { &mut self.report.lost } else { &mut self.report.delivered } += count - 1;
        }
    }

    /// What has been counted since the beginning.
    pub fn report(&self) -> LossReport {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_in_a_row_are_one_run() {
        let mut meter = LossMeter::default();
        for fate in "..xxx..x.x".chars() {
            meter.record(fate == 'x');
        }
        let report = meter.report();
        assert_eq!(report, LossReport { delivered: 5, lost: 5, runs: 3 });
        assert!((report.rate() - 0.5).abs() < 1e-9 && (report.mean_run() - 5.0 / 3.0).abs() < 1e-9);
        meter.record_many(true, 4);
        meter.record_many(false, 2);
        meter.record_many(true, 0);
        assert_eq!(meter.report().since(&report), LossReport { delivered: 2, lost: 4, runs: 0 });
        assert_eq!((LossReport::default().rate(), LossReport::default().mean_run()), (0.0, 0.0));
    }
}
