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
#[derive(Clone, Copy, Debug)]
pub struct LossMeter {
    report: LossReport,
    /// Lost in a row, up to now.
    run: u64,
    /// What counts of a run at most.
    most: u64,
}

impl Default for LossMeter {
    fn default() -> Self {
        Self::bounded(u64::MAX)
    }
}

impl LossMeter {
    /// Of more than `most` in a row, so many count; the rest is left out of the account. A sender that loses one
    /// acknowledgement of a whole window sends all of that again: it is one accident, not a bad path.
    pub fn bounded(most: u64) -> Self {
        Self { report: LossReport::default(), run: 0, most }
    }

    /// The next datagram, in the order in which they were sent.
    #[inline]
    pub fn record(&mut self, lost: bool) {
        if !lost {
            self.report.delivered += 1;
            self.run = 0;
            return;
        }
        self.report.runs += u64::from(self.run == 0);
        self.report.lost += u64::from(self.run < self.most);
        self.run += 1;
    }

    /// The next `count` datagrams, all alike.
    pub(super) fn record_many(&mut self, lost: bool, count: u64) {
        for _ in 0..count {
            self.record(lost);
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
        let mut meter = LossMeter::bounded(3);
        "xx.xxxxxxxx.x".chars().for_each(|fate| meter.record(fate == 'x'));
        assert_eq!(meter.report(), LossReport { delivered: 2, lost: 6, runs: 3 });
        assert_eq!((LossReport::default().rate(), LossReport::default().mean_run()), (0.0, 0.0));
    }
}
