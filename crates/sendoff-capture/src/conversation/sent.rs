//! What one side has sent and the other hasn't covered by una yet: tells retransmissions, duplicates, late ones
//! and holes, and gives round trips.

use super::{
    Marks,
    far::{Far, NEAR},
};
use std::{collections::VecDeque, time::Duration};

/// Numbers of one direction that are watched at a time: the largest window that stacks take.
pub const MAX_TRACKED: usize = 32_768;

/// A una that lies further off than that is no news, but a lie or another life of the conversation.
const UNA_REACH: i32 = 65_536;

/// Missing numbers that are remembered.
const REMEMBERED: usize = 256;

/// Entries for which memory is kept, however few are used.
const ROOM: usize = 1_024;

/// Entries for which memory is kept while nothing is on its way: there may be thousands of such conversations.
const IDLE_ROOM: usize = 32;

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

impl Entry {
    fn new(now: Moment, ts: u32) -> Self {
        Self {
            first_at: now,
            last_at: now,
            first_ts: ts,
            last_ts: ts,
            acked_at: Moment::NEVER,
            transmissions: 1,
        }
    }
}

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
    /// Behind what the other side has said to have; what lies below the first entry isn't watched any more.
    entries: VecDeque<Entry>,
    /// sn of the first entry.
    base: u32,
    /// Whether `base` means anything.
    started: bool,
    /// What the other side has said that it expects next.
    una: Option<u32>,
    /// Numbers that the other side has, and the capture hasn't.
    pub(crate) missing: u64,
    /// The latest of these: they may come yet, overtaken by their una, or recovered.
    passed_over: VecDeque<u32>,
    far_pushes: Far,
    far_unas: Far,
}

