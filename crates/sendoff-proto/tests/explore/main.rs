//! All that can happen to a conversation, breadth first, with the real code on both sides.
//!
//! A world is two hosts, up to two datagrams in the network each way, and what the applications have still to do.
//! Each datagram in the network may be delivered now, or later, or again, or never; applications take their steps at any
//! time; the clock goes on to the next timer, a few times in each path. States are told apart by fingerprints that
//! leave out the time. In each state `check` must hold, and from each a fair network must lead to an end of both sides.
//! `scripts/explore.sh` goes further than the default.

mod check;
mod ends;
mod feats;
mod forge;
mod host;
mod scenario;
mod search;
mod stock;
mod words;
mod world;

use ends::Clean;
use feats::Feat;
use scenario::{Begins, Faults, Finishes, Scenario};
use sendoff_proto::{Opening, Wire};
use std::time::Duration;

/// States of each scenario.
const DEFAULT_STATES: usize = 20_000;

/// A client that doesn't know that it has moved, and only listens, asks after 20 s; the server gives up an address that
/// was left before it was proven after 30.
const UNAWARE: Duration = Duration::from_secs(45);

fn run(scenario: &Scenario) {
    let asked = std::env::var("SENDOFF_EXPLORE_STATES").ok().and_then(|n| n.parse().ok());
    match search::explore(scenario, asked.unwrap_or(DEFAULT_STATES)) {
        Ok(report) => {
            println!("{}: {report}", scenario.name);
            for &feat in scenario.shows {
                assert!(report.states_with(feat) > 0, "{}: no {feat:?} in {report}", scenario.name);
            }
        }
        Err(trace) => panic!("{trace}"),
    }
}

fn scenario(name: &'static str, change: impl FnOnce(&mut Scenario)) {
    let mut scenario = Scenario::new(name);
    change(&mut scenario);
    run(&scenario);
}

#[test]
fn a_plain_conversation_ends_cleanly_or_says_what_is_lost() {
    scenario("plain", |s| {
        s.clean = Clean::All;
        s.faults.pauses = 1;
    });
}

#[test]
fn two_segments_arrive_once_and_in_order() {
    scenario("two-segments", |s| {
        (s.writes, s.first_writes, s.clean) = ([2, 0], &[0, 2], Clean::All);
        s.faults.pauses = 1;
    });
}

#[test]
fn a_longer_conversation_with_more_room_in_the_network() {
    scenario("long", |s| {
        (s.writes, s.first_writes, s.room, s.clean) = ([2, 2], &[0, 2], 3, Clean::All);
    });
}

#[test]
fn either_side_may_abort() {
    scenario("abort", |s| s.faults = Faults { aborts: 1, pauses: 1, ..Faults::default() });
}

#[test]
fn a_server_that_restarts_splices_no_conversations() {
    scenario("server-restart", |s| {
        (s.writes, s.first_writes) = ([2, 0], &[0, 1]);
        s.faults = Faults { server_restarts: 1, ..Faults::default() };
    });
}

#[test]
fn a_server_that_speaks_and_restarts_splices_no_conversations() {
    scenario("server-restart-both-ways", |s| {
        (s.writes, s.first_writes, s.openings) = ([0, 2], &[0], &[Opening::Waiting]);
        s.faults = Faults { server_restarts: 1, ..Faults::default() };
    });
}

#[test]
fn a_client_that_restarts_with_the_same_name_splices_no_conversations() {
    scenario("client-restart-same-conv", |s| {
        (s.first_writes, s.clean) = (&[0], Clean::Last);
        s.faults = Faults { client_restarts: 1, ..Faults::default() };
    });
}

#[test]
fn a_client_that_restarts_takes_nothing_that_was_meant_for_the_old_one() {
    scenario("client-restart-server-speaks", |s| {
        (s.writes, s.first_writes, s.openings) = ([0, 2], &[0], &[Opening::Waiting]);
        s.clean = Clean::Last;
        s.faults = Faults { client_restarts: 1, ..Faults::default() };
    });
}

#[test]
fn the_same_name_dialled_again_is_another_conversation() {
    scenario("redial-same-conv", |s| {
        (s.writes, s.first_writes, s.fixed_conv) = ([2, 0], &[0, 2], true);
        s.faults = Faults { aborts: 1, redials: 1, pauses: 1, ..Faults::default() };
    });
}

