//! What must hold in every state.

use super::{
    forge::{stranger, thief},
    host::{Host, Talk},
    scenario::Scenario,
    world::World,
};
use sendoff_proto::{Cause, Opening, PeerKind, code};
use std::time::Duration;

/// How long an endpoint remembers what has ended.
const TOMBSTONE: Duration = Duration::from_secs(10);

/// Which of the client's conversations opened that one of the server.
fn dial_of<'a>(client: &'a Host, accepted: &Talk) -> Option<&'a Talk> {
    match accepted.opening.peer_token() {
        Some(token) => client.talks.iter().find(|dial| dial.tokens.contains(&token)),
        None => client.talks.iter().find(|dial| accepted.received.first() == Some(&dial.name)),
    }
}

/// A connection was just accepted.
pub fn accepted(client: &Host, server: &Host, n: usize) -> Result<(), String> {
    let talk = &server.talks[n];
    // Whose address changes before it is known opens again.
    let opening = |talk: &Talk| (talk.life, talk.opening.peer_token(), talk.conv, talk.opened_from);
    let earlier = server.talks[..n].iter().find(|other| opening(other) == opening(talk));
    let vouched = matches!(talk.opening, Opening::HelloWithCookie(_));
    match talk.opening.peer_token() {
        Some(token) if token == stranger() && vouched => Err("a cookie for who was never told it".to_owned()),
        Some(token) if token == stranger() => Ok(()),
        Some(_) if dial_of(client, talk).is_none() => Err("accepted what nobody opened".to_owned()),
        // Time may pass over one that proved nothing; its client may go on.
        _ if earlier.is_some_and(|other| !matches!(other.end, Some(e) if is_silence(e.cause))) => {
            Err("phantom accept: the same opening is accepted twice".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_silence(cause: Cause) -> bool {
    matches!(cause, Cause::TimedOut(_))
}

fn said(talk: &Talk) -> Vec<u8> {
    talk.said().collect()
}

/// # Errors
/// What is broken.
pub fn check(world: &World, scenario: &Scenario) -> Result<(), String> {
    let client = &world.client;
    if let Some(server) = world.ours() {
        check_departure(world, server)?;
        for talk in &server.talks {
            if talk.remote == thief() && talk.opened_from != thief() {
                return Err("moved by what was sent again from elsewhere".to_owned());
            }
            check_accepted(client, talk)?;
            check_end(scenario, world, talk, &client.talks)?;
        }
    }
    for dial in &client.talks {
        check_dial(world, dial)?;
        let others = world.ours().map_or(&[][..], |server| &server.talks);
        check_end(scenario, world, dial, others)?;
    }
    if let Some(stock) = world.stock() {
        for session in &stock.sessions {
            let whole = client.talks.iter().any(|dial| said(dial).starts_with(&session.received));
            if !whole {
                return Err(format!("stock server has read {:x?}", session.received));
            }
        }
    }
    Ok(())
}

/// What is known of a server that goes away is so.
fn check_departure(world: &World, host: &Host) -> Result<(), String> {
    for talk in &host.talks {
        let dial = dial_of(&world.client, talk);
        // The tombstone of one that is over answers too.
        if talk.confirmed && !dial.is_some_and(|dial| dial.peer_leaves || dial.is_over()) {
            return Err("the server's going away is confirmed by a client that doesn't know".to_owned());
        }
    }
    let leaves = host.leaves || host.life > 0;
    if world.client.talks.iter().any(|dial| dial.peer_leaves) && !leaves {
        return Err("a client has been told of a going away that isn't".to_owned());
    }
    Ok(())
}

fn check_accepted(client: &Host, talk: &Talk) -> Result<(), String> {
    let Some(dial) = dial_of(client, talk) else {
        return match talk.received.is_empty() {
            true => Ok(()),
            false => Err(format!("server mixes two conversations: {:x?} from nobody", talk.received)),
        };
    };
    let written = said(dial);
    if !written.starts_with(&talk.received) {
        return Err(format!("server reads {:x?}, but the client wrote {written:x?}", talk.received));
    }
    if talk.peer_finished && !(dial.finished && talk.received == written) {
        return Err("server reads a clean end that the client has not said".to_owned());
    }
    if talk.delivered && !talk.closed && dial.received != said(talk) && !dial.closed {
        return Err(format!("server's shutdown is Ok, but the client has only {:x?}", dial.received));
    }
    Ok(())
}

fn check_dial(world: &World, dial: &Talk) -> Result<(), String> {
    let accepted: Vec<&Talk> = world.ours().map_or_else(Vec::new, |server| {
        let theirs = |talk: &&Talk| {
            let chosen = dial.partner.is_none_or(|token| talk.tokens.contains(&token));
            chosen && dial_of(&world.client, talk).is_some_and(|d| d.name == dial.name)
        };
        server.talks.iter().filter(theirs).collect()
    });
    let sessions = world.stock().map_or(&[][..], |stock| &stock.sessions);
    let from_stock = |n: usize| dial.received.iter().zip(0x80 + 8 * n as u8..).all(|(&a, b)| a == b);
    let whole = accepted.iter().any(|talk| said(talk).starts_with(&dial.received))
        || (0..sessions.len()).any(from_stock);
    if !dial.received.is_empty() && !whole {
        return Err(format!("client reads {:x?}, which nobody wrote to it", dial.received));
    }
    let finished = |talk: &&&Talk| talk.finished && said(talk) == dial.received;
    if dial.peer_finished && accepted.iter().find(finished).is_none() {
        return Err("client reads a clean end that the server has not said".to_owned());
    }
    if dial.delivered && !dial.closed {
        let written = said(dial);
        let has_all = |talk: &&Talk| {
            talk.received == written && (talk.peer_finished || dial.peer != PeerKind::Extended)
        };
        let arrived = accepted.iter().copied().any(|talk| has_all(&talk))
            || sessions.iter().any(|session| session.received == written);
        // Nothing was written, and a stock peer can't be told of an end.
        let nothing = written.is_empty() && dial.peer != PeerKind::Extended;
        if !arrived && !nothing {
            return Err("client's shutdown is Ok, but the server doesn't have it all".to_owned());
        }
    }
    Ok(())
}

/// An end by the peer needs a true cause.
fn check_end(scenario: &Scenario, world: &World, talk: &Talk, others: &[Talk]) -> Result<(), String> {
    let Some(end) = talk.end else { return Ok(()) };
    let broken_off = |other: &Talk| other.end.is_some_and(|e| e.cause != Cause::Closed) || other.closed;
    // Its tombstone is gone: then who has missed its last words is told that nobody knows him.
    let forgotten = |other: &Talk| other.ended_at.is_some_and(|at| world.now >= at + TOMBSTONE);
    let upset = world.client.life > 0
        || world.ours().is_some_and(|server| server.life > 0)
        || world.stock().is_some_and(|stock| stock.closed)
        || others.iter().any(|other| broken_off(other) || forgotten(other))
        || talk.opening.peer_token() == Some(stranger())
        // Nobody is at its other end.
        || talk.opened_from == thief();
    match end.cause {
        Cause::Closed if talk.closed => Ok(()),
        // Where its last acknowledgement is missing, no byte may be in doubt.
        Cause::Closed
            if talk.finished
                && talk.peer_finished
                && (talk.delivered || others.iter().any(|other| other.received == said(talk))) =>
        {
            Ok(())
        }
        Cause::Closed => Err(format!("a clean end that isn't one: {talk:?}")),
        Cause::Aborted if talk.aborted => Ok(()),
        Cause::TimedOut(_) => Ok(()),
        Cause::Refused if end.code == code::IN_USE && scenario.faults.redials > 0 => Ok(()),
        Cause::Refused
            if end.code == code::GOING_AWAY && world.ours().is_some_and(|server| server.leaves) =>
        {
            Ok(())
        }
        Cause::Reset | Cause::Refused if upset || talk.closed => Ok(()),
        _ => Err(format!("ended by {:?}: {:?}, code {}, without a cause", end.by, end.cause, end.code)),
    }
}

/// Whether anything has gone wrong that an end may be due to.
pub fn is_upset(world: &World) -> bool {
    let broken_off = |talk: &Talk| talk.end.is_some_and(|e| e.cause != Cause::Closed) || talk.closed;
    let ours = world.ours().map_or(&[][..], |server| &server.talks);
    world.client.talks.iter().chain(ours).any(broken_off)
        || world.client.life > 0
        || world.ours().is_some_and(|server| server.life > 0)
        || world.stock().is_some_and(|stock| stock.closed)
}

/// Whether nobody is at the other end of a server's conversation: the client has left that address before it was known
/// there, and has opened again, or it was never there.
pub fn is_given_up(world: &World, talk: &Talk) -> bool {
    let chosen = dial_of(&world.client, talk).and_then(|dial| dial.partner);
    talk.opened_from == thief() || chosen.is_some_and(|token| !talk.tokens.contains(&token))
}

/// Whether both sides are through.
pub fn is_settled(world: &World, scenario: &Scenario) -> bool {
    let done = |talk: &Talk| talk.is_over() || (scenario.has_stock_peer() && talk.finished && talk.delivered);
    let client = scenario.client != sendoff_proto::Wire::Classic;
    let dialled = world.client.talks.len() > usize::from(world.client.life);
    dialled
        && (!client || world.client.talks.iter().all(done))
        && world.ours().is_none_or(|server| server.talks.iter().all(done))
}
