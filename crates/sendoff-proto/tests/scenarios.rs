//! What a user may rely on, one sentence a test, in virtual time.

mod sim;

use sendoff_netem::{LinkConfig, Loss, Queue, Reorder};
use sendoff_proto::{
    Backoff, Cause, Config, Congestion, Connection, Conv, Mode, NoDelay, Opening, Party, Profile, SeqNumber,
    Silence, TransmitBuffer, Wire,
    wire::{Command, Segment, segments},
};
use sim::{Pair, ms, payload};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn clean(delay: u64) -> LinkConfig {
    LinkConfig::new().delay(ms(delay))
}

fn classic() -> Config {
    Config::new().wire(Wire::Classic)
}

#[test]
fn bytes_arrive_in_order_over_a_clean_link() {
    let mut pair = Pair::new(Config::new(), clean(10), 1);
    let data = payload(1_000_000, 1);
    pair.transfer(0, &data, ms(10_000));
    let stats = pair.client().connection.stats();
    assert_eq!(stats.segments_sent, 1_000_000_u64.div_ceil(1_376), "nothing was sent twice");
    assert_eq!(stats.bytes_acknowledged, 1_000_000);
}

#[test]
fn the_default_fills_a_path_of_100_mbit_and_100_ms() {
    let link = LinkConfig::new().delay(ms(50)).rate(100_000_000).queue(Queue::Bytes(1 << 20));
    let back = LinkConfig::new().delay(ms(50)).rate(100_000_000);
    let mut pair = Pair::with([Config::new(), Config::new()], [link, back], 1, sim::Start::default());
    let data = payload(50_000_000, 2);
    let took = pair.transfer(0, &data, ms(20_000));
    let share = 50_000_000.0 * 8.0 / took.as_secs_f64() / 100_000_000.0;
    assert!(share > 0.9, "{:.1} % of the path after {took:?}", share * 100.0);
    assert_eq!(pair.link_stats(0).queue_dropped, 0);
}

#[test]
fn an_echo_in_classic_mode_is_exactly_four_datagrams() {
    let mut pair = Pair::new(classic(), clean(1), 1);
    let data = payload(53, 3);
    pair.transfer(0, &data, ms(1_000));
    pair.transfer(1, &data, ms(1_000));
    pair.run_for(ms(600_000));
    let sizes = |side: usize| pair.sides[side].sent.iter().map(|s| s.1).collect::<Vec<_>>();
    assert_eq!((sizes(0), sizes(1)), (vec![77, 24], vec![24, 77]));
}

#[test]
fn small_writes_share_a_segment_until_it_is_sent() {
    let mut pair = Pair::new(Config::new(), clean(1), 1);
    for byte in payload(100, 1) {
        assert_eq!(pair.client().connection.write(&[byte]), 1);
    }
    pair.pump();
    assert_eq!(pair.client().sent.len(), 1);
    // Behind a HELLO, as it is the first of all.
    assert_eq!(pair.client().sent[0].1, 68 + 124);
}

#[test]
fn a_lost_segment_is_sent_again_after_two_acknowledgements_of_later_ones() {
    let link = clean(50).drop_datagrams([10]);
    let mut pair = Pair::with([Config::new(), Config::new()], [link, clean(50)], 1, sim::Start::default());
    pair.transfer(0, &payload(1_376, 1), ms(1_000)); // the round trip is known now
    let took = pair.transfer(0, &payload(30 * 1_376, 1), ms(1_000));
    let stats = pair.client().connection.stats();
    assert_eq!((stats.retransmitted_fast, stats.retransmitted_timeout, stats.retransmitted_early), (1, 0, 0));
    assert_eq!(took, ms(200), "one round trip more");
}

#[test]
fn the_last_segment_is_sent_again_when_it_times_out() {
    let link = clean(10).drop_datagrams([0]);
    let mut pair = Pair::with([Config::new(), Config::new()], [link, clean(10)], 1, sim::Start::default());
    let took = pair.transfer(0, b"hello", ms(1_000));
    assert_eq!(took, ms(200 + 20), "the first timeout is 200 ms");
    assert_eq!(pair.client().connection.stats().retransmitted_timeout, 1);
}

