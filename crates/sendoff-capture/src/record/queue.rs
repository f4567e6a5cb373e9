//! What waits to be written: bounded, and a push never waits for the disk.

use sendoff_proto::{Cipher, Direction};
use std::{
    net::SocketAddr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Bytes that may wait to be written: 8 MiB. The thread that writes holds as much again while it works.
pub const MAX_QUEUED: usize = 8 << 20;

/// What a record costs in the queue beside its bytes.
pub const RECORD_COST: usize = 128;

/// How long the writer lets records gather once it has caught up: a wake-up for each datagram would cost the endpoint
/// more than the copy.
const NAP: Duration = Duration::from_millis(10);

/// A datagram, without its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) at: Instant,
    pub(super) direction: Direction,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) cipher: Cipher,
    /// Bytes that it has on the wire.
    pub(super) wire_len: u32,
    /// Whether its bytes are those inside the seal.
    pub(super) is_open: bool,
    /// Whether the endpoint could open it.
    pub(super) can_be_opened: bool,
    /// Bytes that are kept of it; set by [`Queue::push`].
    pub(super) len: u32,
    /// Records that were dropped before it; set by [`Queue::push`].
    pub(super) lost_before: u64,
}

/// Records in their order, with their bytes one behind the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<Record>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Each record with its bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Record, &[u8])> {
        let mut rest = &self.bytes[..];
        self.records.iter().map(move |record| {
            let (bytes, behind) = rest.split_at(record.len as usize);
            rest = behind;
            (record, bytes)
        })
    }

    fn cost(&self) -> usize {
        self.bytes.len() + self.records.len() * RECORD_COST
    }

    fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
    }
}

/// What the writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Busy,
    /// For a moment: it wakes by itself.
    Naps,
    Sleeps,
}

#[derive(Debug)]
struct Pending {
    batch: Batch,
    /// Dropped since the last record that was kept.
    lost: u64,
    ended: bool,
    writer: Writer,
}

/// Between the taps of an endpoint and the thread that writes.
#[derive(Debug)]
pub(super) struct Queue {
    pending: Mutex<Pending>,
    wake: Condvar,
    bound: usize,
    stopped: AtomicBool,
    lost: AtomicU64,
    after_stop: AtomicU64,
}

impl Queue {
    pub(super) fn new(bound: usize) -> Self {
        let pending = Pending { batch: Batch::default(), lost: 0, ended: false, writer: Writer::Busy };
        Self {
            pending: Mutex::new(pending),
            wake: Condvar::new(),
            bound,
            stopped: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            after_stop: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record, or counts it as lost. The lock is held elsewhere for a few instructions at most.
    pub(super) fn push(&self, record: Record, bytes: &[u8]) {
        if self.stopped.load(Ordering::Relaxed) {
            self.after_stop.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut pending = self.lock();
        if pending.batch.cost() + bytes.len() + RECORD_COST > self.bound {
            pending.lost += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost_before = std::mem::take(&mut pending.lost);
        // A datagram is far shorter than 4 GiB.
        let record = Record { len: bytes.len() as u32, lost_before, ..record };
        pending.batch.records.push(record);
        pending.batch.bytes.extend_from_slice(bytes);
        let wake = match pending.writer {
            Writer::Busy => false,
            Writer::Naps => pending.batch.cost() > self.bound / 2,
            Writer::Sleeps => true,
        };
        if wake {
            pending.writer = Writer::Busy;
            drop(pending);
            self.wake.notify_one();
        }
    }

    /// Exchanges `batch` for what waits, once there is something; false at the end, when there is nothing more.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        batch.clear();
        let mut pending = self.lock();
        if !pending.ended && !pending.batch.records.is_empty() && pending.batch.cost() <= self.bound / 2 {
            pending = self.wait(pending, Writer::Naps, Some(NAP));
        }
        while pending.batch.records.is_empty() {
            if pending.ended {
                return false;
            }
            pending = self.wait(pending, Writer::Sleeps, None);
        }
        pending.writer = Writer::Busy;
        std::mem::swap(&mut pending.batch, batch);
        true
    }

    fn wait<'a>(
        &self,
        mut pending: MutexGuard<'a, Pending>,
        how: Writer,
        most: Option<Duration>,
    ) -> MutexGuard<'a, Pending> {
        pending.writer = how;
        match most {
            Some(most) => self.wake.wait_timeout(pending, most).unwrap_or_else(PoisonError::into_inner).0,
            None => self.wake.wait(pending).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Nothing more is taken.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// The recording is over once what waits has been taken.
    pub(super) fn end(&self) {
        self.stop();
        self.lock().ended = true;
        self.wake.notify_one();
    }

    /// Records for which there was no room.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Records that were lost for want of room, and those that came too late; to be counted by the writer too, if it
    /// has left some of what it took.
    pub(super) fn not_recorded(&self) -> (u64, u64) {
        (self.lost(), self.after_stop.load(Ordering::Relaxed))
    }

    /// A record that was taken isn't written, because the file is full or broken.
    pub(super) fn left_out(&self) {
        self.after_stop.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, thread};

    fn record() -> Record {
        let address = "127.0.0.1:1".parse().unwrap();
        Record {
            at: Instant::now(),
            direction: Direction::Sent,
            local: address,
            peer: address,
            cipher: Cipher::Null,
            wire_len: 0,
            is_open: true,
            can_be_opened: true,
            len: 0,
            lost_before: 0,
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_with_the_next() {
        let queue = Queue::new(3 * (RECORD_COST + 10));
        for _ in 0..5 {
            queue.push(record(), &[7; 10]);
        }
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch));
        assert_eq!((batch.iter().count(), queue.lost()), (3, 2));
        queue.push(record(), b"later");
        assert!(queue.take(&mut batch));
        let taken: Vec<_> = batch.iter().map(|(record, bytes)| (record.lost_before, bytes)).collect();
        assert_eq!(taken, [(2, &b"later"[..])]);
    }

    #[test]
    fn what_waits_at_the_end_is_taken_and_nothing_after_it() {
        let queue = Queue::new(MAX_QUEUED);
        queue.push(record(), b"one");
        queue.end();
        queue.push(record(), b"two");
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch));
        assert_eq!(batch.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), [b"one"]);
        assert!(!queue.take(&mut batch));
        assert_eq!(queue.not_recorded(), (0, 1));
    }

    #[test]
    fn a_writer_that_sleeps_is_woken_by_a_record_and_by_the_end() {
        let queue = Arc::new(Queue::new(MAX_QUEUED));
        let writer = thread::spawn({
            let queue = queue.clone();
            move || {
                let (mut batch, mut taken) = (Batch::default(), 0);
                while queue.take(&mut batch) {
                    taken += batch.iter().count();
                }
                taken
            }
        });
        for _ in 0..1_000 {
            queue.push(record(), &[0; 100]);
        }
        while queue.lock().writer != Writer::Sleeps {
            thread::yield_now();
        }
        queue.push(record(), b"one more");
        queue.end();
        assert_eq!(writer.join().unwrap(), 1_001);
    }
}
