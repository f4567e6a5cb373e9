//! How much parity a path calls for.

use super::{Fec, LossReport};

/// The share of datagrams that may have to be sent again: with less, more parity isn't worth it.
const TOLERATED: f64 = 0.002;

/// Datagrams that must have been looked at before anything is concluded, and after which half of what was seen
/// is forgotten.
const LEAST: f64 = 200.0;
const HALF_LIFE: f64 = 2_000.0;

/// Runs of losses that must have been seen: one can be an accident.
const LEAST_RUNS: f64 = 2.0;

/// Datagrams without trouble after which one parity shard less is tried: at first, and at most.
const PATIENCE: u64 = 4_000;
const MOST_PATIENCE: u64 = 64_000;

/// The share of losses that parity must make good to be worth its bytes.
const WORTH: f64 = 0.25;

/// Says how many parity shards each group should get, from none to those of a ratio: `fec=auto`.
///
/// A pure function of what is observed: what the sender had to send again. That is what FEC left over, so
/// with parity on, the loss of the path itself isn't seen. So parity is put on by what the losses look like, their rate
/// and how many come in a row; raised while too many are left; and lowered one by one, as a trial, when none
/// are. A trial that failed is not repeated so soon: each time, twice as many datagrams must go well before the next.
/// Where parity hardly helps (losses come in runs longer than what it makes good) it is taken off.
///
/// To be used with [`Encoder::set_parity`](super::Encoder::set_parity), which keeps the ratio.
#[derive(Clone, Debug)]
pub struct ParityControl {
    most: Fec,
    parity: usize,
    /// What was seen since the last change, the older the less.
    seen: Seen,
    /// Datagrams since the last change.
    since: u64,
    patience: u64,
    /// Whether the last change was a trial with less.
    trying: bool,
    /// The rate when there was no parity.
    bare_rate: f64,
    /// Datagrams to come before parity is put on again, where it didn't help.
    resting: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    total: f64,
    lost: f64,
    runs: f64,
}

impl Seen {
    fn add(&mut self, report: &LossReport) {
        let kept = 0.5_f64.powf(report.total() as f64 / HALF_LIFE);
        self.total = self.total * kept + report.total() as f64;
        self.lost = self.lost * kept + report.lost as f64;
        self.runs = self.runs * kept + report.runs as f64;
    }

    fn rate(&self) -> f64 {
        if self.total > 0.0 { self.lost / self.total } else { 0.0 }
    }
}

impl ParityControl {
    /// Moves between none and the parity of `most`. Starts with none.
    pub fn new(most: Fec) -> Self {
        Self {
            most,
            parity: 0,
            seen: Seen::default(),
            since: 0,
            patience: PATIENCE,
            trying: false,
            bare_rate: 0.0,
            resting: 0,
        }
    }

    /// Parity shards that each group should get now.
    pub fn parity(&self) -> usize {
        self.parity
    }

    /// What became of datagrams since the last call: delivered without being sent again, or not. Returns the
    /// parity shards that each group should get from now on.
    pub fn observe(&mut self, report: LossReport) -> usize {
        self.seen.add(&report);
        self.since = self.since.saturating_add(report.total());
        self.resting = self.resting.saturating_sub(report.total());
        if self.seen.total < LEAST {
            return self.parity;
        }
        let rate = self.seen.rate();
        if rate > TOLERATED && self.seen.runs >= LEAST_RUNS {
            self.raise(rate);
        } else if self.parity > 0 && rate <= TOLERATED / 2.0 && self.since >= self.patience {
            self.trying = true;
            self.set(self.parity - 1);
        }
        self.parity
    }

