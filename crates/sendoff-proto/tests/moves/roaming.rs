//! A client that goes elsewhere is followed, whatever it was doing.

use super::*;

#[test]
fn a_client_that_knows_of_its_move_is_followed_in_two_round_trips() {
    let mut net = connected(Config::new());
    net.move_host(CLIENT, AWAY);
    let began = net.now;
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_until(ms(1_000), |net| seen_at(net) == addr(AWAY));
    // PING, PING, PONG.
    assert_eq!(net.now - began, ms(30));
    for n in [AWAY, SERVER] {
        assert_eq!(net.connection(n).stats().moves, 1);
    }
    say_the_rest(&mut net, AWAY, b"on and on");
    ends_well(&mut net, AWAY, b"on and on");
}

#[test]
fn a_client_that_does_not_know_of_its_move_learns_of_it_by_its_next_data() {
    let mut net = connected(Config::new());
    net.move_host(CLIENT, AWAY);
    let began = net.now;
    say_the_rest(&mut net, AWAY, b"still here");
    ends_well(&mut net, AWAY, b"still here");
    assert!(net.now - began < ms(1_000), "{:?}", net.now - began);
    assert_eq!(seen_at(&mut net), addr(AWAY));
}

#[test]
fn an_idle_client_is_followed_at_its_next_keep_alive() {
    let mut net = connected(Config::new());
    net.move_host(CLIENT, AWAY);
    net.run_for(ms(21_000));
    assert_eq!(seen_at(&mut net), addr(AWAY));
    let hints = net.sent_by(SERVER).filter(|sent| sent.has(BlockKind::Reset)).count();
    assert_eq!(hints, 0);
    say_the_rest(&mut net, AWAY, b"awake");
    ends_well(&mut net, AWAY, b"awake");
}

#[test]
fn a_server_sends_nothing_but_two_small_datagrams_to_an_address_that_is_not_proven() {
    let mut net = connected(Config::new());
    net.talk(SERVER).app.outgoing = payload(200_000, 1);
    net.run_for(ms(5));
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.loses = Some(Box::new(|sent| sent.from == addr(AWAY) && sent.has(BlockKind::Pong)));
    net.run_for(ms(3_000));
    assert_eq!(seen_at(&mut net), addr(CLIENT));
    let asked: usize = net.sent_by(AWAY).map(|sent| sent.bytes.len()).sum();
    let told: usize = net.log.iter().filter(|sent| sent.to == addr(AWAY)).map(|sent| sent.bytes.len()).sum();
    assert!(told <= 3 * asked, "{told} bytes for {asked}");
    let longest = net.log.iter().filter(|sent| sent.to == addr(AWAY)).map(|sent| sent.bytes.len()).max();
    assert_eq!(longest, Some(56));
    net.loses = None;
    net.run_until(ms(30_000), |net| net.talk(AWAY).app.received.len() == 200_000);
}

#[test]
fn a_transfer_goes_on_after_each_move_and_loses_nothing() {
    for (up, knows) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut net = connected(Config::new());
        let data = payload(12_000_000, 7);
        let (mut client, from) = (CLIENT, if up { CLIENT } else { SERVER });
        net.talk(SERVER).app.echoes = false;
        net.talk(from).app.outgoing = data.clone();
        for to in [AWAY, FURTHER, CLIENT] {
            net.run_for(ms(25));
            let heard = |net: &mut Net, client| net.talk(if up { SERVER } else { client }).app.received.len();
            assert!(heard(&mut net, client) < data.len(), "over before it moves");
            net.move_host(client, to);
            client = to;
            let now = net.instant();
            if knows {
                net.connection(client).handle_new_path(now);
            }
            let (began, before) = (net.now, heard(&mut net, client));
            net.run_until(ms(10_000), |net| {
                seen_at(net) == addr(client) && heard(net, client) > before + 3_000
            });
            let pause = net.now - began;
            assert!(pause < ms(1_500), "up: {up}, knows: {knows}: {pause:?}");
        }
        net.run_until(ms(60_000), |net| {
            let heard = &net.talk(if up { SERVER } else { client }).app.received;
            heard.len() == data.len()
        });
        assert!(net.talk(if up { SERVER } else { client }).app.received == data);
        assert_eq!(net.connection(SERVER).stats().moves, 3);
    }
}