#[test]
fn a_server_that_goes_away_takes_nobody_else_and_every_conversation_ends_as_it_would() {
    scenario("going-away", |s| {
        (s.first_writes, s.clean) = (&[0, 1], Clean::All);
        s.faults = Faults { departures: 1, ..Faults::default() };
        s.shows = &[Feat::Farewell];
    });
}

#[test]
fn a_server_that_goes_away_and_dies_is_believed_no_more_than_before() {
    scenario("going-away-restart", |s| {
        (s.writes, s.first_writes) = ([1, 0], &[0, 1]);
        s.faults = Faults { departures: 1, server_restarts: 1, ..Faults::default() };
        s.shows = &[Feat::Farewell];
    });
}

#[test]
fn an_attacker_without_tokens_ends_and_opens_nothing() {
    scenario("attacker", |s| {
        s.echo = true;
        s.faults = Faults { forgeries: 1, ..Faults::default() };
    });
}

#[test]
fn an_attacker_without_tokens_gets_none_of_two_segments() {
    scenario("attacker-two-segments", |s| {
        (s.writes, s.first_writes, s.echo) = ([2, 0], &[0, 2], true);
        s.faults = Faults { forgeries: 1, ..Faults::default() };
    });
}

#[test]
fn both_sides_may_close_while_data_is_under_way() {
    scenario("close", |s| {
        (s.closes, s.finishes, s.clean) = ([true; 2], Finishes::AtAnyTime, Clean::Soon);
    });
}

#[test]
fn a_stock_server_may_close_at_any_time() {
    scenario("stock-server", |s| {
        (s.stock_server, s.writes, s.first_writes, s.clean) = (true, [2, 1], &[0, 1, 2], Clean::Soon);
        s.faults = Faults { stock_closes: 1, ..Faults::default() };
    });
}

#[test]
fn a_client_that_moves_at_any_time_ends_cleanly() {
    scenario("moves", |s| {
        (s.writes, s.first_writes, s.openings) = ([2, 1], &[1], &[Opening::Waiting]);
        (s.begins, s.clean, s.within) = (Begins::Open, Clean::All, UNAWARE);
        s.faults = Faults { moves: 1, ..Faults::default() };
        s.shows = &[Feat::Move];
    });
}

#[test]
fn a_client_that_moves_while_it_opens_is_served_where_it_is_then() {
    scenario("moves-opening", |s| {
        (s.writes, s.first_writes, s.openings) = ([1, 0], &[1], &[Opening::Early]);
        (s.begins, s.clean, s.within) = (Begins::HalfOpen, Clean::All, UNAWARE);
        s.faults = Faults { moves: 1, ..Faults::default() };
        s.shows = &[Feat::Reopening];
    });
}

#[test]
fn a_client_that_moves_away_and_back_ends_cleanly() {
    scenario("moves-twice", |s| {
        (s.writes, s.first_writes) = ([1, 1], &[1]);
        (s.begins, s.clean, s.within) = (Begins::Moved, Clean::All, UNAWARE);
        s.faults = Faults { moves: 2, ..Faults::default() };
        s.shows = &[Feat::Return];
    });
}

/// What is left of a conversation at one address must not stand before what is left of it at another.
#[test]
fn a_client_that_comes_back_when_the_server_has_ended_hears_how() {
    scenario("moves-back-to-a-tombstone", |s| {
        (s.writes, s.first_writes, s.finishes) = ([1, 0], &[0], Finishes::AtAnyTime);
        (s.begins, s.clean, s.openings) = (Begins::Moved, Clean::All, &[Opening::Waiting]);
        s.within = UNAWARE;
        s.faults = Faults { moves: 2, ..Faults::default() };
        s.shows = &[Feat::Return];
    });
}

#[test]
fn a_client_that_moves_while_both_close_takes_nobody_for_dead() {
    scenario("moves-close", |s| {
        (s.closes, s.finishes) = ([true; 2], Finishes::AtAnyTime);
        (s.writes, s.first_writes, s.openings) = ([1, 1], &[1], &[Opening::Early]);
        (s.begins, s.clean, s.within) = (Begins::Open, Clean::Heard, UNAWARE);
        s.faults = Faults { moves: 1, ..Faults::default() };
        s.shows = &[Feat::MoveWhileClosing];
    });
}

