//! Captures: those that are checked in, and made ones.

use sendoff_capture::{
    LinkType, PacketReader, PcapngWriter,
    file::{InterfaceId, InterfaceStatistics, PacketNotes},
    udp_packet,
};
use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Command, Segment},
};
use std::{fs, net::SocketAddr, path::Path, time::Duration};

/// Those that are checked in, with their names.
pub fn checked_in() -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    sendoff_interop::captures::checked_in().iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// One of them.
pub fn named(wanted: &str) -> Vec<u8> {
    checked_in().into_iter().find(|(name, _)| name == wanted).unwrap().1
}

/// Writes packets between two addresses.
pub struct Made {
    writer: PcapngWriter<Vec<u8>>,
    interface: InterfaceId,
    now: Duration,
}

pub const CLIENT: &str = "192.0.2.1:40000";
pub const SERVER: &str = "198.51.100.7:8080";

impl Made {
    pub fn new() -> Self {
        let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
        let interface = writer.interface(LinkType::RAW, "test0").unwrap();
        Self { writer, interface, now: Duration::from_secs(1_795_000_000) }
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// A datagram from one to the other, with comments.
    pub fn datagram(&mut self, from: &str, to: &str, payload: &[u8], comments: &[&str]) {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let mut packet = Vec::new();
        udp_packet(from, to, payload, &mut packet).unwrap();
        self.writer.packet(self.interface, self.now, &packet, comments).unwrap();
    }

    /// So many packets passed and aren't in it.
    pub fn lacks(&mut self, dropped: u64) {
        let statistics = InterfaceStatistics { dropped, ..InterfaceStatistics::default() };
        self.writer.statistics(self.interface, &statistics).unwrap();
    }

    /// The file.
    pub fn file(self) -> Vec<u8> {
        self.writer.into_inner()
    }
}

/// A segment of conversation 7.
pub fn segment(command: Command, sn: u32, una: u32, timestamp: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(una), Timestamp(timestamp));
    Segment { conv: 7, command, fragment: 0, window: 128, timestamp, sn, una }.encode(data, &mut out);
    out
}

/// A long transfer with round trips, losses and silences, of `count` packets.
pub fn long(count: u32) -> Vec<u8> {
    let (mut made, mut sn, mut written) = (Made::new(), 0, 0);
    let ts = |made: &Made| made.now.as_millis() as u32;
    while written < count {
        // A flight of eight; the third of some is lost behind the capture, and sent again.
        let sent = ts(&made);
        for n in 0..8 {
            made.datagram(CLIENT, SERVER, &segment(Command::Push, sn + n, 0, sent, b"some of the data"), &[]);
            made.wait(Duration::from_micros(40));
        }
        written += 8;
        made.wait(Duration::from_millis(20));
        if sn.is_multiple_of(80) {
            let again = ts(&made);
            let acks: Vec<u8> = (0..8)
                .filter(|n| *n != 2)
                .flat_map(|n| segment(Command::Ack, sn + n, sn + 2, sent, b""))
                .collect();
            made.datagram(SERVER, CLIENT, &acks, &[]);
            made.wait(Duration::from_millis(200));
            made.datagram(
                CLIENT,
                SERVER,
                &segment(Command::Push, sn + 2, 0, again + 200, b"some of the data"),
                &[],
            );
            made.wait(Duration::from_millis(20));
            made.datagram(SERVER, CLIENT, &segment(Command::Ack, sn + 2, sn + 8, again + 200, b""), &[]);
            written += 3;
        } else {
            made.datagram(SERVER, CLIENT, &segment(Command::Ack, sn + 7, sn + 8, sent, b""), &[]);
            written += 1;
        }
        sn += 8;
        made.wait(Duration::from_millis(1));
    }
    made.file()
}

/// So many PUSHes of one number with other times, then as many ACKs that answer none of them.
pub fn one_number(count: u32) -> Vec<u8> {
    const AT_ONCE: u32 = 50;
    let mut made = Made::new();
    let push = |ts| segment(Command::Push, 0, 0, ts, b"x");
    for ts in (1..count).step_by(AT_ONCE as usize) {
        made.datagram(CLIENT, SERVER, &(ts..ts + AT_ONCE).flat_map(push).collect::<Vec<u8>>(), &[]);
    }
    let ack = segment(Command::Ack, 0, 0, 0, b"").repeat(AT_ONCE as usize);
    (0..count / AT_ONCE).for_each(|_| made.datagram(SERVER, CLIENT, &ack, &[]));
    made.file()
}

/// Two conversations of a packet each, 126 years apart: of the seconds between them a microsecond is a part that a
/// `double` can hardly tell.
pub fn a_century_apart() -> Vec<u8> {
    let mut made = Made::new();
    made.now = Duration::ZERO;
    made.datagram("192.0.2.9:9", SERVER, &segment(Command::Push, 0, 0, 0, b"x"), &[]);
    made.wait(Duration::from_secs(4_000_000_000));
    made.datagram(CLIENT, SERVER, &segment(Command::Push, 0, 0, 0, b"x"), &[]);
    made.file()
}

/// A capture as it would be if only so many bytes of each packet had been kept.
pub fn cut(file: &[u8], kept: usize) -> Vec<u8> {
    let mut reader = PacketReader::new(file).unwrap();
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let interface = writer.interface(LinkType::ETHERNET, "test0").unwrap();
    while let Some(packet) = reader.next_packet().unwrap() {
        let data = &packet.data[..packet.data.len().min(kept)];
        let notes = PacketNotes { original_len: Some(packet.original_len), ..PacketNotes::default() };
        writer.packet_with(interface, packet.time.unwrap(), data, &notes).unwrap();
    }
    writer.into_inner()
}
