//! PUSHes that no honest sender makes, and floods of those that one does.

use super::*;
use sendoff_proto::{MessageError, Mode};

#[test]
fn a_number_at_or_beyond_the_window_is_dropped_without_an_answer() {
    let config = Config::new().recv_window(32).unwrap();
    for sn in [32, 33, 1_024, 65_536, 0x7fff_ffff] {
        let (mut connection, now) = connection_with(config.clone());
        connection.handle_datagram(now, &push(sn, b"too far"));
        assert_eq!(bad(&connection), Bad { out_of_window: 1, ..Bad::default() }, "{sn}");
        assert_eq!(connection.stats().reordering, 0);
        assert!(!connection.has_transmit(), "{sn}");
    }
    let (mut connection, now) = connection_with(config);
    connection.handle_datagram(now, &push(31, b"the last one inside"));
    assert_eq!(bad(&connection), Bad::default());
    assert_eq!(connection.stats().reordering, 1);
}

#[test]
fn a_number_behind_is_a_duplicate_and_acknowledged_again() {
    for sn in [0x8000_0000, 0xffff_0000, u32::MAX] {
        let (mut connection, now) = connection();
        connection.handle_datagram(now, &push(sn, b"long ago"));
        assert_eq!(bad(&connection), Bad { duplicates: 1, ..Bad::default() }, "{sn}");
        assert_eq!(connection.readable_bytes(), 0);
        let sent = transmit(&mut connection, now);
        assert_eq!(commands(&sent), [Command::Ack]);
        assert_eq!((sent[0].head.sn, sent[0].head.una), (SeqNumber(sn), SeqNumber(0)));
    }
}

#[test]
fn a_reserved_fragment_number_is_dropped_and_the_stream_goes_on() {
    for mode in [Mode::Stream, Mode::Message] {
        let (mut connection, now) = connection_with(Config::new().mode(mode));
        connection.handle_datagram(now, &fragment(0, 255, b"reserved"));
        assert_eq!(bad(&connection), Bad { fragments: 1, ..Bad::default() });
        assert!(!connection.has_transmit());
        connection.handle_datagram(now, &push(0, b"good"));
        assert_eq!(read_all(&mut connection), b"good");
    }
}

#[test]
fn a_stream_reader_reads_on_through_a_message_that_never_ends() {
    let (mut connection, now) = connection();
    for sn in 0..5_000 {
        connection.handle_datagram(now, &fragment(sn, 254, b"more"));
        assert_eq!(read_all(&mut connection), b"more");
        transmit(&mut connection, now);
    }
    assert_eq!(bad(&connection), Bad::default());
}

#[test]
fn a_message_that_never_ends_is_an_error_once_the_window_is_full() {
    let (mut connection, now) = connection_with(Config::new().mode(Mode::Message).recv_window(128).unwrap());
    for sn in 0..128 {
        assert_eq!(connection.read_message(), Ok(None), "{sn}");
        assert!(!connection.has_message());
        connection.handle_datagram(now, &fragment(sn, 1, b"more"));
        transmit(&mut connection, now);
    }
    assert!(connection.has_message());
    assert_eq!(connection.read_message(), Err(MessageError { window: 128 }));
}

#[test]
fn a_message_that_never_ends_is_an_error_once_its_bytes_fill_the_buffer() {
    let (mut connection, now) = connection_with(Config::new().mode(Mode::Message).recv_window(128).unwrap());
    let data = vec![0; LARGEST_DATAGRAM - 24];
    let mut sn = 0;
    while !connection.has_message() {
        assert!(sn < 128);
        connection.handle_datagram(now, &fragment(sn, 1, &data));
        transmit(&mut connection, now);
        sn += 1;
    }
    assert!(connection.stats().unread <= 128 * 2_048, "{:?}", connection.stats());
    assert_eq!(connection.read_message(), Err(MessageError { window: 128 }));
}

#[test]
fn a_message_longer_than_what_the_socket_holds_arrives_whole() {
    let (mut connection, now) = connection_with(Config::new().mode(Mode::Message).recv_window(128).unwrap());
    connection.limit_recv_window(16);
    let fragments = 100;
    for sn in 0..fragments {
        assert_eq!(connection.read_message(), Ok(None), "at {sn} of {fragments}");
        connection.handle_datagram(now, &fragment(sn, (fragments - 1 - sn) as u8, b"x"));
        transmit(&mut connection, now);
    }
    assert_eq!(connection.read_message(), Ok(Some(vec![b'x'; 100])));
}

#[test]
fn segments_without_data_are_counted_and_block_nobody() {
    for mode in [Mode::Stream, Mode::Message] {
        let (mut connection, now) = connection_with(Config::new().mode(mode));
        for sn in 0..10_000 {
            connection.handle_datagram(now, &push(sn, b""));
            transmit(&mut connection, now);
        }
        connection.handle_datagram(now, &push(10_000, b"data"));
        assert_eq!(bad(&connection), Bad { empty: 10_000, ..Bad::default() });
        assert_eq!(connection.stats().unread, 4);
        match mode {
            Mode::Stream => assert_eq!(read_all(&mut connection), b"data"),
            Mode::Message => assert_eq!(connection.read_message(), Ok(Some(b"data".to_vec()))),
        }
    }
}