#[test]
fn early_retransmission_mends_a_tail_with_fast_retransmission_off() {
    let profile = Profile::new(NoDelay::On, ms(10), 0, Congestion::None).unwrap();
    let config = Config::new().profile(profile);
    let link = clean(50).drop_datagrams([3]);
    let mut pair = Pair::with([config.clone(), config], [link, clean(50)], 1, sim::Start::default());
    pair.transfer(0, b"first", ms(1_000));
    let took = pair.transfer(0, &payload(4 * 1_376, 1), ms(1_000));
    let stats = pair.client().connection.stats();
    assert_eq!((stats.retransmitted_early, stats.retransmitted_timeout, stats.retransmitted_fast), (1, 0, 0));
    assert!(took < ms(250), "{took:?}");
}

#[test]
fn mere_reordering_within_a_quarter_of_the_round_trip_sends_nothing_twice() {
    let link = clean(40).reorder(0.05, Reorder::HoldBack(ms(2)));
    let profile = Profile::new(NoDelay::On, ms(40), 0, Congestion::None).unwrap();
    let config = Config::new().profile(profile);
    let mut pair = Pair::with([config.clone(), config], [link, clean(40)], 7, sim::Start::default());
    pair.transfer(0, &payload(2_000_000, 1), ms(20_000));
    let stats = pair.client().connection.stats();
    assert!(pair.link_stats(0).reordered > 20, "the link did reorder");
    assert_eq!(stats.retransmitted_early + stats.retransmitted_timeout, 0);
}

#[test]
fn a_round_trip_longer_than_the_first_timeout_is_learned_all_the_same() {
    let mut pair = Pair::new(Config::new(), clean(300), 1);
    pair.transfer(0, &payload(3_000_000, 1), ms(60_000));
    let stats = pair.client().connection.stats();
    assert!(stats.rtt.is_some_and(|rtt| rtt >= ms(600)), "{:?}", stats.rtt);
    // The first flight of 32 is sent again, twice at most; nothing after it.
    assert!(stats.retransmitted_timeout <= 64, "{}", stats.retransmitted_timeout);
}

#[test]
fn lost_acknowledgements_do_not_duplicate_data() {
    let back = clean(10).loss(Loss::Bernoulli(0.5));
    let mut pair = Pair::with([Config::new(), Config::new()], [clean(10), back], 3, sim::Start::default());
    pair.transfer(0, &payload(300_000, 1), ms(60_000));
    assert_eq!(pair.server().connection.stats().bytes_received, 300_000);
}

#[test]
fn timeouts_grow_as_in_the_reference() {
    // (backoff, nodelay, the waits after the first sending in ms): rto is 200 until a sample is known.
    let cases = [
        (Backoff::Linear, NoDelay::Off, [225, 400, 600, 800]),
        (Backoff::Linear, NoDelay::On, [200, 300, 400, 500]),
        (Backoff::Exponential, NoDelay::Off, [225, 400, 800, 1600]),
        (Backoff::Exponential, NoDelay::On, [200, 300, 450, 675]),
        (Backoff::Exponential, NoDelay::Twice, [200, 300, 400, 500]),
    ];
    for (backoff, nodelay, waits) in cases {
        let profile = Profile::new(nodelay, ms(10), 2, Congestion::None).unwrap();
        let config = classic().profile(profile).backoff(backoff);
        let mut pair = Pair::new(config, clean(10).loss(Loss::Bernoulli(1.0)), 1);
        pair.client().outgoing = b"hello".to_vec();
        pair.run_for(ms(3_600));
        let sent: Vec<_> = pair.client().sent.iter().map(|s| s.0).collect();
        let seen: Vec<_> = sent.windows(2).map(|w| (w[1] - w[0]).as_millis()).take(4).collect();
        assert_eq!(seen, waits, "{backoff:?} {nodelay:?}");
    }
}

