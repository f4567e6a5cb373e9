//! A time series in constant memory: bins of equal width, only those in which something happened. When there are too
//! many, the width doubles and neighbours become one: four packets have a bin each, ten million share a thousand.

use super::columns::Column;
use std::fmt::Write;

/// What is known after a bin, and what happened in it. Numbers are segments' (of TCP: bytes'), unwrapped; −1: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bin {
    /// Its place: time divided by the width.
    place: u64,
    /// The number behind the last that was sent.
    pub(super) sent: i64,
    /// The number that the other side expects next.
    pub(super) acked: i64,
    /// The number behind the last that the other side has room for.
    pub(super) edge: i64,
    /// The most that was on its way at a time.
    pub(super) flight: i64,
    /// Sent again: how many, and the least and greatest number behind them.
    pub(super) again: i64,
    pub(super) again_low: i64,
    pub(super) again_high: i64,
    /// Copies, made by the network or the capture.
    pub(super) copies: i64,
    /// Made good by forward error correction.
    pub(super) recovered: i64,
    /// Microseconds that the window was full, up to a moment of this bin when it opened again.
    pub(super) full: i64,
    /// Round trips in microseconds: how many, their sum, the least and the greatest.
    pub(super) rtt_count: i64,
    pub(super) rtt_sum: i64,
    pub(super) rtt_low: i64,
    pub(super) rtt_high: i64,
    /// Bytes of new data.
    pub(super) fresh: i64,
    /// Bytes of datagrams (of TCP: of payload), whatever they carry.
    pub(super) wire: i64,
}

impl Bin {
    /// A number was sent again.
    pub(super) fn sent_again(&mut self, number: i64) {
        self.again_low = if self.again == 0 { number } else { self.again_low.min(number) };
        self.again_high = if self.again == 0 { number } else { self.again_high.max(number) };
        self.again += 1;
    }

    /// The window was full for so many microseconds.
    pub(super) fn add_full(&mut self, micros: u64) {
        self.full = self.full.saturating_add_unsigned(micros);
    }

    /// A round trip of so many microseconds.
    pub(super) fn round_trip(&mut self, micros: i64) {
        self.rtt_low = if self.rtt_count == 0 { micros } else { self.rtt_low.min(micros) };
        self.rtt_high = self.rtt_high.max(micros);
        self.rtt_sum = self.rtt_sum.saturating_add(micros);
        self.rtt_count += 1;
    }

    /// Takes in the one behind it.
    fn absorb(&mut self, later: &Bin) {
        (self.sent, self.acked, self.edge) = (later.sent, later.acked, later.edge);
        self.flight = self.flight.max(later.flight);
        if later.again > 0 {
            let again = self.again;
            self.sent_again(later.again_low);
            self.sent_again(later.again_high);
            self.again = again + later.again;
        }
        if later.rtt_count > 0 {
            let (count, sum) = (self.rtt_count, self.rtt_sum);
            self.round_trip(later.rtt_low);
            self.round_trip(later.rtt_high);
            self.rtt_count = count + later.rtt_count;
            self.rtt_sum = sum.saturating_add(later.rtt_sum);
        }
        self.copies += later.copies;
        self.recovered += later.recovered;
        self.full = self.full.saturating_add(later.full);
        self.fresh = self.fresh.saturating_add(later.fresh);
        self.wire = self.wire.saturating_add(later.wire);
    }
}

/// Takes a number out of a bin.
type Value = fn(&Bin) -> i64;

/// Bins in order of time.
#[derive(Debug)]
pub(super) struct Bins {
    bins: Vec<Bin>,
    /// Of each, in microseconds.
    width: u64,
    limit: usize,
}

impl Bins {
    /// At most `limit`, at least 2.
    pub(super) fn new(limit: usize) -> Self {
        Self { bins: Vec::new(), width: 1, limit: limit.max(2) }
    }

    /// The bin of a time in microseconds. A time before the last one, of a clock that was set back, has the last bin.
    pub(super) fn at(&mut self, micros: u64) -> &mut Bin {
        let mut place = micros / self.width;
        while self.bins.len() == self.limit && self.bins.last().is_some_and(|last| last.place < place) {
            self.widen();
            place = micros / self.width;
        }
        match self.bins.last() {
            Some(last) if last.place >= place => {}
            Some(last) => {
                let Bin { sent, acked, edge, .. } = *last;
                self.bins.push(Bin { place, sent, acked, edge, ..Bin::default() });
            }
            None => self.bins.push(Bin { place, sent: -1, acked: -1, edge: -1, ..Bin::default() }),
        }
        let last = self.bins.len() - 1;
        &mut self.bins[last]
    }

