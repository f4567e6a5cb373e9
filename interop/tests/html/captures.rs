//! Captures: those that are checked in, and made ones.

use sendoff_capture::{
    LinkType, PcapngWriter,
    file::{InterfaceId, InterfaceStatistics},
    udp_packet,
};
use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Command, Segment},
};
use std::{ffi::OsStr, fs, net::SocketAddr, time::Duration};

/// Those that are checked in, with their names.
pub fn checked_in() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for place in ["../crates/sendoff-capture/tests/captures", "../crates/sendoff-proto/tests/captures"] {
        for path in fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()) {
            if path.extension() == Some(OsStr::new("pcapng")) {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                all.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    assert!(all.len() >= 21, "captures are missing: {}", all.len());
    all
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