#[test]
fn a_closed_window_is_probed_and_tells_when_it_opens_again() {
    let config = classic().recv_window(32).unwrap();
    let mut pair = Pair::new(config, clean(10), 1);
    pair.server().reads = false;
    let data = payload(60 * 1_376, 1);
    pair.client().outgoing = data.clone();
    pair.run_for(ms(3_000));
    assert_eq!(pair.server().connection.stats().unread, 32 * 1_376);
    assert_eq!(pair.client().connection.stats().remote_window, 0);
    let probes = pair.client().connection.stats().probes_sent;
    assert_eq!(probes, 3, "after 0.5, 1.25 and 2.375 s");
    pair.server().reads = true;
    let opened = pair.now;
    pair.run_until(ms(100), |p| p.sides[1].received.len() == data.len());
    assert!(pair.now - opened <= ms(40), "told unasked, not at the next probe: {:?}", pair.now - opened);
    assert!(pair.server().received == data);
}

#[test]
fn a_closed_window_and_a_dead_peer_end_in_a_timeout() {
    let config = classic().recv_window(32).unwrap();
    let mut pair = Pair::new(config, clean(10), 1);
    pair.server().reads = false;
    pair.client().outgoing = payload(60 * 1_376, 1);
    pair.run_for(ms(1_000));
    pair.server().stopped = true;
    pair.run_until(ms(60_000), |p| p.sides[0].connection.ending().is_some());
    let ending = pair.client().connection.ending().unwrap().clone();
    assert_eq!(ending.cause, Cause::TimedOut(Silence::Retransmissions));
    assert_eq!(ending.bytes_acknowledged, 32 * 1_376);
    assert_eq!(ending.bytes_in_doubt(), 28 * 1_376);
}

#[test]
fn a_slow_reader_is_waited_for_however_long() {
    let config = classic().recv_window(32).unwrap();
    let mut pair = Pair::new(config, clean(10), 1);
    pair.server().reads = false;
    let data = payload(60 * 1_376, 1);
    pair.client().outgoing = data.clone();
    pair.run_for(ms(3_600_000));
    pair.server().reads = true;
    pair.run_until(ms(200_000), |p| p.sides[1].received.len() == data.len());
}

#[test]
fn a_peer_that_vanishes_with_data_in_flight_is_noticed_after_20_seconds_and_20_transmissions() {
    let mut pair = Pair::new(classic(), clean(10), 1);
    pair.transfer(0, b"hello", ms(1_000));
    pair.server().stopped = true;
    pair.client().outgoing.extend_from_slice(b"anyone there?");
    let start = pair.now;
    pair.run_until(ms(120_000), |p| p.sides[0].connection.ending().is_some());
    let ending = pair.client().connection.ending().unwrap();
    assert_eq!((ending.by, ending.cause), (Party::Network, Cause::TimedOut(Silence::Retransmissions)));
    assert_eq!((ending.bytes_sent, ending.bytes_acknowledged), (18, 5));
    assert!(pair.now - start >= ms(20_000), "{:?}", pair.now - start);
}

#[test]
fn a_first_write_that_nobody_answers_ends_after_the_connect_timeout() {
    let mut pair = Pair::new(classic(), clean(10).loss(Loss::Bernoulli(1.0)), 1);
    pair.client().outgoing = b"hello".to_vec();
    pair.run_until(ms(6_000), |p| p.sides[0].connection.ending().is_some());
    assert_eq!(pair.now, ms(5_000));
    let ending = pair.client().connection.ending().unwrap();
    assert_eq!(ending.cause, Cause::TimedOut(Silence::Opening));
    assert_eq!(ending.to_string(), "timed out after 5.00 s: no answer at all, 0 of 5 bytes acknowledged");
}

#[test]
fn a_silent_peer_is_noticed_by_keep_alive_and_a_living_one_is_not() {
    let config = Config::new().keep_alive(ms(1_000));
    let mut pair = Pair::new(config, clean(10), 1);
    pair.transfer(0, b"hello", ms(1_000));
    pair.run_for(ms(60_000));
    assert!(pair.sides.iter().all(|s| s.connection.ending().is_none()));
    pair.server().stopped = true;
    let start = pair.now;
    pair.run_until(ms(10_000), |p| p.sides[0].connection.ending().is_some());
    assert_eq!(pair.client().connection.ending().unwrap().cause, Cause::TimedOut(Silence::KeepAlive));
    assert!(pair.now - start <= ms(4_100), "{:?}", pair.now - start);
}