impl Sent {
    /// Whether something is on its way, as far as the capture shows.
    pub(crate) fn in_flight(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Numbers for which there is memory.
    pub(crate) fn room(&self) -> usize {
        self.entries.capacity()
    }

    /// What the other side has said that it expects next.
    pub(crate) fn una(&self) -> Option<u32> {
        self.una
    }

    /// Whether the other side has said that it has this number.
    fn is_covered(&self, sn: u32) -> bool {
        self.una.is_some_and(|una| (sn.wrapping_sub(una) as i32) < 0)
    }

    /// Whether a number was seen, or the other side has said that it has it.
    pub(crate) fn knows(&self, sn: u32) -> bool {
        if !self.started {
            return false;
        }
        match usize::try_from(sn.wrapping_sub(self.base) as i32) {
            Ok(place) => self.entries.get(place).is_some_and(|entry| entry.transmissions > 0),
            Err(_) => self.is_covered(sn) && !self.passed_over.contains(&sn),
        }
    }

    /// What comes now, a PUSH or a una, is in another datagram.
    pub(crate) fn new_datagram(&mut self) {
        self.far_pushes.new_datagram();
        self.far_unas.new_datagram();
    }

    /// A PUSH passes by; at most `limit` numbers are watched.
    pub(crate) fn push(&mut self, now: Duration, sn: u32, ts: u32, limit: usize) -> Judged {
        let judged = self.judge(now, sn, ts, limit);
        if !judged.marks.has(Marks::BEYOND) {
            self.far_pushes = Far::default();
        }
        judged
    }

    fn judge(&mut self, now: Duration, sn: u32, ts: u32, limit: usize) -> Judged {
        let judged = |marks, transmission, after| Judged { marks, transmission, after };
        if !self.started {
            (self.base, self.started) = (sn, true);
        }
        let now = Moment::new(now);
        self.make_room(sn, limit);
        let mut place = i64::from(sn.wrapping_sub(self.base) as i32);
        let room = limit.saturating_sub(self.entries.len()) as i64;
        if place < 0 {
            if let Some(at) = self.passed_over.iter().position(|number| *number == sn) {
                self.passed_over.remove(at);
                self.missing -= 1;
                return judged(Marks::NEW | Marks::LATE, 1, Duration::ZERO);
            }
            if self.is_covered(sn) {
                return judged(Marks::NEEDLESS, 0, Duration::ZERO);
            }
            if -place > room {
                return self.beyond(now, sn, ts);
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
                return self.beyond(now, sn, ts);
            }
            self.entries.resize(place, UNSEEN);
            self.entries.push_back(Entry::new(now, ts));
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
            // Each transmission gets the time of its own; a copy may have been overtaken by a later one.
            _ if entry.last_ts == ts || entry.first_ts == ts => Marks::DUPLICATE,
            _ if fast => Marks::RETRANSMISSION | Marks::FAST,
            _ => Marks::RETRANSMISSION,
        };
        if !marks.has(Marks::DUPLICATE) {
            (entry.last_at, entry.last_ts) = (now, ts);
            entry.transmissions = entry.transmissions.saturating_add(1);
        }
        judged(marks, entry.transmissions, after)
    }

    /// Where nobody acknowledges, as far as the capture shows, what was sent first gives way to what is sent now.
    fn make_room(&mut self, sn: u32, limit: usize) {
        let end = self.base.wrapping_add(self.entries.len() as u32);
        let Ok(ahead) = usize::try_from(sn.wrapping_sub(end) as i32) else { return };
        let too_many = (self.entries.len() + ahead + 1).saturating_sub(limit);
        if ahead < NEAR.min(limit) && too_many > 0 {
            let gone = too_many.min(self.entries.len());
            self.entries.drain(..gone);
            self.base = self.base.wrapping_add(gone as u32);
            self.give_memory_back();
        }
    }

    /// A number too far off to be watched: unless so many others are there that this is where the sender is now.
    fn beyond(&mut self, now: Moment, sn: u32, ts: u32) -> Judged {
        if !self.far_pushes.has_moved(sn) {
            return Judged { marks: Marks::BEYOND, transmission: 0, after: Duration::ZERO };
        }
        let entries = VecDeque::from([Entry::new(now, ts)]);
        *self = Self { entries, base: sn, started: true, missing: self.missing, ..Self::default() };
        Judged { marks: Marks::NEW, transmission: 1, after: Duration::ZERO }
    }

    fn give_memory_back(&mut self) {
        if self.entries.is_empty() {
            self.entries.shrink_to(IDLE_ROOM);
        } else if self.entries.capacity() > ROOM && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(2 * self.entries.len());
        }
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
            (self.base, self.started, self.una) = (una, true, Some(una));
            return;
        }
        let ahead = una.wrapping_sub(self.base) as i32;
        if !(-UNA_REACH..=UNA_REACH).contains(&ahead) {
            if self.far_unas.has_moved(una) {
                let missing = self.missing;
                *self = Self { base: una, started: true, una: Some(una), missing, ..Self::default() };
            }
            return;
        }
        self.far_unas = Far::default();
        if self.una.is_some_and(|known| una.wrapping_sub(known) as i32 <= 0) {
            return;
        }
        self.una = Some(una);
        // Otherwise all that is watched lies behind it.
        if let Ok(ahead) = usize::try_from(ahead) {
            self.drop_below(una, ahead);
        }
    }

    /// Nothing below `una` needs watching, which lies so many numbers behind the first entry.
    fn drop_below(&mut self, una: u32, ahead: usize) {
        let Self { entries, passed_over, missing, base, .. } = self;
        let known = entries.len().min(ahead);
        let unseen = entries.drain(..known).enumerate().filter(|(_, entry)| entry.transmissions == 0);
        let mut unseen_entries = 0;
        let unseen = unseen.map(|(n, _)| n).inspect(|_| unseen_entries += 1);
        // All count, but only the latest can be remembered.
        for n in unseen.chain(known.max(ahead.saturating_sub(REMEMBERED))..ahead) {
            if passed_over.len() == REMEMBERED {
                passed_over.pop_front();
            }
            passed_over.push_back(base.wrapping_add(n as u32));
        }
        *missing += unseen_entries + (ahead - known) as u64;
        *base = una;
        self.give_memory_back();
    }
}

#[cfg(test)]
mod tests {
    use super::{super::far::MOVED, *};

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn push(sent: &mut Sent, ms: u64, sn: u32, ts: u32) -> Marks {
        sent.new_datagram();
        sent.push(at(ms), sn, ts, MAX_TRACKED).marks
    }

    fn covered(sent: &mut Sent, una: u32) {
        sent.new_datagram();
        sent.covered(una);
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
        assert_eq!(sent.entries.len(), MAX_TRACKED);
        assert_eq!(push(&mut sent, 0, 0x7fff_ffff, 0), Marks::BEYOND);
        // Nobody has said that it arrived.
        assert_eq!(push(&mut sent, 0, 0x8000_0001, 0), Marks::BEYOND);
    }

    #[test]
    fn memory_is_given_back_and_a_far_una_takes_none() {
        let mut sent = Sent::default();
        push(&mut sent, 0, 0, 0);
        push(&mut sent, 0, MAX_TRACKED as u32 - 1, 0);
        sent.covered(MAX_TRACKED as u32 - 1);
        assert_eq!(sent.entries.len(), 1);
        assert!(sent.room() <= ROOM, "{}", sent.room());
        sent.covered(MAX_TRACKED as u32 - 1 + UNA_REACH as u32);
        assert_eq!(sent.missing, MAX_TRACKED as u64 - 2 + UNA_REACH as u64 - 1);
        assert_eq!(sent.passed_over.len(), REMEMBERED);
        assert!(sent.passed_over.capacity() <= 2 * REMEMBERED, "{}", sent.passed_over.capacity());
        let latest = MAX_TRACKED as u32 - 2 + UNA_REACH as u32;
        assert_eq!(push(&mut sent, 1, latest, 0), Marks::NEW | Marks::LATE);
        assert_eq!(push(&mut sent, 1, latest - REMEMBERED as u32, 0), Marks::NEEDLESS);
    }