#[test]
fn nothing_that_is_sent_again_while_a_client_moves_and_both_close_changes_their_end() {
    scenario("moves-close-replays", |s| {
        (s.closes, s.finishes) = ([true; 2], Finishes::AtAnyTime);
        (s.writes, s.first_writes, s.openings) = ([1, 0], &[0], &[Opening::Waiting]);
        (s.begins, s.clean, s.within) = (Begins::Open, Clean::Heard, UNAWARE);
        s.faults = Faults { moves: 1, replays: 1, ..Faults::default() };
        s.shows = &[Feat::MoveWhileClosing, Feat::Question];
    });
}

#[test]
fn nothing_that_is_sent_again_from_elsewhere_moves_anybody() {
    scenario("moves-replays", |s| {
        (s.writes, s.first_writes, s.openings) = ([1, 1], &[0], &[Opening::Waiting]);
        (s.begins, s.clean, s.within) = (Begins::Open, Clean::All, UNAWARE);
        s.faults = Faults { moves: 1, replays: 2, ..Faults::default() };
        s.shows = &[Feat::Move, Feat::Question];
    });
}

#[test]
fn a_server_that_goes_away_is_understood_by_a_client_that_moves() {
    scenario("moves-going-away", |s| {
        (s.writes, s.first_writes, s.openings) = ([1, 0], &[0], &[Opening::Waiting]);
        (s.begins, s.clean, s.within) = (Begins::Open, Clean::All, UNAWARE);
        s.faults = Faults { moves: 1, departures: 1, ..Faults::default() };
        s.shows = &[Feat::Move, Feat::Farewell, Feat::MovedFarewell];
    });
}

#[test]
fn under_pressure_a_client_that_moves_while_it_opens_is_served() {
    scenario("moves-pressure", |s| {
        (s.pressure, s.writes, s.first_writes) = (true, [1, 0], &[1]);
        (s.clean, s.within) = (Clean::All, UNAWARE);
        s.faults = Faults { moves: 1, ..Faults::default() };
        s.shows = &[Feat::Retry];
    });
}

#[test]
fn a_stock_client_is_served() {
    scenario("stock-client", |s| {
        (s.client, s.finishes, s.openings) = (Wire::Classic, Finishes::AfterAll, &[Opening::Early]);
        (s.writes, s.echo) = ([2, 1], true);
    });
}

#[test]
fn an_attacker_makes_no_server_send_a_stock_client_what_it_misreads() {
    scenario("stock-client-attacker", |s| {
        (s.client, s.finishes, s.openings) = (Wire::Classic, Finishes::AtAnyTime, &[Opening::Early]);
        (s.writes, s.echo) = ([2, 1], true);
        s.faults = Faults { forgeries: 1, ..Faults::default() };
    });
}

#[test]
fn a_server_under_pressure_and_its_client_end_cleanly() {
    scenario("pressure", |s| {
        (s.pressure, s.clean) = (true, Clean::All);
        s.faults.pauses = 1;
        s.shows = &[Feat::Retry];
    });
}

#[test]
fn under_pressure_two_segments_arrive_once_and_in_order() {
    scenario("pressure-two-segments", |s| {
        (s.pressure, s.writes, s.first_writes, s.clean) = (true, [2, 0], &[0, 2], Clean::All);
        s.shows = &[Feat::Retry];
    });
}

#[test]
fn pressure_may_come_and_go() {
    scenario("pressure-flips", |s| {
        (s.writes, s.first_writes, s.clean) = ([2, 1], &[0, 1, 2], Clean::All);
        s.faults.flips = 2;
        s.shows = &[Feat::Retry];
    });
}

#[test]
fn a_server_that_restarts_under_pressure_splices_no_conversations() {
    scenario("pressure-restart", |s| {
        (s.pressure, s.writes, s.first_writes) = (true, [2, 1], &[0, 1]);
        s.faults = Faults { server_restarts: 1, flips: 1, ..Faults::default() };
        s.shows = &[Feat::Retry];
    });
}

#[test]
fn a_client_that_restarts_under_pressure_with_the_same_name_splices_no_conversations() {
    scenario("pressure-client-restart", |s| {
        (s.pressure, s.first_writes, s.clean) = (true, &[0, 1], Clean::Last);
        s.faults = Faults { client_restarts: 1, ..Faults::default() };
        s.shows = &[Feat::Retry];
    });
}

#[test]
fn under_pressure_an_attacker_without_tokens_ends_and_opens_nothing() {
    scenario("pressure-attacker", |s| {
        (s.pressure, s.writes, s.first_writes, s.echo) = (true, [2, 1], &[0, 2], true);
        s.faults = Faults { forgeries: 1, flips: 1, ..Faults::default() };
        s.shows = &[Feat::Retry];
    });
}
