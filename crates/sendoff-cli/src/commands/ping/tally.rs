//! The figures of `ping`'s last lines.

use std::time::Duration;

/// Counts probes and keeps the moments of their times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Probes sent.
    pub sent: u64,
    /// Probes answered in time.
    pub answered: u64,
    /// Probes that drew "port unreachable".
    pub unreachable: u64,
    /// Probes that are larger than the path takes.
    pub too_large: u64,
    /// Probes of a second conversation, which the server ignores: not lost.
    pub ignored: u64,
    shortest: f64,
    longest: f64,
    mean: f64,
    /// Sum of the squared distances from the mean (Welford).
    squares: f64,
}

/// Times of the answers, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Shortest.
    pub min: f64,
    /// Mean.
    pub avg: f64,
    /// Longest.
    pub max: f64,
    /// Standard deviation, which `ping` calls mdev.
    pub mdev: f64,
}

impl Tally {
    /// One more answer.
    pub fn answer(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1e3;
        self.answered += 1;
        self.shortest = if self.answered == 1 { ms } else { self.shortest.min(ms) };
        self.longest = self.longest.max(ms);
        let distance = ms - self.mean;
        self.mean += distance / self.answered as f64;
        self.squares += distance * (ms - self.mean);
    }

    /// Part of the probes that had no answer, in percent.
    pub fn loss(&self) -> f64 {
        match self.sent - self.ignored {
            0 => 0.0,
            counted => 100.0 * (counted - self.answered) as f64 / counted as f64,
        }
    }

    /// The times, if there was an answer.
    pub fn times(&self) -> Option<Times> {
        (self.answered > 0).then(|| Times {
            min: self.shortest,
            avg: self.mean,
            max: self.longest,
            mdev: (self.squares / self.answered as f64).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_ping() {
        let mut tally = Tally { sent: 6, ..Tally::default() };
        for ms in [2, 4, 4, 6] {
            tally.answer(Duration::from_millis(ms));
        }
        let times = tally.times().unwrap();
        assert_eq!((times.min, times.avg, times.max), (2.0, 4.0, 6.0));
        assert!((times.mdev - 2_f64.sqrt()).abs() < 1e-9, "{}", times.mdev);
        assert!((tally.loss() - 33.333).abs() < 0.001, "{}", tally.loss());
    }

    #[test]
    fn without_answers_there_are_no_times() {
        assert_eq!(Tally::default().times(), None);
        assert!(Tally::default().loss().abs() < f64::EPSILON);
        let tally = Tally { sent: 3, ..Tally::default() };
        assert_eq!((tally.times(), tally.loss() as u32), (None, 100));
        let tally = Tally { sent: 3, answered: 2, ignored: 1, ..Tally::default() };
        assert!(tally.loss().abs() < f64::EPSILON, "what was ignored is not lost");
    }
}
