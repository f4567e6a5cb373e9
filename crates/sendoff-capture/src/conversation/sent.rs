//! What one side has sent and the other hasn't covered by una yet: tells retransmissions, duplicates, late ones
//! and holes, and gives round trips.

use super::Marks;
use std::{collections::VecDeque, time::Duration};

/// Numbers of one direction that are watched at a time: the largest window that stacks take.
pub const MAX_TRACKED: usize = 32_768;

/// A una that lies further off than that is no news, but a lie or another life of the conversation.
const UNA_REACH: i32 = 65_536;

/// Missing numbers that are remembered.
const REMEMBERED: usize = 256;

/// Entries that are looked at to judge a retransmission.
const JUDGED: usize = 256;

/// A moment in nanoseconds: half of what a [`Duration`] takes, and good for 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    /// Of something that hasn't happened.
    const NEVER: Moment = Moment(u64::MAX);

    fn new(at: Duration) -> Self {
        Self(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX - 1))
    }

    fn has_been(self) -> bool {
        self != Self::NEVER
    }

    fn since(self, earlier: Moment) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }
}

/// A PUSH number. There may be half a million of them: each byte counts.
#[derive(Clone, Copy, Debug)]
struct Entry {
    first_at: Moment,
    last_at: Moment,
    /// When an ACK named it.
    acked_at: Moment,
    first_ts: u32,
    last_ts: u32,
    /// 0: it hasn't been seen.
    transmissions: u8,
}

const UNSEEN: Entry = Entry {
    first_at: Moment(0),
    last_at: Moment(0),
    acked_at: Moment::NEVER,
    first_ts: 0,
    last_ts: 0,
    transmissions: 0,
};

/// What a PUSH turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) marks: Marks,
    /// 1 for the first transmission that was seen.
    pub(crate) transmission: u8,
    /// Since the transmission before.
    pub(crate) after: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Sent {
    entries: VecDeque<Entry>,
    /// sn of the first entry.
    base: u32,
    /// Whether `base` means anything.
    started: bool,
    /// Whether the other side has said that all below `base` is there.
    confirmed: bool,
    /// Numbers that the other side has, and the capture hasn't.
    pub(crate) missing: u64,
    /// The latest of these: they may come yet, overtaken by their una, or recovered.
    passed_over: VecDeque<u32>,
}

