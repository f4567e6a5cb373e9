//! Files of every kind are read as they were written; broken ones end with an error that says where, and what
//! was whole before it is still handed out.

mod common;

use common::{all_captures, capture};
use pcap_parser::{Block, PcapBlockOwned, PcapNGSlice};
use sendoff_capture::{
    LinkType, PacketReader, PcapngWriter, ReadError,
    file::{FileKind, MAX_BLOCK, ReadProblem, WriteError},
};
use std::{
    io::{self, Read},
    time::Duration,
};

type Row = (Option<Duration>, LinkType, u32, Vec<u8>);

/// All packets up to the end or the error.
fn read(bytes: impl Read) -> (Vec<Row>, Result<(), ReadError>) {
    let mut reader = match PacketReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut rows = Vec::new();
    loop {
        match reader.next_packet() {
            Ok(None) => return (rows, Ok(())),
            Ok(Some(p)) => rows.push((p.time, p.link, p.original_len, p.data.to_vec())),
            Err(error) => {
                assert!(reader.next_packet().unwrap().is_none(), "nothing comes after an error");
                return (rows, Err(error));
            }
        }
    }
}

/// Gives one byte at a time, now and then none: as a pipe may.
struct Drip<'a>(&'a [u8], bool);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = self.0.len().min(1).min(out.len());
        out[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn every_capture_reads_as_with_another_reader() {
    for (name, file) in all_captures() {
        let mut expected = Vec::new();
        for block in PcapNGSlice::from_slice(&file).unwrap() {
            if let PcapBlockOwned::NG(Block::EnhancedPacket(p)) = block.unwrap() {
                // Nanoseconds, as all of them have.
                let ticks = u64::from(p.ts_high) << 32 | u64::from(p.ts_low);
                let data = p.data[..p.caplen as usize].to_vec();
                expected.push((Some(Duration::from_nanos(ticks)), LinkType::ETHERNET, p.origlen, data));
            }
        }
        let (rows, end) = read(&file[..]);
        end.unwrap();
        assert!(!rows.is_empty(), "{name}");
        assert_eq!(rows, expected, "{name}");
    }
}

#[test]
fn a_file_that_comes_byte_by_byte_reads_the_same() {
    let file = capture("plain-echo");
    assert_eq!(read(Drip(&file, false)).0, read(&file[..]).0);
}

#[test]
fn what_is_written_reads_the_same_here_and_elsewhere() {
    let mut writer = PcapngWriter::new(Vec::new(), "sendoff").unwrap();
    let raw = writer.interface(LinkType::RAW, "any").unwrap();
    let ethernet = writer.interface(LinkType::ETHERNET, "eth0").unwrap();
    let time = Duration::new(1_795_000_000, 123_456_789);
    writer.packet(raw, time, b"abcde", &["first", "zweiter Kommentar: ü"]).unwrap();
    writer.packet(ethernet, time + Duration::from_nanos(1), b"", &[]).unwrap();
    writer.packet(raw, Duration::ZERO, &[7; 70_000], &[&"x".repeat(70_000)]).unwrap();
    let written = writer.written();
    let file = writer.into_inner();
    assert_eq!(written, file.len() as u64);

    let (rows, end) = read(&file[..]);
    end.unwrap();
    assert_eq!(rows[0], (Some(time), LinkType::RAW, 5, b"abcde".to_vec()));
    assert_eq!(rows[1], (Some(time + Duration::from_nanos(1)), LinkType::ETHERNET, 0, Vec::new()));
    assert_eq!((rows[2].0, rows[2].3.len(), rows.len()), (Some(Duration::ZERO), 70_000, 3));
    let mut reader = PacketReader::new(&file[..]).unwrap();
    let comments: Vec<_> = reader.next_packet().unwrap().unwrap().comments.map(<[u8]>::to_vec).collect();
    assert_eq!(comments, [b"first".to_vec(), "zweiter Kommentar: ü".into()]);
    reader.next_packet().unwrap();
    let cut = reader.next_packet().unwrap().unwrap().comments.map(<[u8]>::len).collect::<Vec<_>>();
    assert_eq!(cut, [65_535]);

    let blocks: Vec<_> = PcapNGSlice::from_slice(&file).unwrap().map(|block| block.is_ok()).collect();
    assert_eq!(blocks, [true; 6]);
}

#[test]
fn a_packet_that_no_reader_would_take_is_not_written() {
    let mut writer = PcapngWriter::new(Vec::new(), "sendoff").unwrap();
    let raw = writer.interface(LinkType::RAW, "any").unwrap();
    let refused = writer.packet(raw, Duration::ZERO, &vec![0; MAX_BLOCK], &[]);
    assert!(matches!(refused, Err(WriteError::TooLarge { .. })), "{refused:?}");
    writer.packet(raw, Duration::ZERO, &vec![0; MAX_BLOCK - 36], &[]).unwrap();
    assert_eq!(read(&writer.into_inner()[..]).0.len(), 1);
}

/// A pcap file of two packets.
fn pcap(magic: u32, big: bool, link: u32) -> Vec<u8> {
    let order = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut file = [order(magic), version, [0; 4], [0; 4], order(65_535), order(link)].concat();
    for (fraction, data, original) in [(5, &b"abc"[..], 3), (999, b"defgh", 1_000)] {
        let len = data.len() as u32;
        file.extend([order(1_700_000_000), order(fraction), order(len), order(original)].concat());
        file.extend(data);
    }
    file
}

#[test]
fn pcap_of_both_orders_and_both_units_is_read() {
    for (magic, unit) in [(0xa1b2_c3d4_u32, 1_000), (0xa1b2_3c4d, 1)] {
        for big in [false, true] {
            let file = pcap(magic, big, 101);
            let time = |n: u32| Some(Duration::new(1_700_000_000, n * unit));
            let expected = [
                (time(5), LinkType::RAW, 3, b"abc".to_vec()),
                (time(999), LinkType::RAW, 1_000, b"defgh".to_vec()),
            ];
            let (rows, end) = read(&file[..]);
            end.unwrap();
            assert_eq!(rows, expected);
            assert_eq!(PacketReader::new(&file[..]).unwrap().kind(), FileKind::Pcap);
        }
    }
}

/// A block of pcapng; `body` has a multiple of 4 bytes.
fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let order = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let len = order(12 + body.len() as u32);
    [&order(kind)[..], &len, body, &len].concat()
}