    #[test]
    fn what_is_silent_keeps_next_to_no_memory() {
        let mut sent = Sent::default();
        for sn in 0..ROOM as u32 {
            push(&mut sent, 0, sn, 0);
        }
        assert!(sent.room() >= ROOM);
        sent.covered(ROOM as u32);
        assert!(sent.room() <= IDLE_ROOM, "{}", sent.room());
    }

    #[test]
    fn a_copy_that_a_retransmission_has_overtaken_is_a_copy() {
        let mut sent = Sent::default();
        push(&mut sent, 0, 5, 100);
        assert_eq!(push(&mut sent, 200, 5, 300), Marks::RETRANSMISSION);
        assert_eq!(push(&mut sent, 210, 5, 100), Marks::DUPLICATE);
        assert_eq!(sent.ack(at(260), 5, 300), Some(at(60)), "the latest is still the one of ts 300");
    }

    #[test]
    fn of_a_side_that_nobody_answers_all_is_new_however_long_it_goes_on() {
        let mut sent = Sent::default();
        for sn in 0..3 * MAX_TRACKED as u32 {
            assert_eq!(push(&mut sent, u64::from(sn), sn, sn), Marks::NEW, "{sn}");
        }
        assert_eq!((sent.entries.len(), sent.missing, sent.una()), (MAX_TRACKED, 0, None));
        // What is remembered is judged, what isn't is not.
        let last = 3 * MAX_TRACKED as u32 - 1;
        assert_eq!(push(&mut sent, 100_000, last, 100_000), Marks::RETRANSMISSION);
        assert_eq!(push(&mut sent, 100_000, 0, 100_000), Marks::BEYOND);
        // With few it goes on likewise.
        assert_eq!(sent.push(at(100_001), last + 1, 0, 64).marks, Marks::NEW);
        assert!(sent.entries.len() == 64 && sent.room() <= ROOM);
    }

    #[test]
    fn behind_a_hole_of_any_length_it_goes_on() {
        let mut sent = Sent::default();
        push(&mut sent, 0, 0, 0);
        sent.covered(1);
        let far = 1_000_000;
        for sn in far..far + MOVED - 1 {
            assert_eq!(push(&mut sent, 1, sn, 0), Marks::BEYOND);
        }
        // One that lies near what was known takes no part in that.
        assert_eq!(push(&mut sent, 1, 1, 0), Marks::NEW);
        for sn in far..far + MOVED - 1 {
            assert_eq!(push(&mut sent, 1, sn, 0), Marks::BEYOND);
        }
        assert_eq!(push(&mut sent, 2, far + MOVED, 0), Marks::NEW);
        sent.covered(far);
        sent.covered(far + MOVED + 1);
        assert_eq!((sent.una(), sent.missing), (Some(far + MOVED + 1), 0));
        // Nothing but what the other side says.
        let further = 2 * far;
        (0..MOVED).for_each(|n| covered(&mut sent, further + n));
        assert_eq!(sent.una(), Some(further + MOVED - 1));
        assert_eq!(push(&mut sent, 3, further + MOVED, 0), Marks::NEW);
    }
    #[test]
    fn one_datagram_full_of_lies_moves_nothing_and_any_number_within_reach_ends_a_row() {
        let mut sent = Sent::default();
        push(&mut sent, 0, 0, 0);
        push(&mut sent, 0, 1, 0);
        covered(&mut sent, 1);
        sent.new_datagram();
        for n in 0..100 {
            sent.covered(100_000 + n);
            assert_eq!(sent.push(at(1), 100_000 + n, 0, MAX_TRACKED).marks, Marks::BEYOND);
        }
        for n in 0..20 {
            // Lies take turns with what says nothing new.
            covered(&mut sent, 200_000 + n);
            covered(&mut sent, 1);
            assert_eq!(push(&mut sent, 2, 200_000 + n, 0), Marks::BEYOND);
            assert_eq!(push(&mut sent, 2, 1, 0), Marks::DUPLICATE);
        }
        assert_eq!((sent.una(), sent.missing, sent.in_flight()), (Some(1), 0, true));
    }
}
