use super::*;
use crate::{Dissector, Options, PacketReader, report::Lines, report::Signs};
use pcap_parser::{Block, PcapBlockOwned, PcapNGReader, traits::PcapReaderIterator};
use sendoff_proto::{
    Direction,
    wire::{Command, Segment},
};
use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender},
    },
    time::Instant,
};

const HERE: &str = "127.0.0.1:8080";
const THERE: &str = "127.0.0.2:52114";

/// A file in memory.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn content(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn segment(command: Command, sn: u32, una: u32, data: &[u8]) -> Vec<u8> {
    let mut segment = Segment {
        conv: 7,
        command,
        fragment: 0,
        window: 128,
        timestamp: Default::default(),
        sn: Default::default(),
        una: Default::default(),
    };
    (segment.sn.0, segment.una.0) = (sn, una);
    let mut out = Vec::new();
    segment.encode(data, &mut out);
    out
}

fn show(tap: &Arc<dyn Tap>, direction: Direction, payload: &[u8]) {
    let (local, peer): (SocketAddr, SocketAddr) = (HERE.parse().unwrap(), THERE.parse().unwrap());
    tap.datagram(&TappedDatagram::new(Instant::now(), direction, local, peer, payload));
}

fn lines(file: &[u8], signs: Signs) -> Vec<String> {
    let (mut reader, mut dissector) = (PacketReader::new(file).unwrap(), Dissector::new(Options::default()));
    let (mut lines, mut all) = (Lines::new(signs), Vec::new());
    while let Some(packet) = reader.next_packet().unwrap() {
        let mut line = String::new();
        lines.write(&dissector.packet(&packet), &mut line);
        all.push(line[20..].trim_end().to_owned());
    }
    all
}

/// Received and dropped, if there are statistics.
type Received = Option<(u64, u64)>;

/// Direction and count of losses of each packet, and received and dropped of the statistics, by another reader.
fn options(file: &[u8]) -> (Vec<(u32, u64)>, Received) {
    let mut reader = PcapNGReader::new(1 << 20, file).unwrap();
    let (mut packets, mut statistics) = (Vec::new(), None);
    while let Ok((len, block)) = reader.next() {
        let number = |value: &[u8]| value.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        match block {
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let option = |code| packet.options.iter().find(|option| option.code.0 == code);
                let value = |code| option(code).map_or(0, |option| number(option.value()));
                packets.push((value(2) as u32, value(4)));
            }
            PcapBlockOwned::NG(Block::InterfaceStatistics(block)) => {
                let value = |code| block.options.iter().find(|o| o.code.0 == code).map(|o| number(o.value()));
                statistics = Some((value(4).unwrap(), value(5).unwrap()));
            }
            _ => {}
        }
        reader.consume(len);
    }
    (packets, statistics)
}

#[test]
fn a_recording_reads_as_the_conversation_that_it_is_of() {
    let sink = Sink::default();
    let recording = Recording::start(sink.clone(), RecordOptions::new("test")).unwrap();
    let tap = recording.tap(Cipher::Null);
    let text = "Hello, Hello. How are you? …".as_bytes();
    show(&tap, Direction::Received, &segment(Command::Push, 0, 0, text));
    show(&tap, Direction::Sent, &segment(Command::Ack, 0, 1, b""));
    show(&tap, Direction::Received, b"nothing that is known");
    let totals = recording.finish();
    let file = sink.content();
    assert_eq!((totals.recorded, totals.lost, totals.bytes), (3, 0, file.len() as u64));
    let expected = [
        " ipv4 udp  127.0.0.2:52114 → 127.0.0.1:8080  #1 client  PUSH sn=0 una=0 wnd=128 30 bytes \
         \"Hello, Hello. How are y …\"  (request)  # received",
        " ipv4 udp  127.0.0.1:8080 → 127.0.0.2:52114  #1 server  ACK sn=0 una=1 wnd=128  (its ack)  # sent",
    ];
    assert_eq!(lines(&file, Signs::UNICODE)[..2], expected);
    let ascii = lines(&file, Signs::ASCII);
    assert!(ascii[0].ends_with("\"Hello, Hello. How are y ...\"  (request)  # received"), "{}", ascii[0]);
    assert!(ascii[2].contains("[not KCP: 21 bytes"), "{}", ascii[2]);
    assert_eq!(options(&file), (vec![(1, 0), (2, 0), (1, 0)], Some((3, 0))));
}

/// A datagram that isn't what is inside.
fn show_sealed(tap: &Arc<dyn Tap>, wire: &[u8], opened: Option<&[u8]>) {
    let (local, peer) = (HERE.parse().unwrap(), THERE.parse().unwrap());
    let shown = TappedDatagram::new(Instant::now(), Direction::Received, local, peer, wire);
    tap.datagram(&shown.with_opened(opened));
}

fn contains(file: &[u8], what: &[u8]) -> bool {
    file.windows(what.len()).any(|window| window == what)
}

