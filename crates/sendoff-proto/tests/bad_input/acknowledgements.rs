//! ACKs, una and windows that can't be true.

use super::*;

#[test]
fn an_ack_for_what_was_never_sent_is_dropped() {
    for sn in [5, 6, 1_000, 0x7fff_ffff] {
        let (mut connection, now) = connection_with_in_flight(5);
        let before = connection.stats();
        let ack = Segment { timestamp: Timestamp(1_000), ..segment(Command::Ack, sn) };
        connection.handle_datagram(now + ms(20), &encode(ack, &[]));
        assert_eq!(bad(&connection), Bad { acks: 1, ..Bad::default() }, "{sn}");
        let after = connection.stats();
        assert_eq!((after.in_flight, after.rtt, after.rto), (5, None, before.rto));
    }
}

#[test]
fn an_ack_with_a_timestamp_that_was_never_sent_is_dropped() {
    // The segments left at 1000 by the connection's clock.
    for timestamp in [0, 999, 1_001, 1_020, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let (mut connection, now) = connection_with_in_flight(5);
        let ack = Segment { timestamp: Timestamp(timestamp), ..segment(Command::Ack, 0) };
        connection.handle_datagram(now + ms(20), &encode(ack, &[]));
        assert_eq!(bad(&connection), Bad { acks: 1, ..Bad::default() }, "{timestamp}");
        assert_eq!(connection.stats().rtt, None);
    }
}

#[test]
fn a_true_ack_gives_the_round_trip() {
    let (mut connection, now) = connection_with_in_flight(5);
    let ack = Segment { timestamp: Timestamp(1_000), una: SeqNumber(1), ..segment(Command::Ack, 0) };
    connection.handle_datagram(now + ms(20), &encode(ack, &[]));
    assert_eq!(bad(&connection), Bad::default());
    assert_eq!((connection.stats().in_flight, connection.stats().rtt), (4, Some(ms(20))));
}

#[test]
fn a_selective_ack_never_delivers() {
    let (mut connection, now) = connection_with_in_flight(5);
    for sn in 0..5 {
        let ack = Segment { timestamp: Timestamp(1_000), ..segment(Command::Ack, sn) };
        connection.handle_datagram(now, &encode(ack, &[]));
    }
    assert_eq!(bad(&connection), Bad::default());
    assert_eq!((connection.stats().in_flight, connection.stats().bytes_acknowledged), (5, 0));
    assert!(!connection.is_delivered());
}

#[test]
fn a_una_beyond_what_was_sent_is_ignored() {
    for una in [6, 7, 1_000, 0x7fff_ffff, 0x8000_0000] {
        for command in [Command::Push, Command::Ack, Command::WindowAsk, Command::WindowTell] {
            let (mut connection, now) = connection_with_in_flight(5);
            let forged = Segment { una: SeqNumber(una), timestamp: Timestamp(999), ..segment(command, 0) };
            connection.handle_datagram(now, &encode(forged, b""));
            let expected = match command {
                Command::Ack => Bad { acks: 1, ..Bad::default() },
                Command::Push => Bad { una: 1, empty: 1, ..Bad::default() },
                _ => Bad { una: 1, ..Bad::default() },
            };
            assert_eq!(bad(&connection), expected, "{command} una {una}");
            assert_eq!((connection.stats().in_flight, connection.stats().bytes_acknowledged), (5, 0));
            assert!(!connection.is_established(), "{command} una {una}: no sign of life");
        }
    }
}

#[test]
fn a_stock_peer_that_echoes_our_timestamp_with_a_una_out_of_range_has_forgotten_us() {
    for una in [6, 1_000, 0x7fff_ffff, 0x8000_0000] {
        let (mut connection, now) = connection_with_in_flight(5);
        let answer = Segment { una: SeqNumber(una), timestamp: Timestamp(1_000), ..segment(Command::Ack, 0) };
        connection.handle_datagram(now, &encode(answer, b""));
        let ending = connection.ending().expect("proven");
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNKNOWN));
    }
}

