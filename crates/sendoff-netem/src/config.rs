//! How a link behaves.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// Which datagrams are lost at random.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with this probability, independently of the others.
    Bernoulli(f64),
    /// Bursts: a chain of two states that steps after each datagram and begins in the good one
    /// (Gilbert 1960, Elliott 1963). [`Loss::bursts`] computes it from the figures that one usually has.
    GilbertElliott {
        /// Probability of a step from the good state to the bad one.
        enter: f64,
        /// Probability of a step from the bad state back to the good one.
        leave: f64,
        /// Probability of loss in the good state.
        loss_good: f64,
        /// Probability of loss in the bad state.
        loss_bad: f64,
    },
}

impl Loss {
    /// Bursts of `mean_length` datagrams, in which everything is lost, so that `fraction` of all datagrams is lost.
    ///
    /// # Panics
    /// When `fraction` isn't in `0.0..1.0`, when `mean_length` is below 1, or when bursts that short can't add
    /// up to a fraction that large (`fraction > mean_length / (mean_length + 1)`).
    pub fn bursts(fraction: f64, mean_length: f64) -> Loss {
        assert!((0.0..1.0).contains(&fraction), "fraction {fraction}: must be at least 0 and less than 1");
        assert!(mean_length >= 1.0, "mean length {mean_length}: must be at least 1 datagram");
        let enter = fraction / (mean_length * (1.0 - fraction));
        assert!(enter <= 1.0, "fraction {fraction}: too large for bursts of {mean_length} datagrams");
        Loss::GilbertElliott { enter, leave: 1.0 / mean_length, loss_good: 0.0, loss_bad: 1.0 }
    }
}

/// How a datagram chosen by [`LinkConfig::reorder`] gets out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reorder {
    /// It arrives this much later than it would; those behind it don't wait.
    HoldBack(Duration),
    /// It has no delay and overtakes those in front of it.
    Overtake,
}

/// How much may wait for a link that has a rate. The datagram on the wire is not waiting, so an idle link
/// takes any datagram. What finds the queue full is dropped (drop-tail).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// So many datagrams.
    Datagrams(usize),
    /// So many bytes, overhead included.
    Bytes(usize),
}

/// How a link behaves. The default is perfect: no delay, no loss, no limit.
///
/// ```
/// use sendoff_netem::{LinkConfig, Loss, Queue};
/// use std::time::Duration;
///
/// let dsl = LinkConfig::new()
///     .delay(Duration::from_millis(15))
///     .jitter(Duration::from_millis(3))
///     .loss(Loss::bursts(0.01, 4.0))
///     .rate(16_000_000)
///     .queue(Queue::Bytes(64_000));
/// # let _ = dsl;
/// ```
///
/// Probabilities are from 0 to 1; the setters panic on others.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) allow_reorder: bool,
    pub(crate) loss: Loss,
    pub(crate) dropped: BTreeSet<u64>,
    pub(crate) partitions: Vec<Range<Duration>>,
    pub(crate) duplicate: f64,
    pub(crate) reorder: Option<(f64, Reorder)>,
    pub(crate) corrupt: f64,
    pub(crate) rate: Option<u64>,
    pub(crate) queue: Queue,
    pub(crate) overhead: usize,
    pub(crate) mtu: usize,
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        LinkConfig {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            allow_reorder: false,
            loss: Loss::None,
            dropped: BTreeSet::new(),
            partitions: Vec::new(),
            duplicate: 0.0,
            reorder: None,
            corrupt: 0.0,
            rate: None,
            queue: Queue::Datagrams(1_000),
            overhead: 28,
            mtu: usize::MAX,
        }
    }
}

impl LinkConfig {
    /// A perfect link.
    pub fn new() -> LinkConfig {
        LinkConfig::default()
    }

    /// The least time from the last bit sent to arrival, one way. Default: none.
    pub fn delay(mut self, delay: Duration) -> LinkConfig {
        self.delay = delay;
        self
    }