#[test]
fn a_sealed_datagram_is_written_opened_unless_it_is_to_stay_sealed() {
    let inside = segment(Command::Push, 0, 0, b"plain text");
    let wire = [&[0xe5; 28][..], &[0x11; 34]].concat();
    for (form, said, stays) in [
        (Form::Clear, "received, on the wire 62 bytes of aes-128-gcm", false),
        (Form::Sealed, "received, sealed with aes-128-gcm", true),
    ] {
        let sink = Sink::default();
        let recording = Recording::start(sink.clone(), RecordOptions::new("test").form(form)).unwrap();
        let tap = recording.tap(Cipher::Aes128Gcm);
        show_sealed(&tap, &wire, Some(&inside));
        show_sealed(&tap, &wire, None);
        recording.finish();
        let (file, told) = (sink.content(), lines(&sink.content(), Signs::UNICODE));
        assert!(told[0].ends_with(said), "{}", told[0]);
        // Not in a comment either.
        assert_eq!(contains(&file, b"plain text"), !stays);
        assert_eq!(contains(&file, b"PUSH"), !stays);
        assert!(told[1].ends_with("received, aes-128-gcm does not open it: as it came"), "{}", told[1]);
        assert!(contains(&file, &wire));
    }
}

#[test]
fn at_its_limit_a_recording_stops_says_so_and_counts_on() {
    // Wherever the last packet ends: the statistics have room behind it.
    for limit in (20_000..21_500).step_by(250) {
        let (sink, (told, stopped)) = (Sink::default(), mpsc::channel());
        let options =
            RecordOptions::new("test").limit(limit).on_stop(move |why| told.send(why.clone()).unwrap());
        let recording = Recording::start(sink.clone(), options).unwrap();
        let tap = recording.tap(Cipher::Null);
        for sn in 0..50 {
            show(&tap, Direction::Sent, &segment(Command::Push, sn, 0, &[b'x'; 1_376]));
        }
        assert_eq!(stopped.recv().unwrap(), Stopped::Limit { limit });
        show(&tap, Direction::Sent, &segment(Command::Push, 50, 0, b"late"));
        let totals = recording.finish();
        let file = sink.content();
        assert!(file.len() as u64 <= limit && file.len() > 17_000, "{limit}: {}", file.len());
        assert_eq!((totals.recorded + totals.after_stop, totals.lost), (51, 0));
        let expected = format!("the file has reached its limit of {limit} bytes");
        assert_eq!(totals.stopped.unwrap().to_string(), expected);
        assert_eq!(options_of(&file), (totals.recorded as usize, Some((51, totals.after_stop))));
    }
}

fn options_of(file: &[u8]) -> (usize, Received) {
    let (packets, statistics) = options(file);
    (packets.len(), statistics)
}

/// A disk that takes nothing until it is told to.
struct Stuck {
    sink: Sink,
    busy: Sender<()>,
    go_on: Receiver<()>,
    first: bool,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The beginning of the file is written before anything passes.
        if !std::mem::replace(&mut self.first, false) {
            _ = self.busy.send(());
            _ = self.go_on.recv();
        }
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_is_stuck_costs_records_and_never_time() {
    let (sink, (busy, is_busy), (release, go_on)) = (Sink::default(), mpsc::channel(), mpsc::channel());
    let stuck = Stuck { sink: sink.clone(), busy, go_on, first: true };
    let room = 4 * (RECORD_COST + 1_400);
    let recording = Recording::start(stuck, RecordOptions::new("test").queue(room)).unwrap();
    let tap = recording.tap(Cipher::Null);
    let datagram = segment(Command::Push, 0, 0, &[b'x'; 1_376]);
    show(&tap, Direction::Sent, &datagram);
    is_busy.recv().unwrap();
    // The writer is stuck in the middle: if a tap waited for it, this would never end.
    for _ in 0..10 {
        show(&tap, Direction::Sent, &datagram);
    }
    drop(release);
    while recording.queue.lost() < 6 {
        thread::yield_now();
    }
    // The queue is empty again once all that fitted is written.
    while sink.content().len() < 5 * 1_400 {
        thread::yield_now();
    }
    show(&tap, Direction::Sent, &datagram);
    let totals = recording.finish();
    assert_eq!((totals.recorded, totals.lost, totals.stopped), (6, 6, None));
    let (packets, statistics) = options(&sink.content());
    assert_eq!(packets, [(2, 0), (2, 0), (2, 0), (2, 0), (2, 0), (2, 6)]);
    assert_eq!(statistics, Some((12, 6)));
    let file = sink.content();
    let mut reader = PacketReader::new(&file[..]).unwrap();
    while reader.next_packet().unwrap().is_some() {}
    assert_eq!(reader.dropped(), 6);
    let last = lines(&sink.content(), Signs::UNICODE).pop().unwrap();
    assert!(last.contains("6 before it are missing: they came too fast to be written"), "{last}");
}

/// A disk that is full.
struct Full(u8);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        if self.0 > 1 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_is_told_at_once() {
    let (told, stopped) = mpsc::channel();
    let options = RecordOptions::new("test").on_stop(move |why| told.send(why.to_string()).unwrap());
    let recording = Recording::start(Full(0), options).unwrap();
    let tap = recording.tap(Cipher::Null);
    show(&tap, Direction::Sent, &segment(Command::Push, 0, 0, b"x"));
    let why = stopped.recv().unwrap();
    assert!(why.starts_with("cannot write: "), "{why}");
    show(&tap, Direction::Sent, &segment(Command::Push, 1, 0, b"x"));
    let totals = recording.finish();
    // The first one isn't in the file either, though it was written to the buffer in front of it.
    assert_eq!((totals.recorded, totals.after_stop), (0, 2));
    assert!(matches!(totals.stopped, Some(Stopped::Failed { .. })));
}
