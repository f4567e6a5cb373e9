//! Bytes drawn at random, and good datagrams changed at random.

use super::*;
use proptest::{collection::vec, prelude::*, sample::Index};
use sendoff_proto::{Endpoint, Mode, Route};
use std::net::SocketAddr;

/// What holds whatever a peer sends.
fn check(connection: &mut Connection, now: Instant) -> Result<(), TestCaseError> {
    let mut sent = 0;
    let mut buffer = TransmitBuffer::new();
    while connection.poll_transmit(now, &mut buffer) {
        sent += buffer.len();
        prop_assert!(sent < 10_000, "endless");
        for datagram in buffer.datagrams() {
            prop_assert!(datagram.len() <= connection.config().mtu_bytes());
            prop_assert!(wire::segments(datagram).all(|s| s.is_ok()));
        }
    }
    prop_assert!(!connection.has_transmit());
    connection.handle_timeout(now);
    prop_assert!(connection.poll_timeout().is_none_or(|at| at > now));
    let (stats, config) = (connection.stats(), connection.config());
    prop_assert!(stats.in_flight <= config.send_window_segments());
    prop_assert!(stats.bytes_acknowledged <= stats.bytes_sent);
    prop_assert!(stats.reordering < config.recv_window_segments() as usize);
    prop_assert!(stats.unread <= config.recv_window_segments() as usize * 2_048);
    prop_assert!(stats.rto >= ms(10) && stats.rto <= Duration::from_secs(60), "{:?}", stats.rto);
    Ok(())
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![Just(Command::Push), Just(Command::Ack), Just(Command::WindowAsk), Just(Command::WindowTell)]
}

/// Numbers where something may happen: near the start, the windows, half the circle, and its end.
fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![0..40u32, 0..2_000u32, 0x7fff_fff0..0x8000_0010u32, 0xffff_fff0..=u32::MAX, any::<u32>()]
}

fn any_segment() -> impl Strategy<Value = Vec<u8>> {
    let fields = (commands(), any::<u8>(), any::<u16>(), numbers(), numbers(), numbers());
    (fields, vec(any::<u8>(), 0..60)).prop_map(|((command, fragment, window, ts, sn, una), data)| {
        let head = Segment {
            conv: CONV,
            command,
            fragment,
            window,
            timestamp: Timestamp(ts),
            sn: SeqNumber(sn),
            una: SeqNumber(una),
        };
        encode(head, &data)
    })
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Stream), Just(Mode::Message)]
}

proptest! {
    #[test]
    fn no_bytes_break_a_connection_or_an_endpoint(
        datagrams in vec(vec(any::<u8>(), 0..200), 1..20),
        mode in modes(),
    ) {
        let (mut connection, now) = connection_with(Config::new().mode(mode));
        let mut endpoint: Endpoint<()> = Endpoint::new(Arc::new(Config::new()), true);
        connection.write(b"in flight");
        for datagram in &datagrams {
            let remote = SocketAddr::from(([192, 0, 2, 1], 9));
            let route = endpoint.route(now, remote, datagram);
            // All but what opens is counted.
            let stats = endpoint.stats();
            let counted = stats.dropped_malformed + stats.dropped_unknown + stats.answered;
            prop_assert_eq!(counted == 0, matches!(route, Route::Opens(..)));
            endpoint = Endpoint::new(Arc::new(Config::new()), true);
            connection.handle_datagram(now, datagram);
            check(&mut connection, now)?;
        }
        let stats = connection.stats();
        prop_assert_eq!(stats.datagrams_received, datagrams.len() as u64);
    }

    #[test]
    fn no_segments_break_a_connection(
        datagrams in vec((vec(any_segment(), 1..6), 0..300u64), 1..40),
        mode in modes(),
    ) {
        let config = Config::new().send_window(64).unwrap().recv_window(128).unwrap();
        let (mut connection, mut now) = connection_with(config.mode(mode));
        match mode {
            Mode::Stream => drop(connection.write(&[1; 40_000])),
            Mode::Message => drop(connection.write_message(&[1; 40_000])),
        }
        for (segments, pause) in datagrams {
            now += ms(pause);
            connection.handle_timeout(now);
            connection.handle_datagram(now, &segments.concat());
            check(&mut connection, now)?;
            let received = connection.stats().bytes_received;
            prop_assert_eq!(received, connection.readable_bytes() as u64);
        }
    }

    #[test]
    fn a_changed_datagram_delivers_nothing_that_was_not_in_it(
        at in any::<Index>(),
        byte in any::<u8>(),
        len in any::<Index>(),
    ) {
        let good = [push(0, b"0123456789"), push(1, b"abcdefghij"), push(2, b"ABCDEFGHIJ")].concat();
        let mut changed = good.clone();
        changed[at.index(good.len())] = byte;
        changed.truncate(len.index(good.len() + 1));
        let (mut connection, now) = connection();
        connection.handle_datagram(now, &changed);
        check(&mut connection, now)?;
        let read = read_all(&mut connection);
        prop_assert!(read.len() <= changed.len().saturating_sub(24));
        // Segments in front of the change and of the cut are as they were.
        let whole = changed.len().min(at.index(good.len())) / 34;
        prop_assert_eq!(&read[..whole * 10], &b"0123456789abcdefghijABCDEFGHIJ"[..whole * 10]);
    }
}
