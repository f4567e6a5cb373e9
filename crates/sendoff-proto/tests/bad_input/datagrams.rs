//! Datagrams that aren't whole segments of this conversation.

use super::*;

/// Three segments of 10 bytes each.
fn three_segments() -> Vec<u8> {
    let data = [[b'a'; 10], [b'b'; 10], [b'c'; 10]];
    data.iter().zip(0..).flat_map(|(data, sn)| push(sn, data)).collect()
}

#[test]
fn a_datagram_cut_at_any_length_delivers_the_segments_that_are_whole() {
    let whole = three_segments();
    for cut in 0..=whole.len() {
        let (mut connection, now) = connection();
        connection.handle_datagram(now, &whole[..cut]);
        let (segments, rest) = (cut / 34, cut % 34);
        assert_eq!(read_all(&mut connection), &b"aaaaaaaaaabbbbbbbbbbcccccccccc"[..10 * segments], "{cut}");
        // A remainder too short for a header is padding behind a segment, but nonsense on its own.
        let malformed = segments == 0 || rest >= 24;
        assert_eq!(bad(&connection), Bad { malformed: malformed.into(), ..Bad::default() }, "{cut}");
        assert_eq!(connection.stats().segments_received, segments as u64);
        assert_eq!(connection.stats().datagrams_received, 1);
    }
}

#[test]
fn up_to_23_bytes_after_the_last_segment_are_ignored() {
    for trailing in [1, 20, 23] {
        let (mut connection, now) = connection();
        let mut datagram = three_segments();
        datagram.extend(std::iter::repeat_n(0xff, trailing));
        connection.handle_datagram(now, &datagram);
        assert_eq!(connection.readable_bytes(), 30);
        assert_eq!(bad(&connection), Bad::default());
    }
    let (mut connection, now) = connection();
    let mut datagram = three_segments();
    datagram.extend([0xff; 24]);
    connection.handle_datagram(now, &datagram);
    assert_eq!(connection.readable_bytes(), 30);
    assert_eq!(bad(&connection), Bad { malformed: 1, ..Bad::default() });
}

#[test]
fn a_segment_of_another_conversation_ends_its_datagram_and_what_came_before_counts() {
    for conv in [0, 1, CONV ^ 1, CONV.swap_bytes(), u32::MAX] {
        let (mut connection, now) = connection();
        let mut datagram = push(0, b"ours");
        datagram.extend(encode(Segment { conv, ..segment(Command::Push, 1) }, b"not ours"));
        datagram.extend(push(1, b"behind"));
        connection.handle_datagram(now, &datagram);
        assert_eq!(read_all(&mut connection), b"ours");
        assert_eq!(bad(&connection), Bad { malformed: 1, ..Bad::default() });
    }
}

#[test]
fn an_unknown_command_ends_its_datagram_and_what_came_before_counts() {
    for command in (0..=255).filter(|c| !(81..=84).contains(c)) {
        let (mut connection, now) = connection();
        let mut datagram = push(0, b"before");
        let mut unknown = push(1, b"unknown");
        unknown[4] = command;
        datagram.extend(unknown);
        datagram.extend(push(1, b"behind"));
        connection.handle_datagram(now, &datagram);
        assert_eq!(read_all(&mut connection), b"before", "{command}");
        assert_eq!(bad(&connection), Bad { malformed: 1, ..Bad::default() }, "{command}");
        assert_eq!(connection.stats().segments_received, 1);
    }
}

#[test]
fn a_length_past_the_end_drops_the_segment() {
    for claimed in [7, 8, 1_400, 0x00ff_ffff, 0x7fff_ffff, 0x8000_0000, u32::MAX - 23, u32::MAX] {
        let (mut connection, now) = connection();
        let mut datagram = push(0, b"whole");
        let mut long = push(1, b"6 byte");
        long[20..24].copy_from_slice(&claimed.to_le_bytes());
        datagram.extend(long);
        connection.handle_datagram(now, &datagram);
        assert_eq!(read_all(&mut connection), b"whole", "{claimed}");
        assert_eq!(bad(&connection), Bad { malformed: 1, ..Bad::default() }, "{claimed}");
    }
}

#[test]
fn the_largest_datagram_is_taken_whole() {
    let (mut connection, now) = connection();
    let data: Vec<u8> = (0..LARGEST_DATAGRAM - 24).map(|n| n as u8).collect();
    let datagram = push(0, &data);
    assert_eq!(datagram.len(), LARGEST_DATAGRAM);
    connection.handle_datagram(now, &datagram);
    assert_eq!(read_all(&mut connection), data);
    assert_eq!(bad(&connection), Bad::default());
}

#[test]
fn the_largest_datagram_of_nonsense_is_dropped() {
    for byte in [0, 81, 0xff] {
        let (mut connection, now) = connection();
        connection.handle_datagram(now, &[byte; LARGEST_DATAGRAM]);
        assert_eq!(bad(&connection), Bad { malformed: 1, ..Bad::default() });
        assert!(!connection.has_transmit());
    }
}

#[test]
fn the_largest_datagram_of_questions_gets_one_answer() {
    let (mut connection, now) = connection();
    let datagram = encode(segment(Command::WindowAsk, 0), &[]).repeat(LARGEST_DATAGRAM / 24);
    connection.handle_datagram(now, &datagram);
    assert_eq!(commands(&transmit(&mut connection, now)), [Command::WindowTell]);
    assert_eq!(bad(&connection), Bad::default());
}

#[test]
fn what_comes_after_the_end_is_only_counted() {
    let (mut connection, now) = connection();
    connection.handle_datagram(now, &push(0, b"read me"));
    connection.abort(now, 0);
    for datagram in [push(1, b"late"), encode(segment(Command::WindowAsk, 0), &[]), vec![0xff; 30]] {
        connection.handle_datagram(now, &datagram);
    }
    assert!(!connection.has_transmit());
    assert_eq!(connection.poll_timeout(), None);
    assert_eq!((connection.stats().datagrams_received, connection.stats().segments_received), (4, 1));
    assert_eq!(bad(&connection), Bad::default());
}
