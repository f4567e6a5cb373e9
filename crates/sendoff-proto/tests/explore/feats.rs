//! What has happened in a state: a scenario that is about something has to reach it.

use super::{forge::thief, world::World};

/// What a scenario is about: it has to happen in some of the states that are explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feat {
    /// The server has followed the client to another address.
    Move,
    /// And back to where it was.
    Return,
    /// One of both sides had closed, and the other hadn't ended, when the server followed.
    MoveWhileClosing,
    /// The client has opened again from elsewhere, because nobody knew it there.
    Reopening,
    /// A client has come in with the cookie of a RETRY.
    Retry,
    /// A client has confirmed that it knows that the server goes away, or has moved and confirmed that.
    Farewell,
    MovedFarewell,
    /// The server has asked somebody elsewhere who had sent again what the client has sent.
    Question,
}

pub const FEATS: [Feat; 8] = [
    Feat::Move,
    Feat::Return,
    Feat::MoveWhileClosing,
    Feat::Reopening,
    Feat::Retry,
    Feat::Farewell,
    Feat::MovedFarewell,
    Feat::Question,
];

/// Whether that has happened.
pub fn shows(world: &World, feat: Feat) -> bool {
    let Some(server) = world.ours() else { return false };
    let talks = &server.talks;
    match feat {
        Feat::Move => talks.iter().any(|talk| talk.moves > 0),
        Feat::Return => talks.iter().any(|talk| talk.moves > 1 && talk.remote == talk.opened_from),
        Feat::MoveWhileClosing => talks.iter().any(|talk| talk.moved_in_the_end),
        Feat::Reopening => talks.iter().enumerate().any(|(n, talk)| {
            let token = talk.opening.peer_token();
            token.is_some() && talks[..n].iter().any(|other| other.opening.peer_token() == token)
        }),
        Feat::Retry => world.client.talks.iter().any(|dial| dial.retries > 0 && dial.partner.is_some()),
        Feat::Farewell => talks.iter().any(|talk| talk.confirmed),
        Feat::MovedFarewell => talks.iter().any(|talk| talk.confirmed && talk.moves > 0),
        Feat::Question => talks.iter().any(|talk| talk.asked.contains(&thief())),
    }
}