    /// See [`delay`](Self::delay).
    pub fn delay_value(&self) -> Duration {
        self.delay
    }

    /// Up to this much time more for each datagram, all values equally likely. Default: none.
    ///
    /// Jitter alone keeps the order: a datagram waits for those in front of it, as in a queue somewhere on the
    /// way, which makes the mean delay longer. See [`allow_reorder`](LinkConfig::allow_reorder).
    pub fn jitter(mut self, jitter: Duration) -> LinkConfig {
        self.jitter = jitter;
        self
    }

    /// Whether jitter, and a shorter delay set while datagrams are in flight, may change the order.
    /// Default: no.
    pub fn allow_reorder(mut self, allow: bool) -> LinkConfig {
        self.allow_reorder = allow;
        self
    }

    /// Random loss. Default: none.
    ///
    /// # Panics
    /// When a probability isn't one.
    pub fn loss(mut self, loss: Loss) -> LinkConfig {
        match loss {
            Loss::None => {}
            Loss::Bernoulli(p) => check(p),
            Loss::GilbertElliott { enter, leave, loss_good, loss_bad } => {
                [enter, leave, loss_good, loss_bad].into_iter().for_each(check);
            }
        }
        self.loss = loss;
        self
    }

    /// Loses exactly these datagrams, beside the random loss, and adds to those named before. The first
    /// datagram that the link is ever handed is 0; those that don't reach the wire are counted too.
    pub fn drop_datagrams(mut self, indices: impl IntoIterator<Item = u64>) -> LinkConfig {
        self.dropped.extend(indices);
        self
    }

    /// Loses everything that is sent in this span of time; what is in flight arrives. Can be called again for
    /// more spans.
    pub fn partition(mut self, span: Range<Duration>) -> LinkConfig {
        self.partitions.push(span);
        self
    }

    /// The probability that a datagram arrives twice. Default: 0.
    ///
    /// # Panics
    /// When it isn't a probability.
    pub fn duplicate(mut self, probability: f64) -> LinkConfig {
        check(probability);
        self.duplicate = probability;
        self
    }

    /// The probability that a datagram gets out of order, and how. Default: 0.
    ///
    /// # Panics
    /// When it isn't a probability.
    pub fn reorder(mut self, probability: f64, how: Reorder) -> LinkConfig {
        check(probability);
        self.reorder = Some((probability, how));
        self
    }

    /// The probability that a datagram is damaged: three of four get one to eight neighbouring bits flipped,
    /// the fourth loses its end. Empty ones are spared. Default: 0.
    ///
    /// # Panics
    /// When it isn't a probability.
    pub fn corrupt(mut self, probability: f64) -> LinkConfig {
        check(probability);
        self.corrupt = probability;
        self
    }

    /// Bits per second, headers included. Default: without limit, and so without a queue.
    ///
    /// # Panics
    /// When it is 0.
    pub fn rate(mut self, bits_per_second: u64) -> LinkConfig {
        assert!(bits_per_second > 0, "rate 0: must be at least 1 bit per second");
        self.rate = Some(bits_per_second);
        self
    }

    /// What may wait for a link with a rate. Default: 1,000 datagrams.
    pub fn queue(mut self, queue: Queue) -> LinkConfig {
        self.queue = queue;
        self
    }

    /// Bytes that each datagram takes on the wire beside its own. Default: 28, for IPv4 and UDP (IPv6 has 48).
    pub fn overhead(mut self, bytes: usize) -> LinkConfig {
        self.overhead = bytes;
        self
    }

    /// The largest datagram that passes, in bytes without overhead. Default: without limit.
    pub fn mtu(mut self, bytes: usize) -> LinkConfig {
        self.mtu = bytes;
        self
    }
}

fn check(probability: f64) {
    assert!((0.0..=1.0).contains(&probability), "probability {probability}: must be 0 to 1");
}