#[test]
fn an_idle_connection_in_classic_mode_has_no_timer_and_holds_no_buffers() {
    let mut pair = Pair::new(classic(), clean(10), 1);
    pair.transfer(0, &payload(100_000, 1), ms(10_000));
    pair.run_for(ms(2_000));
    assert!(pair.sides.iter().all(|s| s.connection.poll_timeout().is_none()));
    let before = pair.datagrams;
    pair.run_for(ms(10_000_000));
    assert_eq!(pair.datagrams, before);
    pair.transfer(1, &payload(100_000, 2), ms(10_000));
}

#[test]
fn a_process_that_was_stopped_for_a_minute_does_not_find_its_peer_dead() {
    let mut pair = Pair::new(Config::new().keep_alive(ms(1_000)), clean(10), 1);
    pair.transfer(0, b"hello", ms(1_000));
    pair.client().outgoing.extend_from_slice(&payload(100_000, 1));
    pair.run_for(ms(5));
    assert!(pair.client().connection.stats().in_flight > 0);
    pair.now += ms(60_000);
    let now = pair.instant();
    let before = pair.client().connection.stats().probes_sent;
    // Nothing was in its socket: each timer runs out, once.
    pair.client().connection.handle_timeout(now);
    assert_eq!(pair.client().connection.ending(), None);
    assert_eq!(pair.client().connection.stats().probes_sent, before);
    let next = pair.client().connection.poll_timeout().unwrap();
    assert!(next > now, "the next round has its own time");
}

#[test]
fn the_link_that_comes_back_goes_on_where_it_stopped() {
    let link = clean(10).partition(ms(50)..ms(15_000));
    let mut pair = Pair::new(Config::new(), link, 1);
    pair.transfer(0, &payload(10_000_000, 1), ms(60_000));
}

#[test]
fn close_delivers_what_was_written_and_then_ends() {
    let mut pair = Pair::new(Config::new(), clean(20).loss(Loss::Bernoulli(0.2)), 11);
    let data = payload(65_536, 1);
    assert_eq!(pair.client().connection.write(&data), 65_536);
    let now = pair.instant();
    pair.client().connection.close(now, 0, "");
    pair.run_until(ms(30_000), |p| p.sides[0].connection.ending().is_some());
    pair.run_for(ms(10));
    let ending = pair.client().connection.ending().unwrap();
    assert_eq!((ending.cause, ending.bytes_in_doubt()), (Cause::Closed, 0));
    assert!(pair.server().received == data);
}

#[test]
fn close_gives_up_when_nothing_is_acknowledged_for_the_linger_time() {
    let config = classic().linger(ms(3_000)).connect_timeout(ms(60_000));
    let mut pair = Pair::new(config, clean(10).loss(Loss::Bernoulli(1.0)), 1);
    pair.client().connection.write(b"hello");
    let now = pair.instant();
    pair.client().connection.close(now, 0, "");
    pair.run_until(ms(10_000), |p| p.sides[0].connection.ending().is_some());
    assert_eq!(pair.now, ms(3_000));
    assert_eq!(pair.client().connection.ending().unwrap().cause, Cause::TimedOut(Silence::Linger));
}

#[test]
fn selective_acknowledgements_alone_deliver_nothing_and_are_taken_back() {
    // As a stock peer does whose application has closed: each segment acknowledged, una stays 0.
    let now = Instant::now();
    let mut client = connection(classic(), Opening::Early, now);
    client.write(&payload(3 * 1_376, 1));
    let mut buffer = TransmitBuffer::new();
    assert!(client.poll_transmit(now, &mut buffer));
    let acks = acks_for(buffer.contents(), 0);
    client.handle_datagram(now + ms(1), &acks);
    assert!(!client.is_delivered());
    assert_eq!(client.stats().in_flight, 3);
    let at = client.poll_timeout().expect("it goes on");
    client.handle_timeout(at);
    assert_eq!(client.stats().marks_cleared, 3);
    assert!(client.poll_transmit(at, &mut buffer));
    assert_eq!(buffer.len(), 3, "all are sent again");
}