#[test]
fn round_trip_and_congestion_window_start_over() {
    let mut net = connected(Config::normal());
    net.talk(SERVER).app.outgoing = payload(300_000, 2);
    net.run_until(ms(20_000), |net| net.talk(CLIENT).app.received.len() == 300_000);
    net.run_for(ms(100));
    let before = net.connection(SERVER).stats();
    assert!(before.rtt.is_some_and(|rtt| rtt > ms(15)), "{:?}", before.rtt);
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_until(ms(1_000), |net| seen_at(net) == addr(AWAY));
    let after = net.connection(SERVER).stats();
    // What the questions took, and nothing of before.
    assert_eq!((after.rtt, after.rtt_variance), (Some(ms(20)), ms(10)));
    assert_eq!(after.rto, ms(200));
}

#[test]
fn an_acknowledgement_of_what_went_the_old_way_is_no_round_trip() {
    let mut net = connected(Config::new());
    net.talk(SERVER).app.outgoing = payload(2_000, 3);
    net.run_for(ms(1));
    net.move_host(CLIENT, AWAY);
    net.run_for(ms(400));
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_for(ms(2_000));
    let rtt = net.connection(SERVER).stats().rtt.expect("a round trip");
    assert!(rtt <= ms(60), "{rtt:?}");
}

#[test]
fn a_move_while_both_close_is_a_clean_end() {
    // At each moment of the farewell, and however the client learns of it.
    for after in (0..100).step_by(5) {
        for knows in [true, false] {
            let mut net = connected(Config::new());
            say_the_rest(&mut net, CLIENT, b"last words");
            net.run_for(ms(after));
            net.move_host(CLIENT, AWAY);
            if knows {
                let now = net.instant();
                net.connection(AWAY).handle_new_path(now);
            }
            ends_well(&mut net, AWAY, b"last words");
        }
    }
}

#[test]
fn a_client_whose_last_acknowledgement_was_lost_by_the_move_hears_of_it_from_the_tombstone() {
    let mut net = connected(Config::new());
    // The server has finished long ago; the client sends the rest.
    net.talk(SERVER).app.echoes = false;
    net.connection(SERVER).finish();
    net.run_for(ms(500));
    say_the_rest(&mut net, CLIENT, b"a report");
    net.run_for(ms(11));
    assert!(net.at(SERVER).is_over() && !net.at(CLIENT).is_over());
    net.move_host(CLIENT, AWAY);
    net.run_until(ms(5_000), |net| net.at(AWAY).is_over());
    let ending = net.ending(AWAY);
    assert_eq!((ending.cause, ending.bytes_acknowledged), (Cause::Closed, 8), "{ending}");
}

#[test]
fn who_has_come_back_unseen_hears_of_the_end_where_it_was_seen_last() {
    let mut net = connected(Config::new());
    net.talk(SERVER).app.echoes = false;
    net.connection(SERVER).finish();
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_until(ms(1_000), |net| seen_at(net) == addr(AWAY));
    net.run_for(ms(500));
    say_the_rest(&mut net, AWAY, b"a report");
    net.run_for(ms(11));
    assert!(net.at(SERVER).is_over() && !net.at(AWAY).is_over());
    // The acknowledgement goes to where it isn't any more; there is a tombstone for where it is, too.
    net.move_host(AWAY, CLIENT);
    net.run_until(ms(5_000), |net| net.at(CLIENT).is_over());
    let ending = net.ending(CLIENT);
    assert_eq!((ending.cause, ending.bytes_acknowledged), (Cause::Closed, 8), "{ending} {:#?}", net.log);
}

#[test]
fn the_answer_that_moves_a_peer_leaves_before_the_data_that_waits_for_it() {
    let mut net = connected(Config::fast3());
    net.talk(SERVER).app.echoes = false;
    net.talk(CLIENT).app.outgoing = payload(3_000_000, 6);
    net.run_for(ms(25));
    assert!(net.connection(CLIENT).stats().in_flight > 100);
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_until(ms(1_000), |net| seen_at(net) == addr(AWAY));
    let question = net.log.iter().find(|sent| sent.to == addr(AWAY) && sent.has(BlockKind::Ping));
    let heard = question.expect("a question").at + ms(10);
    let after: Vec<_> = net.sent_by(AWAY).filter(|sent| sent.at >= heard).collect();
    assert!(after[0].has(BlockKind::Pong), "{:?}", after[0]);
    assert!(after.len() > 30, "and then the data: {}", after.len());
}

