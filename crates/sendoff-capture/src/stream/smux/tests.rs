use super::*;
use proptest::prelude::*;

fn frame(version: u8, command: u8, stream: u32, data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u16).to_le_bytes();
    [&[version, command], &len[..], &stream.to_le_bytes(), data].concat()
}

/// What comes of a stream that arrives in pieces: frames, data of stream 3, totals.
fn run(stream: &[u8], cut: usize) -> (Vec<SmuxFrame>, Vec<u8>, SmuxTotals) {
    let (mut smux, mut told, mut kept) = (Smux::new(Some(3)), Vec::new(), Vec::new());
    for piece in stream.chunks(cut) {
        smux.feed(piece);
        smux.hand_over(&mut told, &mut kept);
    }
    smux.finish();
    (told, kept, smux.totals().clone())
}

#[test]
fn of_a_session_that_gave_way_few_streams_are_kept() {
    let mut smux = Smux::new(None);
    for stream in 0..2 * FEW_STREAMS as u32 {
        smux.feed(&[frame(1, 0, stream, b""), frame(1, 2, stream, b"x")].concat());
    }
    smux.give_memory_back();
    let totals = smux.totals();
    let few = FEW_STREAMS as u64;
    assert_eq!((totals.streams.len(), totals.frames, totals.others), (FEW_STREAMS, 4 * few, 2 * few));
    assert!(smux.frames.told.is_empty());
}

fn session() -> Vec<u8> {
    let update = [100_u32.to_le_bytes(), 65_536_u32.to_le_bytes()].concat();
    [
        frame(2, 0, 3, b""),
        frame(2, 2, 3, b"hello"),
        frame(2, 3, 0, b""),
        frame(2, 0, 5, b""),
        frame(2, 2, 5, b"other"),
        frame(2, 4, 3, &update),
        frame(2, 2, 3, b" world"),
        frame(2, 1, 3, b""),
    ]
    .concat()
}

#[test]
fn frames_streams_and_windows_are_told_however_the_stream_is_cut() {
    for cut in [1, 3, 9, 1_000] {
        let (told, kept, totals) = run(&session(), cut);
        let words: Vec<String> = told.iter().map(ToString::to_string).collect();
        let expected = [
            "SYN 3",
            "PSH 3 5 bytes",
            "NOP",
            "SYN 5",
            "PSH 5 5 bytes",
            "UPD 3 consumed=100 window=65536",
            "PSH 3 6 bytes",
            "FIN 3",
        ];
        assert_eq!(words, expected);
        assert_eq!(kept, b"hello world");
        assert_eq!(
            (totals.version, totals.frames, totals.keep_alives, totals.snappy),
            (Some(2), 8, 1, false)
        );
        let first = SmuxStream { syn: true, fin: true, frames: 2, bytes: 11, update: Some((100, 65_536)) };
        let second = SmuxStream { syn: true, frames: 1, bytes: 5, ..SmuxStream::default() };
        assert_eq!(totals.streams, BTreeMap::from([(3, first), (5, second)]));
        assert_eq!(totals.error, None);
    }
}

#[test]
fn what_snappy_left_as_it_is_is_told_too() {
    let session = session();
    let chunk = |part: &[u8]| [&[1], &(part.len() as u32 + 4).to_le_bytes()[..3], b"crc.", part].concat();
    let stream = [&IDENTIFIER[..], &chunk(&session[..20]), &chunk(&session[20..])].concat();
    for cut in [1, 4, 1_000] {
        let (told, kept, totals) = run(&stream, cut);
        assert_eq!(
            (told.len(), &kept[..], totals.snappy, totals.error),
            (8, &b"hello world"[..], true, None)
        );
    }
    let broken = [&IDENTIFIER[..], &chunk(&session[..20]), b"\x02\x01\x00\x00x"].concat();
    assert_eq!(run(&broken, 7).2.error, Some(SmuxError::Snappy { position: 20 }));
    assert_eq!(run(&stream[..stream.len() - 1], 7).2.error, Some(SmuxError::Unfinished { due: 1 }));
    assert_eq!(run(&IDENTIFIER[..4], 7).2.error, Some(SmuxError::Unfinished { due: 1 }));
}

#[test]
fn what_is_no_smux_is_told_with_its_place() {
    let header =
        |position, version, command, len| Some(SmuxError::Header { position, version, command, len });
    for (stream, error) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), header(0, b'G', b'E', u16::from_le_bytes(*b"T "))),
        ([frame(1, 2, 3, b"x"), frame(1, 4, 3, &[0; 8])].concat(), header(9, 1, 4, 8)),
        ([frame(1, 2, 3, b"x"), frame(2, 2, 3, b"x")].concat(), header(9, 2, 2, 1)),
        (frame(2, 4, 3, &[0; 7]), header(0, 2, 4, 7)),
        (frame(2, 4, 3, &[0; 9]), header(0, 2, 4, 9)),
        (frame(1, 5, 3, b""), header(0, 1, 5, 0)),
    ] {
        assert_eq!(run(&stream, 1_000).2.error, error);
    }
    assert_eq!(run(&frame(1, 2, 3, b"data")[..9], 5).2.error, Some(SmuxError::Unfinished { due: 3 }));
    let mut smux = Smux::new(None);
    smux.feed(&frame(1, 2, 3, b"x"));
    smux.gap();
    smux.feed(&frame(1, 2, 3, b"x"));
    assert_eq!((smux.totals().frames, smux.totals().error), (1, Some(SmuxError::Lost { position: 9 })));
}

#[test]
fn streams_beyond_the_bound_are_only_counted() {
    let stream: Vec<u8> = (0..5_000).flat_map(|n| frame(1, 0, n, b"")).collect();
    let (told, _, totals) = run(&stream, 1_000);
    assert_eq!((told.len(), totals.streams.len()), (5_000, MAX_SMUX_STREAMS));
    assert_eq!(totals.others, 5_000 - MAX_SMUX_STREAMS as u64);
    let (told, _, totals) = run(&stream, 1_000_000);
    assert_eq!((told.len(), totals.frames), (MAX_SMUX_TOLD, 5_000), "all at once");
}

proptest! {
    #[test]
    fn any_bytes_break_nothing(data in proptest::collection::vec(any::<u8>(), 0..300), cut in 1..20usize, snappy in any::<bool>()) {
        let front = if snappy { &IDENTIFIER[..] } else { b"" };
        run(&[front, &data].concat(), cut);
    }
}