#[test]
fn an_acknowledgement_with_a_timestamp_that_was_never_sent_is_dropped() {
    let now = Instant::now();
    let mut client = connection(classic(), Opening::Early, now);
    client.write(b"hello");
    let mut buffer = TransmitBuffer::new();
    assert!(client.poll_transmit(now, &mut buffer));
    let (push, _) = sendoff_proto::wire::SegmentView::parse(buffer.contents()).unwrap();
    let mut forged = Segment { command: Command::Ack, una: SeqNumber(1), ..push.to_segment() };
    forged.timestamp.0 = forged.timestamp.0.wrapping_add(12_345);
    client.handle_datagram(now, &forged.encode_header(0));
    assert_eq!((client.stats().dropped_acks, client.is_delivered()), (1, false));
    forged.timestamp = push.timestamp();
    client.handle_datagram(now, &forged.encode_header(0));
    assert!(client.is_delivered());
}

#[test]
fn messages_keep_their_boundaries_over_a_lossy_link() {
    let config = Config::new().mode(Mode::Message);
    let mut pair =
        Pair::new(config, clean(5).loss(Loss::Bernoulli(0.1)).reorder(0.1, Reorder::HoldBack(ms(3))), 5);
    pair.server().reads = false;
    let sizes = [1, 2, 1_375, 1_376, 1_377, 10_000, 100 * 1_376, 127 * 1_308, 1];
    let messages: Vec<_> = sizes.iter().map(|&n| payload(n, n as u64)).collect();
    let (mut next, mut received) = (0, Vec::new());
    pair.run_until(ms(60_000), |p| {
        while next < messages.len() && p.sides[0].connection.write_message(&messages[next]).unwrap() {
            next += 1;
        }
        while let Some(message) = p.sides[1].connection.read_message().unwrap() {
            received.push(message);
        }
        received.len() == messages.len()
    });
    assert!(received == messages);
}

#[test]
fn a_message_of_more_than_127_fragments_is_refused_whole() {
    let mut client = connection(Config::new().mode(Mode::Message), Opening::Early, Instant::now());
    // Wherever in the conversation it stands: the first segments leave room for a HELLO.
    let error = client.write_message(&payload(127 * 1_308 + 1, 1)).unwrap_err();
    assert_eq!(error.to_string(), "a message of 166117 bytes: must be 1 to 166116 bytes (127 fragments)");
    assert!(client.write_message(b"").is_err());
    assert_eq!(client.stats().queued, 0);
}

#[test]
fn a_batch_is_of_equal_datagrams_and_the_acknowledgement_goes_last() {
    let now = Instant::now();
    let mut server = connection(classic(), Opening::Stock, now);
    let push = Segment {
        conv: 7,
        command: Command::Push,
        fragment: 0,
        window: 1_024,
        timestamp: Default::default(),
        sn: SeqNumber(0),
        una: SeqNumber(0),
    };
    let mut first = Vec::new();
    push.encode(b"hello", &mut first);
    server.handle_datagram(now, &first);
    server.write(&payload(10 * 1_376 + 100, 1));
    let mut buffer = TransmitBuffer::new();
    assert!(server.poll_transmit(now, &mut buffer));
    let sizes: Vec<_> = buffer.datagrams().map(<[u8]>::len).collect();
    assert_eq!(sizes[..10], [1_400; 10]);
    assert_eq!(sizes[10..], [24 + 100 + 24]);
    let last = buffer.datagrams().last().unwrap();
    let kinds: Vec<_> = segments(last).map(|s| s.unwrap().command()).collect();
    assert_eq!(kinds, [Command::Push, Command::Ack]);
}

#[test]
fn room_for_headers_and_tags_is_left_around_each_datagram() {
    let now = Instant::now();
    let mut client = connection(classic(), Opening::Early, now);
    client.write(&payload(3 * 1_376 + 1, 1));
    let mut buffer = TransmitBuffer::with_room(28, 16);
    assert!(client.poll_transmit(now, &mut buffer));
    let sizes: Vec<_> = buffer.datagrams().map(<[u8]>::len).collect();
    assert_eq!(sizes, [1_444, 1_444, 1_444, 25 + 44]);
    for datagram in buffer.datagrams() {
        assert_eq!(datagram[..28], [0; 28]);
        assert_eq!(segments(&datagram[28..datagram.len() - 16]).filter(Result::is_ok).count(), 1);
    }
}