#[test]
fn a_una_that_goes_back_takes_nothing_back() {
    let (mut connection, now) = connection_with_in_flight(5);
    for una in [4, 0, 3, u32::MAX] {
        let tell = Segment { una: SeqNumber(una), ..segment(Command::WindowTell, 1) };
        connection.handle_datagram(now, &encode(tell, &[]));
        assert_eq!(connection.stats().in_flight, 1, "una {una}");
    }
    assert_eq!(bad(&connection), Bad::default());
}

#[test]
fn a_flood_of_acks_costs_no_memory_and_no_answer() {
    let (mut connection, now) = connection_with_in_flight(5);
    for n in 0..100_000 {
        let ack = Segment { timestamp: Timestamp(n), ..segment(Command::Ack, 1_000 + n) };
        connection.handle_datagram(now, &encode(ack, &[]));
    }
    assert_eq!(bad(&connection), Bad { acks: 100_000, ..Bad::default() });
    assert!(!connection.has_transmit());
}

#[test]
fn a_window_of_0_stops_the_sender_and_it_asks() {
    let (mut connection, now) = connection();
    let closed = Segment { window: 0, ..segment(Command::WindowTell, 1) };
    connection.write(b"first");
    transmit(&mut connection, now);
    let told = Segment { una: SeqNumber(1), ..closed };
    connection.handle_datagram(now, &encode(told, &[]));
    assert_eq!(connection.stats().remote_window, 0);
    assert_eq!(connection.write(b"waits"), 5);
    assert!(transmit(&mut connection, now).is_empty());
    let mut later = now;
    let mut asked = 0;
    for _ in 0..3 {
        later = connection.poll_timeout().unwrap();
        connection.handle_timeout(later);
        asked +=
            commands(&transmit(&mut connection, later)).iter().filter(|c| **c == Command::WindowAsk).count();
        connection.handle_datagram(later, &encode(told, &[]));
    }
    assert!(asked > 0);
    let opened = Segment { window: 1, ..told };
    connection.handle_datagram(later, &encode(opened, &[]));
    assert_eq!(commands(&transmit(&mut connection, later)), [Command::Push]);
}

#[test]
fn the_widest_window_allows_no_more_than_our_own() {
    let (mut connection, now) = connection_with(Config::new().send_window(64).unwrap());
    let wide = Segment { window: u16::MAX, ..segment(Command::WindowTell, 1) };
    connection.handle_datagram(now, &encode(wide, &[]));
    assert_eq!(connection.stats().remote_window, 65_535);
    connection.write(&[0; 1_000_000]);
    assert_eq!(transmit(&mut connection, now).len(), 64);
    assert_eq!(connection.stats().in_flight, 64);
}

#[test]
fn a_window_that_flaps_sends_again_once_at_most() {
    let (mut connection, now) = connection_with_in_flight(32);
    for round in 0..31 {
        for window in [0, u16::MAX] {
            let tell = Segment { window, una: SeqNumber(round), ..segment(Command::WindowTell, 1) };
            connection.handle_datagram(now, &encode(tell, &[]));
            transmit(&mut connection, now);
        }
    }
    // The first word was that there is no room: what was on its way may have been dropped.
    assert_eq!(connection.stats().segments_sent, 64);
}

#[test]
fn wins_and_acks_are_never_answered() {
    let (mut connection, now) = connection();
    for command in [Command::WindowTell, Command::Ack] {
        for (sn, data) in [(0, &b""[..]), (1, &b"data"[..]), (u32::MAX, &b""[..])] {
            connection.handle_datagram(now, &encode(segment(command, sn), data));
            assert!(!connection.has_transmit(), "{command} sn={sn}");
        }
    }
    assert_eq!(bad(&connection), Bad { acks: 3, ..Bad::default() });
}

#[test]
fn data_in_a_probe_is_skipped_and_a_push_behind_it_is_delivered() {
    for command in [Command::WindowAsk, Command::WindowTell] {
        let (mut connection, now) = connection();
        let mut datagram = encode(segment(command, 0), &[9; 1_300]);
        datagram.extend(push(0, b"behind"));
        connection.handle_datagram(now, &datagram);
        assert_eq!(read_all(&mut connection), b"behind");
        assert_eq!(bad(&connection), Bad::default());
    }
}