    fn widen(&mut self) {
        self.width *= 2;
        let mut kept: usize = 0;
        for n in 0..self.bins.len() {
            let mut bin = self.bins[n];
            bin.place /= 2;
            match self.bins[..kept].last_mut() {
                Some(last) if last.place == bin.place => last.absorb(&bin),
                _ => {
                    self.bins[kept] = bin;
                    kept += 1;
                }
            }
        }
        self.bins.truncate(kept);
    }

    /// The latest one.
    pub(super) fn last(&mut self) -> Option<&mut Bin> {
        self.bins.last_mut()
    }

    /// Appends an object of JSON.
    pub(super) fn write(&self, out: &mut String) {
        _ = write!(out, "{{\"width\":{},\"bins\":{}", self.width, self.bins.len());
        let mut column = Column::default();
        let columns: [(&str, Value); 17] = [
            ("place", |bin| bin.place as i64),
            ("sent", |bin| bin.sent),
            ("acked", |bin| bin.acked),
            ("edge", |bin| bin.edge),
            ("flight", |bin| bin.flight),
            ("again", |bin| bin.again),
            ("againLow", |bin| bin.again_low),
            ("againHigh", |bin| bin.again_high),
            ("copies", |bin| bin.copies),
            ("recovered", |bin| bin.recovered),
            ("full", |bin| bin.full),
            ("rttCount", |bin| bin.rtt_count),
            ("rttSum", |bin| bin.rtt_sum),
            ("rttLow", |bin| bin.rtt_low),
            ("rttHigh", |bin| bin.rtt_high),
            ("fresh", |bin| bin.fresh),
            ("wire", |bin| bin.wire),
        ];
        for (name, value) in columns {
            self.bins.iter().for_each(|bin| column.push(value(bin)));
            column.take(name, out);
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_moments_have_a_bin_each_and_many_share() {
        let mut bins = Bins::new(8);
        for micros in [0, 3, 5, 900] {
            bins.at(micros).fresh += 1;
        }
        assert_eq!((bins.bins.len(), bins.width), (4, 1));
        for micros in 901..100_000 {
            bins.at(micros).fresh += 1;
        }
        assert!(bins.bins.len() <= 8 && bins.bins.len() >= 4, "{}", bins.bins.len());
        assert_eq!(bins.bins.iter().map(|bin| bin.fresh).sum::<i64>(), 4 + 100_000 - 901, "nothing is lost");
        assert!(bins.bins.windows(2).all(|pair| pair[0].place < pair[1].place));
        bins.at(5).fresh += 1;
        assert!(bins.bins.len() <= 8, "a time that goes back has the last bin");
        bins.at(u64::MAX).fresh += 1;
        assert!(bins.bins.len() <= 8);
    }

    #[test]
    fn bins_that_become_one_keep_extremes_sums_and_the_latest_state() {
        let mut bins = Bins::new(2);
        let first = bins.at(0);
        (first.sent, first.flight) = (4, 9);
        first.sent_again(2);
        first.round_trip(50);
        let second = bins.at(1);
        assert_eq!((second.sent, second.acked), (4, -1), "a bin begins with the state of the one before");
        (second.sent, second.flight) = (6, 3);
        second.sent_again(5);
        second.sent_again(1);
        second.round_trip(10);
        second.round_trip(30);
        bins.at(2);
        let one = bins.bins[0];
        assert_eq!((bins.width, one.sent, one.flight), (2, 6, 9));
        assert_eq!((one.again, one.again_low, one.again_high), (3, 1, 5));
        assert_eq!((one.rtt_count, one.rtt_sum, one.rtt_low, one.rtt_high), (3, 90, 10, 50));
    }

    #[test]
    fn bins_are_told_in_columns() {
        let mut bins = Bins::new(8);
        bins.at(10).sent = 1;
        bins.at(20).sent = 3;
        let mut out = String::new();
        bins.write(&mut out);
        assert_eq!(out, r#"{"width":1,"bins":2,"place":[10,10],"sent":[1,2],"acked":[-1,0],"edge":[-1,0]}"#);
    }
}