fn section(big: bool) -> Vec<u8> {
    let order = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let version: [u8; 4] = if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
    block(big, 0x0a0d_0d0a, &[&order(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat())
}

fn interface(big: bool, link: u16, snap_len: u32, options: &[u8]) -> Vec<u8> {
    let link = if big { link.to_be_bytes() } else { link.to_le_bytes() };
    let snap_len = if big { snap_len.to_be_bytes() } else { snap_len.to_le_bytes() };
    block(big, 1, &[&link[..], &[0; 2], &snap_len, options].concat())
}

fn enhanced(big: bool, fields: [u32; 5], data: &[u8]) -> Vec<u8> {
    let order = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut body = fields.map(order).concat();
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    block(big, 6, &body)
}

#[test]
fn sections_of_different_order_and_interfaces_of_different_clocks_follow_each_other() {
    let mut file = section(true);
    // Milliseconds, and 2^-10 s with an offset of 100 s.
    file.extend(interface(true, 101, 0, &[0, 9, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0]));
    let offset = [0, 9, 0, 1, 0x8a, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 100];
    file.extend(interface(true, 1, 0, &offset));
    file.extend(enhanced(true, [0, 0, 5_250, 3, 3], b"abc"));
    file.extend(enhanced(true, [1, 0, 1_024 + 512, 1, 9], b"x"));
    // A block of an unknown kind says nothing about packets.
    file.extend(block(true, 0x7777, &[1; 32]));
    file.extend(section(false));
    // A simple packet: no time, cut to the first interface's capture length.
    file.extend(interface(false, 228, 2, &[]));
    file.extend(block(false, 3, &[7, 0, 0, 0, b'h', b'i', 0, 0]));
    // An obsolete packet block: interface and drops in one word.
    file.extend(block(
        false,
        2,
        &[&[0; 4][..], &[0, 0, 0, 0, 0x40, 0x42, 0x0f, 0, 1, 0, 0, 0, 1, 0, 0, 0], b"o\0\0\0"].concat(),
    ));
    let (rows, end) = read(&file[..]);
    end.unwrap();
    assert_eq!(
        rows,
        [
            (Some(Duration::from_millis(5_250)), LinkType::RAW, 3, b"abc".to_vec()),
            (Some(Duration::from_millis(101_500)), LinkType::ETHERNET, 9, b"x".to_vec()),
            (None, LinkType::IPV4, 7, b"hi".to_vec()),
            (Some(Duration::from_secs(1)), LinkType::IPV4, 1, b"o".to_vec()),
        ]
    );
}

#[test]
fn a_capture_cut_at_every_byte_gives_what_was_whole_and_says_where_it_breaks() {
    for file in [capture("plain-echo"), pcap(0xa1b2_c3d4, false, 1)] {
        let whole = read(&file[..]).0;
        let mut seen = 0;
        for len in 0..file.len() {
            let (rows, end) = read(&file[..len]);
            assert_eq!(rows, whole[..rows.len()], "cut to {len}");
            assert!(rows.len() >= seen, "cut to {len}");
            seen = rows.len();
            if let Err(error) = end {
                assert!(error.offset <= len as u64, "cut to {len}: {error}");
                let known = matches!(
                    error.problem,
                    ReadProblem::CutOff { .. } | ReadProblem::Empty | ReadProblem::NotACapture { .. }
                );
                assert!(known, "cut to {len}: {error}");
            }
        }
        assert!(seen + 1 >= whole.len());
    }
}

#[track_caller]
fn refused(file: &[u8], packets: usize, offset: usize, words: &str) {
    let (rows, end) = read(file);
    let error = end.unwrap_err();
    assert_eq!((rows.len(), error.offset), (packets, offset as u64), "{error}");
    let text = error.to_string();
    assert!(text.contains(words) && text.starts_with(&format!("at byte {offset}: ")), "{text}");
}

#[test]
fn what_lies_is_refused_with_its_place() {
    refused(b"", 0, 0, "empty");
    refused(b"\x0a\x0d", 0, 0, "begins with [0a, 0d]");
    refused(b"GET / HTTP/1.1\r\n", 0, 0, "begins with [47, 45, 54, 20]");
    refused(&pcap(0xa1b2_cd34, false, 1), 0, 0, "modified");
    let mut file = section(false);
    file[8] = 0;
    refused(&file, 0, 0, "byte-order magic 0x1a2b3c00");
    let mut file = section(false);
    file[12] = 9;
    refused(&file, 0, 0, "version 9.0");

    let front =
        [section(false), interface(false, 1, 0, &[]), enhanced(false, [0, 0, 0, 4, 4], b"good")].concat();
    let with = |more: &[u8]| [&front[..], more].concat();
    let at = front.len();
    refused(&with(&enhanced(false, [1, 0, 0, 4, 4], b"good")), 1, at, "interface 1, but 1 are described");
    refused(&with(&enhanced(false, [0, 0, 0, 5, 5], b"good")), 1, at, "5 bytes in a block with room for 4");
    refused(&with(&enhanced(false, [0, 0, 0, u32::MAX, 4], b"good")), 1, at, "a packet of 4294967295");
    refused(&with(&block(false, 6, b"abcd")), 1, at, "type 0x6 can't have 16 bytes");
    let mut lies = with(&enhanced(false, [0, 0, 0, 4, 4], b"good"));
    let end = lies.len();
    lies[end - 4] = 99;
    refused(&lies, 1, at, "length is 36 in front and 99 at its end");
    for (len, words) in
        [(8_u32, "can't have 8"), (37, "can't have 37"), (u32::MAX - 3, "more than the 4194304")]
    {
        let mut lies = with(&enhanced(false, [0, 0, 0, 4, 4], b"good"));
        lies[at + 4..at + 8].copy_from_slice(&len.to_le_bytes());
        refused(&lies, 1, at, words);
    }
    // A block of 4 GiB that nobody needs is gone past, to the end of the file.
    refused(
        &with(&[0x77, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
        1,
        at,
        "a block has 4294967292 bytes, 12 are there",
    );
    let mut giant = pcap(0xa1b2_c3d4, false, 1);
    giant[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    refused(&giant, 0, 24, "a packet claims 4294967295 bytes");
}
