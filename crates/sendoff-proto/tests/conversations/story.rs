//! What must hold of every conversation, whatever happened to it.

use super::{
    Host, Talk, Then,
    world::{World, is_elsewhere},
};
use sendoff_proto::{Cause, Ending, Party, PeerKind, Silence, Wire, code};

/// What was heard is what was said, from its beginning, and an end in order comes after all of it.
pub fn check_bytes(seed: u64, world: &World) {
    for (listener, speaker) in [(0, 1), (1, 0)] {
        let said = &world.hosts[speaker].app.plan.payload;
        for talk in &world.hosts[listener].talks {
            assert!(said.starts_with(&talk.app.received), "seed {seed}: other bytes");
            assert!(
                !talk.app.eof || talk.app.received.len() == said.len(),
                "seed {seed}: an end before all has come"
            );
        }
    }
}

pub fn check_story(seed: u64, world: &World, (ours, server): (Wire, Wire), restarted: bool) {
    check_bytes(seed, world);
    let endings = |host: &Host| host.talks.iter().map(|t| t.connection.ending().cloned()).collect::<Vec<_>>();
    let client = &world.hosts[0].talks[0];
    let tell = || {
        format!(
            "seed {seed}, {ours} to {server}, at {:?}\nclient {:#?}\n{:?}\nserver {:#?}\nbefore {:#?}",
            world.now,
            client.connection.ending(),
            client.connection.stats(),
            world.hosts[1]
                .talks
                .iter()
                .map(|t| (t.connection.ending(), t.connection.stats()))
                .collect::<Vec<_>>(),
            world.before.iter().map(endings).collect::<Vec<_>>()
        )
    };
    let Some(ending) = client.connection.ending() else { panic!("no end at the client: {}", tell()) };
    assert!(endings(&world.hosts[1]).iter().all(Option::is_some), "no end at the server: {}", tell());
    for talk in world.hosts.iter().flat_map(|h| &h.talks) {
        assert_eq!(talk.connection.poll_timeout(), None, "a timer after the end: {}", tell());
    }
    let accepted = world.hosts[1].talks.len() + world.before.iter().map(|h| h.talks.len()).sum::<usize>();
    // A stock opening is one more to a server that has forgotten the first; so may a copy of a HELLO be, also one that
    // comes from elsewhere, or from a client that has moved before it was known.
    let copies = usize::from(restarted) * 2 + world.moved + world.replayed;
    assert!(accepted <= 1 + copies, "{accepted} accepted: {}", tell());
    let mut talks = world.hosts[1].talks.iter();
    let partner = match client.connection.peer_token() {
        Some(token) => talks.find(|talk| talk.connection.token() == token),
        None => talks.next().filter(|_| accepted == 1),
    };
    if let Some(server) = partner {
        check_pair(client, ending, server, &tell);
    }
    for talk in &world.hosts[1].talks {
        let moved = talk.connection.stats().moves > 0;
        assert!(!moved || !is_elsewhere(talk.remote), "moved by what was sent again: {}", tell());
    }
    check_departure(world, client, ending, &tell);
    if server == Wire::Required && ours == Wire::Classic {
        assert_eq!(accepted, 0, "{}", tell());
    }
}

/// Who is told that the server goes away, and who is broken off because it has gone.
fn check_departure(world: &World, client: &Talk, ending: &Ending, tell: &dyn Fn() -> String) {
    let leaves = world.leaves.is_some();
    assert!(leaves || !client.connection.is_peer_going_away(), "{}", tell());
    if ending.by == Party::Peer && ending.code == code::GOING_AWAY {
        assert!(leaves && matches!(ending.cause, Cause::Refused | Cause::Reset), "{}", tell());
    }
    for talk in &world.hosts[1].talks {
        let known = client.connection.is_peer_going_away() || talk.connection.ending().is_some();
        assert!(!talk.connection.is_going_away_confirmed() || known, "{}", tell());
    }
}

/// Two ends of one conversation.
fn check_pair(client: &Talk, ending: &Ending, server: &Talk, tell: &dyn Fn() -> String) {
    let other = server.connection.ending().unwrap();
    let ends = [(client, ending, server, other), (server, other, client, ending)];
    for (us, ours, them, theirs) in ends {
        let extended = us.connection.peer_kind() == PeerKind::Extended;
        let all = us.app.plan.payload.len();
        if ours.cause == Cause::Closed && us.app.written == all && them.app.plan.abort_at.is_none() {
            // What is acknowledged has arrived; unless its reader had closed, and said so.
            let arrived = them.app.received.len() == all || them.app.plan.then == Then::Close;
            assert!(arrived || !extended, "{}", tell());
        }
        if ours.cause == Cause::Closed && extended && us.connection.is_delivered() {
            let heard = theirs.bytes_received == ours.bytes_sent;
            assert!(heard, "acknowledged, but not heard: {}", tell());
        }
        if us.app.eof {
            assert!(them.app.done, "an end that nobody said: {}", tell());
            assert_eq!(us.connection.peer_farewell().map(|f| f.code >= 17 || f.code == 0), Some(true));
        }
        match (ours.by, ours.cause) {
            (Party::Peer, Cause::Reset) if ours.code == 99 => {
                assert!(them.app.plan.abort_at.is_some(), "{}", tell());
            }
            (Party::Local, Cause::Aborted) if ours.code == code::GOING_AWAY => {}
            (Party::Local, Cause::Aborted) => assert!(us.app.plan.abort_at.is_some(), "{}", tell()),
            (_, Cause::TimedOut(Silence::Opening)) => assert!(us.app.received.is_empty(), "{}", tell()),
            _ => {}
        }
    }
}