#[test]
fn deferred_acknowledgements_ride_with_the_answer_or_leave_after_5_ms() {
    let mut pair = Pair::new(Config::new(), clean(1), 1);
    pair.client().outgoing = b"hello".to_vec();
    pair.run_for(ms(0));
    let (at, datagram) = (pair.now + ms(1), pair.sides[0].link.next_arrival());
    assert_eq!(datagram, Some(at));
    pair.now = at;
    let now = pair.instant();
    let datagram = pair.sides[0].link.receive(at).unwrap();
    let server = &mut pair.sides[1].connection;
    server.handle_datagram(now, &datagram);
    server.defer_answer(now);
    assert!(!server.has_transmit() && server.owes_answer());
    assert_eq!(server.poll_timeout(), Some(now + ms(5)));
    let mut late = server.clone();
    late.handle_timeout(now + ms(5));
    assert!(late.has_transmit());
    server.write(b"hello");
    let mut buffer = TransmitBuffer::new();
    assert!(server.poll_transmit(now, &mut buffer));
    // Behind a WELCOME, as it is the server's first.
    assert_eq!((buffer.len(), buffer.contents().len()), (1, 52 + 24 + 5 + 24));
}

#[test]
fn nobody_listening_refuses_a_new_connection_at_the_second_report() {
    let now = Instant::now();
    let mut client = connection(Config::new(), Opening::Early, now);
    client.write(b"hello");
    let mut buffer = TransmitBuffer::new();
    assert!(client.poll_transmit(now, &mut buffer));
    client.handle_unreachable(now);
    client.handle_unreachable(now);
    assert_eq!(client.ending(), None, "one datagram, one report: it may be forged");
    let at = client.poll_timeout().unwrap();
    client.handle_timeout(at);
    assert!(client.poll_transmit(at, &mut buffer));
    client.handle_unreachable(at);
    assert_eq!(client.ending().unwrap().cause, Cause::Refused);
}

#[test]
fn windows_and_profile_can_change_while_running_and_a_promised_edge_holds() {
    let config = classic().recv_window(128).unwrap();
    let mut pair = Pair::new(config, clean(10), 1);
    pair.server().reads = false;
    pair.transfer_some(40 * 1_376);
    pair.server().connection.set_windows(1_024, 32).unwrap();
    pair.client().connection.set_profile(Profile::FAST3);
    // 40 segments are unread: the window is over-full, but what was promised is still taken.
    pair.client().outgoing.extend_from_slice(&payload(88 * 1_376, 2));
    pair.run_for(ms(500));
    assert_eq!(pair.server().connection.stats().unread, 128 * 1_376);
    assert_eq!(pair.server().connection.stats().dropped_out_of_window, 0);
    assert!(pair.client().connection.set_windows(0, 32).is_err());
}

impl Pair {
    fn transfer_some(&mut self, bytes: usize) {
        self.client().outgoing = payload(bytes, 1);
        self.run_until(ms(1_000), |p| p.sides[1].connection.stats().unread == bytes);
    }
}

fn connection(config: Config, role: Opening, now: Instant) -> Connection {
    Connection::new(Arc::new(config), Conv::new(7).unwrap(), role, now, 99)
}

/// An ACK for each PUSH in a batch of full segments, all with the same una.
fn acks_for(batch: &[u8], una: u32) -> Vec<u8> {
    let mut acks = Vec::new();
    for push in segments(batch) {
        let ack = Segment { command: Command::Ack, una: SeqNumber(una), ..push.unwrap().to_segment() };
        ack.encode(&[], &mut acks);
    }
    acks
}

#[test]
fn mtu_bounds_hold_at_both_ends() {
    for mtu in [50, 576, 65_507] {
        let mut pair = Pair::new(Config::new().mtu(mtu).unwrap(), clean(5), 1);
        pair.transfer(0, &payload(200_000, mtu as u64), Duration::from_secs(60));
        let largest = pair.client().sent.iter().map(|s| s.1).max();
        assert_eq!(largest, Some(mtu));
    }
}