#[test]
fn a_late_copy_of_the_opening_opens_nothing_at_the_address_that_was_left() {
    let mut net = Net::default();
    net.host(CLIENT, Config::new(), false, Script::says(b"an order"));
    net.host(SERVER, Config::new(), true, Script { finishes: false, ..Script::echo() });
    net.dial(CLIENT, SERVER, Opening::Early);
    net.talk(CLIENT).app.finishes = false;
    net.run_for(ms(500));
    let opening = net.log[0].bytes.clone();
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_until(ms(1_000), |net| seen_at(net) == addr(AWAY));
    net.inject(addr(CLIENT), SERVER, opening);
    assert_eq!(net.accepted(SERVER), 1);
    assert_eq!(net.talk(SERVER).app.received, b"an order");
}

#[test]
fn data_that_the_client_sends_from_where_it_was_is_told_so_and_leads_back() {
    let mut net = connected(Config::new());
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_until(ms(1_000), |net| seen_at(net) == addr(AWAY));
    net.move_host(AWAY, CLIENT);
    say_the_rest(&mut net, CLIENT, b"back again");
    ends_well(&mut net, CLIENT, b"back again");
    assert_eq!(net.connection(SERVER).stats().moves, 2);
}

#[test]
fn with_follow_off_a_client_that_has_moved_is_told_that_nobody_knows_it() {
    let mut net = connected(Config::new().follow(false));
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_until(ms(1_000), |net| net.at(AWAY).is_over());
    let ending = net.ending(AWAY);
    assert_eq!((ending.cause, ending.code), (Cause::Reset, 1));
    assert_eq!(seen_at(&mut net), addr(CLIENT));
}

#[test]
fn a_client_that_moves_while_it_opens_is_served_once_it_is_known() {
    for after in (0..60).step_by(5) {
        for how in [Opening::Waiting, Opening::Early] {
            let mut net = Net::default();
            net.host(CLIENT, Config::new(), false, Script::says(b"an order"));
            net.host(SERVER, Config::new(), true, Script::echo());
            net.dial(CLIENT, SERVER, how);
            net.run_for(ms(after));
            net.move_host(CLIENT, AWAY);
            net.run_until(ms(60_000), |net| net.at(AWAY).is_over());
            let ending = net.ending(AWAY);
            assert_eq!(ending.cause, Cause::Closed, "after {after} ms, {how:?}: {ending} {:#?}", net.log);
            assert_eq!(net.talk(AWAY).app.received, b"an order");
            // One that was left before it was known is given up.
            net.run_until(ms(60_000), |net| net.at(SERVER).is_over());
            assert!(net.accepted(SERVER) <= 2);
        }
    }
}

#[test]
fn an_idle_download_costs_one_question_and_no_more() {
    let mut net = connected(Config::new());
    net.talk(SERVER).app.outgoing = payload(300_000, 4);
    net.run_until(ms(5_000), |net| net.talk(CLIENT).app.received.len() == 300_000);
    let sent = net.sent_by(CLIENT).filter(|sent| sent.has(BlockKind::Ping)).count();
    net.run_for(ms(15_000));
    let asked = net.sent_by(CLIENT).filter(|sent| sent.has(BlockKind::Ping)).count() - sent;
    assert_eq!(asked, 1);
    assert_eq!(net.connection(CLIENT).stats().hints, 0);
}

#[test]
fn a_table_forgets_those_that_it_followed() {
    let mut net = connected(Config::new());
    assert_eq!(net.at(SERVER).endpoint.followed(), 1);
    net.move_host(CLIENT, AWAY);
    say_the_rest(&mut net, AWAY, b"on");
    ends_well(&mut net, AWAY, b"on");
    assert_eq!(net.at(SERVER).endpoint.followed(), 0);
    assert_eq!(net.at(SERVER).endpoint.connections(), 0);
}
