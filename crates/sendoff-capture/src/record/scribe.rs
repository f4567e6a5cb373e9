//! The thread that writes: records become packets, with comments that say what dissection says.

use super::{
    OnStop, RecordTotals, Stopped,
    addresses::OwnAddresses,
    queue::{Batch, Queue, Record},
};
use crate::{
    Dissector, Options, Packet, PcapngWriter,
    file::{Comments, InterfaceId, InterfaceStatistics, LinkType, PacketNotes, PacketWay, WriteError},
    report::{Lines, Signs},
    synthesize::udp_packet,
};
use sendoff_proto::{Cipher, Direction};
use std::{
    fmt::Write as _,
    io::Write,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Bytes of the file that are kept for the statistics at its end.
const RESERVE: u64 = 1_024;

/// Turns the clock of the records into time since 1970.
#[derive(Clone, Copy, Debug)]
struct Clock {
    instant: Instant,
    since_1970: Duration,
}

impl Clock {
    fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), since_1970 }
    }

    fn time(self, at: Instant) -> Duration {
        match at.checked_duration_since(self.instant) {
            Some(later) => self.since_1970.saturating_add(later),
            None => self.since_1970.saturating_sub(self.instant.duration_since(at)),
        }
    }
}

/// Writes the file.
pub(super) struct Scribe<W> {
    writer: PcapngWriter<W>,
    interface: InterfaceId,
    limit: u64,
    queue: Arc<Queue>,
    clock: Clock,
    addresses: OwnAddresses,
    /// What a reader of the file will say of each packet.
    dissector: Dissector,
    lines: Lines,
    recorded: u64,
    /// Of these, those that the file may not have yet.
    unflushed: u64,
    stopped: Option<Stopped>,
    packet: Vec<u8>,
    way: String,
    words: String,
}

impl<W: Write> Scribe<W> {
    pub(super) fn new(
        writer: PcapngWriter<W>,
        interface: InterfaceId,
        limit: u64,
        queue: Arc<Queue>,
    ) -> Self {
        Self {
            writer,
            interface,
            limit,
            queue,
            clock: Clock::new(),
            addresses: OwnAddresses::default(),
            dissector: Dissector::new(Options::default()),
            lines: Lines::new(Signs::UNICODE),
            recorded: 0,
            unflushed: 0,
            stopped: None,
            packet: Vec::new(),
            way: String::new(),
            words: String::new(),
        }
    }

    /// Writes until the recording is over.
    pub(super) fn run(mut self, on_stop: OnStop) -> RecordTotals {
        let (mut batch, mut on_stop) = (Batch::default(), Some(on_stop));
        while self.queue.take(&mut batch) {
            for (record, bytes) in batch.iter() {
                self.record(record, bytes);
            }
            if self.stopped.is_none() {
                let flushed = self.writer.flush();
                self.note(flushed.map_err(WriteError::from));
                if self.stopped.is_none() {
                    self.unflushed = 0;
                }
            }
            if let Some(stopped) = &self.stopped
                && let Some(tell) = on_stop.take()
            {
                tell(stopped);
            }
        }
        self.end();
        let (lost, after_stop) = self.queue.not_recorded();
        let Self { recorded, stopped, .. } = self;
        RecordTotals { recorded, lost, after_stop, bytes: self.writer.written(), stopped }
    }

    fn record(&mut self, record: &Record, bytes: &[u8]) {
        if self.stopped.is_some() {
            return self.queue.left_out();
        }
        let local = self.addresses.resolve(record.local, record.peer);
        let (source, destination, way) = match record.direction {
            Direction::Sent => (local, record.peer, PacketWay::Outbound),
            Direction::Received => (record.peer, local, PacketWay::Inbound),
        };
        if udp_packet(source, destination, bytes, &mut self.packet).is_err() {
            // No socket takes or gives such a datagram.
            return self.queue.left_out();
        }
        let time = self.clock.time(record.at);
        say_way(record, &mut self.way);
        self.say_what(record, time);
        let comments = [self.way.as_str(), self.words.as_str()];
        let comments = if self.words.is_empty() { &comments[..1] } else { &comments[..] };
        let lost_before = record.lost_before;
        let notes = PacketNotes { comments, way: Some(way), lost_before, original_len: None };
        if self.writer.written_with(&self.packet, &notes) + RESERVE > self.limit {
            self.stop(Stopped::Limit { limit: self.limit });
            return self.queue.left_out();
        }
        let written = self.writer.packet_with(self.interface, time, &self.packet, &notes);
        self.recorded += 1;
        self.unflushed += 1;
        self.note(written);
    }

    /// In words, what is in it. Of what stays sealed nothing is told: the file says no more than the wire.
    fn say_what(&mut self, record: &Record, time: Duration) {
        self.words.clear();
        if !record.is_open {
            return;
        }
        let packet = Packet {
            number: self.recorded + 1,
            time: Some(time),
            interface: 0,
            link: LinkType::RAW,
            // Both lengths fit: an IP packet has 65,575 bytes at most.
            original_len: self.packet.len() as u32,
            data: &self.packet,
            offset: 0,
            comments: Comments::default(),
        };
        let dissected = self.dissector.packet(&packet);
        self.lines.words(&dissected, &mut self.words);
        drop(self.dissector.take_forgotten());
    }

    fn note(&mut self, written: Result<(), WriteError>) {
        if let Err(error) = written {
            // How much of it the file has nobody can tell.
            self.recorded -= self.unflushed;
            (0..self.unflushed).for_each(|_| self.queue.left_out());
            self.unflushed = 0;
            self.stop(Stopped::Failed { problem: error.to_string() });
        }
    }

    fn stop(&mut self, why: Stopped) {
        self.queue.stop();
        self.stopped.get_or_insert(why);
    }

    /// What became of it all, at the end of the file.
    fn end(&mut self) {
        if matches!(self.stopped, Some(Stopped::Failed { .. })) {
            return;
        }
        let (lost, after_stop) = self.queue.not_recorded();
        // Those that came when all was over belong to no statistics.
        let after_stop = if self.stopped.is_some() { after_stop } else { 0 };
        let mut comments = Vec::new();
        if lost > 0 {
            comments.push(format!("{lost} datagrams are missing: they came too fast to be written"));
        }
        if let Some(stopped) = &self.stopped {
            comments.push(format!("{stopped}; {after_stop} datagrams passed after that"));
        }
        let comments: Vec<&str> = comments.iter().map(String::as_str).collect();
        let statistics = InterfaceStatistics {
            start: self.clock.since_1970,
            end: self.clock.time(Instant::now()),
            received: self.recorded + lost + after_stop,
            dropped: lost + after_stop,
            comments: &comments,
        };
        let written = self.writer.statistics(self.interface, &statistics);
        let written = written.and_then(|()| self.writer.flush());
        self.note(written.map_err(WriteError::from));
    }
}

/// Which way it went, and how it is on the wire.
fn say_way(record: &Record, out: &mut String) {
    out.clear();
    out.push_str(match record.direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    });
    let (cipher, wire_len) = (record.cipher, record.wire_len);
    _ = match (cipher, record.is_open, record.can_be_opened) {
        (Cipher::Null, ..) => Ok(()),
        (_, true, _) => write!(out, ", on the wire {wire_len} bytes of {cipher}"),
        (_, false, true) => write!(out, ", sealed with {cipher}"),
        (_, false, false) => write!(out, ", {cipher} does not open it: as it came"),
    };
    if record.lost_before > 0 {
        _ = write!(out, "; {} before it are missing: they came too fast to be written", record.lost_before);
    }
}
