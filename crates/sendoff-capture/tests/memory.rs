//! Memory stays below 200 MB for captures that are made to go beyond a bound: the most that a process of its own has used,
//! as the system says. The captures are made while they are read, so that nothing else is in that figure.
#![cfg(target_os = "linux")]

use sendoff_capture::{Dissector, Options, PacketReader, udp_packet};
use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Command as Cmd, Segment},
};
use std::{env, fs, io::Read, net::SocketAddr, process::Command};

/// What the documentation promises.
const MOST_KB: u64 = 200_000;

/// Set in the process that is measured.
const MEASURED: &str = "SENDOFF_MEASURED";

/// A capture in the old format, made as it is read: a packet for each number up to `count`.
struct Made<F> {
    count: usize,
    next: usize,
    make: F,
    packet: Vec<u8>,
    block: Vec<u8>,
    at: usize,
}

impl<F: FnMut(usize, &mut Vec<u8>)> Made<F> {
    fn new(count: usize, make: F) -> Self {
        let mut block = Vec::new();
        for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
            block.extend(field.to_le_bytes());
        }
        Self { count, next: 0, make, packet: Vec::new(), block, at: 0 }
    }
}

impl<F: FnMut(usize, &mut Vec<u8>)> Read for Made<F> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.block.len() && self.next < self.count {
            self.packet.clear();
            (self.make)(self.next, &mut self.packet);
            self.next += 1;
            self.block.clear();
            for field in [0, 0, self.packet.len() as u32, self.packet.len() as u32] {
                self.block.extend(field.to_le_bytes());
            }
            self.block.extend_from_slice(&self.packet);
            self.at = 0;
        }
        let len = out.len().min(self.block.len() - self.at);
        out[..len].copy_from_slice(&self.block[self.at..][..len]);
        self.at += len;
        Ok(len)
    }
}

/// Dissects a capture in a process of its own, which runs this test again; fails if that has used too much.
fn stays_small(test: &str, options: Options, count: usize, make: impl FnMut(usize, &mut Vec<u8>)) {
    if env::var_os(MEASURED).is_some() {
        let mut reader = PacketReader::new(Made::new(count, make)).unwrap();
        let mut dissector = Dissector::new(options);
        while let Some(packet) = reader.next_packet().unwrap() {
            dissector.packet(&packet);
            drop(dissector.take_forgotten());
        }
        assert_eq!(dissector.totals().packets, count as u64);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        println!("{MEASURED} {}", line.split_whitespace().nth(1).unwrap());
        return;
    }
    let args = [test, "--exact", "--nocapture"];
    let output = Command::new(env::current_exe().unwrap()).args(args).env(MEASURED, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (_, figure) = text.split_once(MEASURED).expect("the figure");
    let kb: u64 = figure.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kb > 1_000, "{kb} kB can't be all");
    assert!(kb < MOST_KB, "{} MB", kb / 1_000);
}

/// The client of a flow.
fn client(flow: usize) -> SocketAddr {
    ([10, 1, (flow >> 8) as u8, flow as u8], 7_000).into()
}

fn server() -> SocketAddr {
    ([10, 0, 0, 2], 29_900).into()
}

fn segment(command: Cmd, sn: u32, una: u32, data: &[u8]) -> Vec<u8> {
    let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(una), Timestamp(0));
    let mut out = Vec::new();
    Segment { conv: 7, command, fragment: 0, window: 32, timestamp, sn, una }.encode(data, &mut out);
    out
}

/// A segment of TCP from a client.
fn tcp(flow: usize, sequence: u32, data: &[u8], out: &mut Vec<u8>) {
    out.extend([0x45, 0]);
    out.extend((40 + data.len() as u16).to_be_bytes());
    out.extend([
        0,
        0,
        0,
        0,
        64,
        6,
        0,
        0,
        10,
        1,
        (flow >> 8) as u8,
        flow as u8,
        10,
        0,
        0,
        2,
        0x1b,
        0x58,
        0,
        80,
    ]);
    out.extend(sequence.to_be_bytes());
    out.extend([0, 0, 0, 0, 0x50, 0x10, 16, 0, 0, 0, 0, 0]);
    out.extend(data);
}

#[test]
fn unas_far_ahead_take_no_memory() {
    const FLOWS: usize = 16_384;
    stays_small("unas_far_ahead_take_no_memory", Options::default(), 3 * FLOWS, |n, out| {
        let una = (n / FLOWS) as u32 * 65_536;
        udp_packet(client(n % FLOWS), server(), &segment(Cmd::WindowTell, 0, una, b""), out).unwrap();
    });
}