    /// Too much is lost.
    fn raise(&mut self, rate: f64) {
        let most = self.most.parity();
        if self.parity == 0 {
            if self.resting > 0 {
                return;
            }
            self.bare_rate = rate;
        } else if self.parity == most {
            if rate > (1.0 - WORTH) * self.bare_rate {
                self.give_up();
            }
            return;
        }
        if self.trying && self.since < self.patience {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        self.trying = false;
        match self.parity {
            0 => match self.enough(rate) {
                Some(parity) => self.set(parity),
                None => self.give_up(),
            },
            parity => self.set(parity + 1),
        }
    }

    /// Parity is of no use here, for now.
    fn give_up(&mut self) {
        self.resting = self.patience;
        self.patience = (self.patience * 2).min(MOST_PATIENCE);
        self.set(0);
    }

    fn set(&mut self, parity: usize) {
        self.parity = parity;
        self.seen = Seen::default();
        self.since = 0;
    }

    /// The least parity that leaves no more than is tolerated, or else all there is; `None` if that isn't worth it.
    fn enough(&self, rate: f64) -> Option<usize> {
        let run = (self.seen.lost / self.seen.runs).max(1.0);
        let left = |parity| left_over(self.most.data(), parity, rate, run);
        let most = self.most.parity();
        let parity = (1..most).find(|&parity| left(parity) <= TOLERATED).unwrap_or(most);
        (left(parity) <= (1.0 - WORTH) * rate).then_some(parity)
    }
}

/// The share of datagrams that stay lost, where losses come at this rate and so many in a row on average: the model
/// of Gilbert, a chain of two states, looked at over one group.
fn left_over(data: usize, parity: usize, rate: f64, run: f64) -> f64 {
    let rate = rate.clamp(0.0, 0.95);
    // Odds that a loss is followed by none, and that a loss follows none.
    let ends = 1.0 / run;
    let begins = (rate / (1.0 - rate) * ends).min(1.0);
    let size = data + parity;
    // chances[n][state]: that n are lost so far, and the latest was (1) or wasn't (0).
    let mut chances = vec![[0.0_f64; 2]; size + 1];
    (chances[0][0], chances[1][1]) = (1.0 - rate, rate);
    for sent in 1..size {
        for lost in (0..=sent).rev() {
            let [fine, bad] = chances[lost];
            chances[lost][0] = fine * (1.0 - begins) + bad * ends;
            chances[lost + 1][1] = fine * begins + bad * (1.0 - ends);
        }
        chances[0][1] = 0.0;
    }
    let lost = chances.iter().enumerate().skip(parity + 1).map(|(n, [fine, bad])| n as f64 * (fine + bad));
    lost.sum::<f64>() / size as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path: what is lost, by a chain of two states, and what FEC with so much parity makes good.
    struct Path {
        state: u64,
        bad: bool,
        rate: f64,
        run: f64,
    }

    impl Path {
        fn new(rate: f64, run: f64) -> Self {
            Self { state: 0x9e37_79b9_7f4a_7c15, bad: false, rate, run }
        }

        fn loses(&mut self) -> bool {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            let draw = (self.state >> 11) as f64 / (1_u64 << 53) as f64;
            let begins = self.rate / (1.0 - self.rate) / self.run;
            self.bad = draw < if self.bad { 1.0 - 1.0 / self.run } else { begins };
            self.bad
        }

        /// What the sender sees of so many groups.
        fn groups(&mut self, data: usize, parity: usize, groups: usize) -> LossReport {
            let mut meter = super::super::LossMeter::default();
            for _ in 0..groups {
                let fates: Vec<bool> = (0..data + parity).map(|_| self.loses()).collect();
                let repaired = fates.iter().filter(|&&lost| lost).count() <= parity;
                fates[..data].iter().for_each(|&lost| meter.record(lost && !repaired));
            }
            meter.report()
        }
    }

    /// Lets it look at so many datagrams, a hundred at a time; returns all the parities it wanted.
    fn run(control: &mut ParityControl, path: &mut Path, datagrams: usize) -> Vec<usize> {
        (0..datagrams / 100).map(|_| control.observe(path.groups(10, control.parity(), 10))).collect()
    }

    fn control() -> ParityControl {
        ParityControl::new(Fec::new(10, 5).unwrap())
    }

    #[test]
    fn the_model_agrees_with_what_happens() {
        for (rate, mean_run, parity) in [(0.05, 1.1, 2), (0.1, 1.2, 3), (0.02, 2.0, 1), (0.05, 6.0, 3)] {
            let mut path = Path::new(rate, mean_run);
            let seen = path.groups(10, parity, 60_000).rate();
            let model = left_over(10, parity, rate, mean_run);
            assert!((seen - model).abs() < 0.1 * model + 0.000_3, "{rate} {mean_run}: {seen} and {model}");
        }
        assert!((left_over(10, 0, 0.05, 1.5) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn a_clean_path_gets_no_parity() {
        let mut control = control();
        assert!(run(&mut control, &mut Path::new(0.000_5, 1.0), 100_000).iter().all(|&parity| parity == 0));
    }

    #[test]
    fn more_loss_gets_more_parity_and_gets_it_soon() {
        let settled = |rate| {
            let (mut control, mut path) = (control(), Path::new(rate, 1.05));
            let soon = run(&mut control, &mut path, 2_000);
            assert!(*soon.last().unwrap() > 0, "{rate}");
            let later = run(&mut control, &mut path, 100_000);
            later.iter().sum::<usize>() as f64 / later.len() as f64
        };
        let (little, much) = (settled(0.01), settled(0.1));
        assert!(little < 3.0 && much > 3.5 && much > little + 1.0, "{little} {much}");
    }

    #[test]
    fn parity_goes_when_the_loss_is_gone() {
        let mut control = control();
        run(&mut control, &mut Path::new(0.05, 1.05), 5_000);
        assert!(control.parity() >= 2);
        run(&mut control, &mut Path::new(0.000_1, 1.0), 60_000);
        assert_eq!(control.parity(), 0);
    }

    #[test]
    fn trials_with_less_become_rare_where_they_fail() {
        let (mut control, mut path) = (control(), Path::new(0.05, 1.05));
        let changes = |parities: &[usize]| parities.windows(2).filter(|pair| pair[0] != pair[1]).count();
        run(&mut control, &mut path, 5_000);
        let early = changes(&run(&mut control, &mut path, 100_000));
        run(&mut control, &mut path, 100_000);
        let late = changes(&run(&mut control, &mut path, 100_000));
        assert!(late <= 8 && late <= early, "{early}, later {late}");
    }

    #[test]
    fn losses_in_long_runs_get_no_parity_because_it_does_not_help() {
        let mut control = control();
        let parities = run(&mut control, &mut Path::new(0.05, 60.0), 200_000);
        let share = parities.iter().filter(|&&parity| parity > 0).count() as f64 / parities.len() as f64;
        assert!(share < 0.2, "{share}");
        // As many losses, one by one, do.
        let mut control = self::control();
        let parities = run(&mut control, &mut Path::new(0.05, 1.05), 200_000);
        assert!(parities.iter().filter(|&&parity| parity > 0).count() > parities.len() * 9 / 10);
    }

    #[test]
    fn one_accident_changes_nothing() {
        let mut control = control();
        control.observe(LossReport { delivered: 300, lost: 0, runs: 0 });
        assert_eq!(control.observe(LossReport { delivered: 20, lost: 80, runs: 1 }), 0);
    }
}