impl Sent {
    /// Whether something is on its way, as far as the capture shows.
    pub(crate) fn in_flight(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Entries held.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the other side has said that it expects next.
    pub(crate) fn una(&self) -> Option<u32> {
        self.confirmed.then_some(self.base)
    }

    /// Whether a number was seen, or the other side has said that it has it.
    pub(crate) fn knows(&self, sn: u32) -> bool {
        if !self.started {
            return false;
        }
        match usize::try_from(sn.wrapping_sub(self.base) as i32) {
            Ok(place) => self.entries.get(place).is_some_and(|entry| entry.transmissions > 0),
            Err(_) => self.confirmed && !self.passed_over.contains(&sn),
        }
    }

    /// A PUSH passes by; at most `limit` numbers are watched.
    pub(crate) fn push(&mut self, now: Duration, sn: u32, ts: u32, limit: usize) -> Judged {
        let judged = |marks, transmission, after| Judged { marks, transmission, after };
        if !self.started {
            (self.base, self.started) = (sn, true);
        }
        let now = Moment::new(now);
        let mut place = i64::from(sn.wrapping_sub(self.base) as i32);
        let room = limit.saturating_sub(self.entries.len()) as i64;
        if place < 0 {
            if let Some(at) = self.passed_over.iter().position(|number| *number == sn) {
                self.passed_over.remove(at);
                self.missing -= 1;
                return judged(Marks::NEW | Marks::LATE, 1, Duration::ZERO);
            }
            if self.confirmed || -place > room {
                return judged(Marks::NEEDLESS, 0, Duration::ZERO);
            }
            // The capture began in the middle of a flight.
            for _ in place..0 {
                self.entries.push_front(UNSEEN);
            }
            (self.base, place) = (sn, 0);
        }
        let place = place as usize;
        let len = self.entries.len();
        if place >= len {
            if (place - len) as i64 >= room {
                return judged(Marks::BEYOND, 0, Duration::ZERO);
            }
            self.entries.resize(place, UNSEEN);
            self.entries.push_back(Entry {
                first_at: now,
                last_at: now,
                first_ts: ts,
                last_ts: ts,
                acked_at: Moment::NEVER,
                transmissions: 1,
            });
            return judged(Marks::NEW, 1, Duration::ZERO);
        }
        let fast = self.overtaken(place);
        let entry = &mut self.entries[place];
        let after = now.since(entry.last_at).unwrap_or_default();
        let marks = match entry.transmissions {
            0 => {
                (entry.first_at, entry.first_ts) = (now, ts);
                Marks::NEW | Marks::LATE
            }
            // Each transmission gets the time of its own.
            _ if entry.last_ts == ts => Marks::DUPLICATE,
            _ if fast => Marks::RETRANSMISSION | Marks::FAST,
            _ => Marks::RETRANSMISSION,
        };
        if !marks.has(Marks::DUPLICATE) {
            (entry.last_at, entry.last_ts) = (now, ts);
            entry.transmissions = entry.transmissions.saturating_add(1);
        }
        judged(marks, entry.transmissions, after)
    }

    /// Whether a later number was acknowledged after this one was sent last: what makes a sender resend at once.
    fn overtaken(&self, place: usize) -> bool {
        let last_at = self.entries[place].last_at;
        let later = self.entries.iter().skip(place + 1).rev().take(JUDGED);
        later.map(|entry| entry.acked_at).any(|at| at.has_been() && at >= last_at)
    }

    /// An ACK of the other side passes by: the round trip, if its ts is that of a transmission.
    pub(crate) fn ack(&mut self, now: Duration, sn: u32, ts: u32) -> Option<Duration> {
        let place = sn.wrapping_sub(self.base) as usize;
        let entry = self.entries.get_mut(place).filter(|entry| entry.transmissions > 0)?;
        let (now, first) = (Moment::new(now), !entry.acked_at.has_been());
        if first {
            entry.acked_at = now;
        }
        let sent = match ts {
            _ if !first => return None,
            ts if ts == entry.last_ts => entry.last_at,
            ts if ts == entry.first_ts => entry.first_at,
            _ => return None,
        };
        now.since(sent)
    }

    /// The other side has all below `una`.
    pub(crate) fn covered(&mut self, una: u32) {
        if !self.started {
            (self.base, self.started, self.confirmed) = (una, true, true);
            return;
        }
        let ahead = una.wrapping_sub(self.base) as i32;
        if !(0..=UNA_REACH).contains(&ahead) {
            return;
        }
        self.confirmed = true;
        let known = self.entries.len().min(ahead as usize);
        let base = self.base;
        let unseen = self.entries.drain(..known).enumerate().filter(|(_, entry)| entry.transmissions == 0);
        let unseen = unseen.map(|(n, _)| n).chain(known..ahead as usize);
        for n in unseen {
            self.missing += 1;
            self.passed_over.push_back(base.wrapping_add(n as u32));
        }
        let too_many = self.passed_over.len().saturating_sub(REMEMBERED);
        self.passed_over.drain(..too_many);
        self.base = una;
        if self.entries.is_empty() && self.entries.capacity() > 1_024 {
            self.entries.shrink_to(64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn push(sent: &mut Sent, ms: u64, sn: u32, ts: u32) -> Marks {
        sent.push(at(ms), sn, ts, MAX_TRACKED).marks
    }

    #[test]
    fn copies_and_retransmissions_are_told_apart_by_their_ts() {
        let mut sent = Sent::default();
        assert_eq!(push(&mut sent, 0, 0, 100), Marks::NEW);
        assert_eq!(push(&mut sent, 1, 0, 100), Marks::DUPLICATE);
        assert_eq!(push(&mut sent, 30, 0, 130), Marks::RETRANSMISSION);
        sent.covered(1);
        assert_eq!(push(&mut sent, 60, 0, 160), Marks::NEEDLESS);
        assert!(!sent.in_flight());
    }

    #[test]
    fn a_retransmission_is_fast_when_a_later_one_was_acknowledged_since() {
        let mut sent = Sent::default();
        for sn in 0..4 {
            push(&mut sent, u64::from(sn), sn, sn);
        }
        assert_eq!(sent.ack(at(20), 2, 2), Some(at(18)));
        assert_eq!(push(&mut sent, 21, 0, 21), Marks::RETRANSMISSION | Marks::FAST);
        // Nothing later was acknowledged since that transmission.
        assert_eq!(push(&mut sent, 25, 0, 25), Marks::RETRANSMISSION);
        assert_eq!(push(&mut sent, 26, 3, 26), Marks::RETRANSMISSION);
    }

    #[test]
    fn round_trips_count_once_and_only_with_a_known_ts() {
        let mut sent = Sent::default();
        push(&mut sent, 0, 7, 50);
        push(&mut sent, 40, 7, 90);
        assert_eq!(sent.ack(at(45), 7, 60), None);
        assert_eq!(sent.ack(at(45), 9, 90), None);
        let mut sent = Sent::default();
        push(&mut sent, 0, 7, 50);
        push(&mut sent, 40, 7, 90);
        assert_eq!(sent.ack(at(45), 7, 50), Some(at(45)));
        assert_eq!(sent.ack(at(46), 7, 90), None);
    }

    #[test]
    fn holes_that_the_other_side_has_are_missing_from_the_capture() {
        let mut sent = Sent::default();
        push(&mut sent, 0, u32::MAX, 0);
        push(&mut sent, 1, 2, 0);
        assert_eq!(push(&mut sent, 2, 1, 1), Marks::NEW | Marks::LATE);
        sent.covered(5);
        assert_eq!(sent.missing, 1 + 2, "0, and 3 and 4");
        sent.covered(5_000_000);
        sent.covered(3);
        assert_eq!(push(&mut sent, 9, 5, 0), Marks::NEW);
        assert_eq!(sent.missing, 3);
        assert_eq!(push(&mut sent, 9, 4, 0), Marks::NEW | Marks::LATE, "overtaken by its una");
        assert_eq!(push(&mut sent, 9, 4, 0), Marks::NEEDLESS);
        assert_eq!(sent.missing, 2);
    }

    #[test]
    fn a_number_is_known_once_it_was_seen_or_covered() {
        let mut sent = Sent::default();
        assert!(!sent.knows(0));
        push(&mut sent, 0, 10, 0);
        push(&mut sent, 1, 12, 0);
        assert_eq!([9, 10, 11, 12, 13].map(|sn| sent.knows(sn)), [false, true, false, true, false]);
        sent.covered(13);
        assert_eq!([9, 10, 11, 12, 13].map(|sn| sent.knows(sn)), [true, true, false, true, false]);
    }

    #[test]
    fn a_capture_that_begins_in_a_flight_takes_older_numbers_too() {
        let mut sent = Sent::default();
        push(&mut sent, 0, 10, 0);
        assert_eq!(push(&mut sent, 1, 8, 1), Marks::NEW | Marks::LATE);
        assert_eq!(push(&mut sent, 1, 9, 1), Marks::NEW | Marks::LATE);
        assert_eq!(push(&mut sent, 1, 10, 5), Marks::RETRANSMISSION);
    }

    #[test]
    fn what_is_watched_is_bounded() {
        let mut sent = Sent::default();
        push(&mut sent, 0, 0, 0);
        assert_eq!(push(&mut sent, 0, MAX_TRACKED as u32, 0), Marks::BEYOND);
        assert_eq!(push(&mut sent, 0, MAX_TRACKED as u32 - 1, 0), Marks::NEW);
        assert_eq!(sent.len(), MAX_TRACKED);
        assert_eq!(push(&mut sent, 0, 0x7fff_ffff, 0), Marks::BEYOND);
        assert_eq!(push(&mut sent, 0, 0x8000_0001, 0), Marks::NEEDLESS);
    }
}