#[test]
fn segments_without_data_are_counted_out_of_order_too() {
    let (mut connection, now) = connection();
    for sn in [3, 2, 0, 1] {
        connection.handle_datagram(now, &push(sn, b""));
    }
    assert_eq!(bad(&connection), Bad { empty: 4, ..Bad::default() });
    let sent = transmit(&mut connection, now);
    assert_eq!(sent.last().map(|s| s.head.una), Some(SeqNumber(4)));
}

#[test]
fn a_last_fragment_without_data_ends_its_message() {
    let (mut connection, now) = connection_with(Config::new().mode(Mode::Message));
    connection.handle_datagram(now, &fragment(0, 1, b"message"));
    assert_eq!(connection.read_message(), Ok(None));
    connection.handle_datagram(now, &fragment(1, 0, b""));
    assert_eq!(connection.read_message(), Ok(Some(b"message".to_vec())));
}

#[test]
fn a_flood_of_duplicates_costs_no_memory_and_one_answer() {
    let (mut connection, now) = connection();
    let datagram = push(0, &[1; 1_376]);
    for _ in 0..100_000 {
        connection.handle_datagram(now, &datagram);
    }
    assert_eq!(connection.stats().unread, 1_376);
    assert_eq!(connection.stats().reordering, 0);
    assert_eq!(bad(&connection), Bad { duplicates: 99_999, ..Bad::default() });
    assert_eq!(commands(&transmit(&mut connection, now)), [Command::Ack]);
}

#[test]
fn a_flood_out_of_order_holds_the_window_and_no_more() {
    let (mut connection, now) = connection_with(Config::new().recv_window(64).unwrap());
    for round in 0..100 {
        for sn in (1..1_000).rev() {
            connection.handle_datagram(now, &push(sn, &[1; 1_376]));
        }
        let stats = connection.stats();
        assert_eq!((stats.unread, stats.reordering), (0, 63));
        let expected =
            Bad { out_of_window: (round + 1) * (999 - 63), duplicates: round * 63, ..Bad::default() };
        assert_eq!(bad(&connection), expected);
    }
    // Duplicates between two turns must not multiply what is sent: at most as many as the window has, twice.
    let acks = transmit(&mut connection, now).len();
    assert!((63..=4_096).contains(&acks), "{acks}");
}

#[test]
fn a_flood_out_of_order_of_the_largest_segments_is_bounded_in_bytes() {
    let (mut connection, now) = connection_with(Config::new().recv_window(128).unwrap());
    let data = vec![1; LARGEST_DATAGRAM - 24];
    for sn in 1..128 {
        connection.handle_datagram(now, &push(sn, &data));
    }
    let held = connection.stats().reordering;
    assert!(held > 0 && held * data.len() <= 128 * 2_048, "{held} segments");
    assert_eq!(bad(&connection), Bad { out_of_window: 127 - held as u64, ..Bad::default() });
    // The one that all wait for is taken whatever is held, and the reader gets on.
    connection.handle_datagram(now, &push(0, &data));
    assert_eq!(read_all(&mut connection).len(), (held + 1) * data.len());
}

#[test]
fn a_reader_that_never_reads_holds_the_window_and_no_more() {
    for len in [1, 1_376, LARGEST_DATAGRAM - 24] {
        let (mut connection, now) = connection_with(Config::new().recv_window(128).unwrap());
        let data = vec![1; len];
        for sn in 0..2_000 {
            connection.handle_datagram(now, &push(sn, &data));
            transmit(&mut connection, now);
        }
        let stats = connection.stats();
        assert!(stats.unread <= 128 * len && stats.unread <= 128 * 2_048, "{stats:?}");
        assert_eq!(bad(&connection).out_of_window, 2_000 - (stats.unread / len) as u64);
        // It says so, and opens the window when it is read.
        connection.handle_datagram(now, &encode(segment(Command::WindowAsk, 0), &[]));
        assert_eq!(transmit(&mut connection, now)[0].head.window, 0);
        read_all(&mut connection);
        let told = transmit(&mut connection, now);
        assert_eq!((told[0].head.command, told[0].head.window), (Command::WindowTell, 128));
    }
}

#[test]
fn what_comes_after_close_is_counted_and_not_acknowledged() {
    let (mut connection, now) = connection_with_in_flight(1);
    connection.handle_datagram(now, &push(0, b"in time"));
    transmit(&mut connection, now);
    connection.close(now, 0, "");
    connection.handle_datagram(now, &push(1, b"too late"));
    assert_eq!(bad(&connection), Bad { after_close: 1, ..Bad::default() });
    assert!(!connection.has_transmit());
    // A copy of what was taken in time is acknowledged again.
    connection.handle_datagram(now, &push(0, b"in time"));
    assert_eq!(commands(&transmit(&mut connection, now)), [Command::Ack]);
    assert_eq!(bad(&connection), Bad { after_close: 1, duplicates: 1, ..Bad::default() });
}