#[test]
fn windows_full_of_numbers_take_little() {
    const FLOWS: usize = 4_000;
    // Two numbers as far apart as they may be, in each flow again and again; each time all that lies before is covered.
    stays_small("windows_full_of_numbers_take_little", Options::default(), 3 * FLOWS, |n, out| {
        let (flow, round) = (n % FLOWS, (n / FLOWS) as u32);
        let content = [
            segment(Cmd::Push, round * 32_767, 0, b"x"),
            segment(Cmd::Push, round * 32_767 + 32_766, round * 32_767, b"x"),
        ];
        udp_packet(client(flow), server(), &content.concat(), out).unwrap();
    });
}

#[test]
fn what_waits_behind_a_hole_in_many_connections_of_tcp_is_given_up() {
    const FLOWS: usize = 300;
    let data = [b'x'; 1_400];
    let test = "what_waits_behind_a_hole_in_many_connections_of_tcp_is_given_up";
    stays_small(test, Options::default(), FLOWS * 2_900, |n, out| {
        let (flow, piece) = (n % FLOWS, (n / FLOWS) as u32);
        // The second segment is missing.
        tcp(flow, if piece == 0 { 0 } else { 1_400 * (piece + 1) }, &data, out);
    });
}

#[test]
fn single_bytes_that_wait_count_with_what_they_cost() {
    const FLOWS: usize = 4_000;
    stays_small(
        "single_bytes_that_wait_count_with_what_they_cost",
        Options::default(),
        FLOWS * 600,
        |n, out| {
            tcp(n % FLOWS, 2 * (n / FLOWS) as u32, b"x", out);
        },
    );
}

#[test]
fn the_shards_of_many_flows_are_forgotten() {
    const FLOWS: usize = 1_024;
    stays_small("the_shards_of_many_flows_are_forgotten", Options::default(), FLOWS * 250, |n, out| {
        let (flow, seqid) = (n % FLOWS, (n / FLOWS) as u32);
        let content = segment(Cmd::Push, seqid, 0, b"");
        let size = (content.len() + 2) as u16;
        // Nothing but data: the ratio stays unknown, and the shards are kept for it.
        let shard = [&seqid.to_le_bytes()[..], &[0xf1, 0], &size.to_le_bytes(), &content].concat();
        udp_packet(client(flow), server(), &shard, out).unwrap();
    });
}

#[test]
fn chunks_of_snappy_that_are_never_whole_take_little() {
    const FLOWS: usize = 4_000;
    let options = Options { smux: true, ..Options::default() };
    // An identifier, and a chunk of 76,000 bytes that lacks its end.
    let begin = [&b"\xff\x06\x00\x00sNaPpY"[..], &[0, 0xe0, 0x28, 1]].concat();
    let data = [0; 1_380];
    stays_small("chunks_of_snappy_that_are_never_whole_take_little", options, FLOWS * 54, |n, out| {
        let (flow, sn) = (n % FLOWS, (n / FLOWS) as u32);
        let content = if sn == 0 { &begin[..] } else { &data };
        udp_packet(client(flow), server(), &segment(Cmd::Push, sn, 0, content), out).unwrap();
    });
}

#[test]
fn sessions_of_smux_that_gave_way_take_little() {
    const FLOWS: usize = 4_000;
    let options = Options { smux: true, ..Options::default() };
    // As many streams as are told one by one, in both directions.
    let opened = |from: u32| -> Vec<u8> {
        (from..from + 128).flat_map(|stream| [&[1, 0, 0, 0][..], &stream.to_le_bytes()].concat()).collect()
    };
    let halves = [opened(0), opened(128)];
    stays_small("sessions_of_smux_that_gave_way_take_little", options, FLOWS * 4, |n, out| {
        let (flow, half) = (n / 4, n % 2);
        let content = segment(Cmd::Push, half as u32, 0, &halves[half]);
        let (from, to) = if n % 4 < 2 { (client(flow), server()) } else { (server(), client(flow)) };
        udp_packet(from, to, &content, out).unwrap();
    });
}

#[test]
fn a_flood_of_empty_lines_leaves_nothing_behind() {
    const FLOWS: usize = 4_000;
    let options = Options { framing: Some(sendoff_capture::stream::Framing::Lines), ..Options::default() };
    let lines = [b'\n'; 60_000];
    // They come at once, with the byte that they waited for.
    stays_small("a_flood_of_empty_lines_leaves_nothing_behind", options, FLOWS * 3, |n, out| {
        let flow = n / 3;
        match n % 3 {
            0 => tcp(flow, 0, b"\n", out),
            1 => tcp(flow, 2, &lines, out),
            _ => tcp(flow, 1, b"\n", out),
        }
    });
}
