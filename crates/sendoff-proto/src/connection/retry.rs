//! A client's side of RETRY: a server under pressure asks it to come again with a cookie. The application notices
//! nothing.

use super::{Cause, Connection, Party, PeerKind, closing::Farewell, lifecycle::Rest, lifecycle::code};
use crate::endpoint::{Cookie, NO_COOKIE};
use std::time::Instant;

/// RETRYs that one name of an opening follows; a server that asks for more isn't going to take it.
const MAX_RETRIES: usize = 3;

/// What RETRYs have said to the name that we have.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
    /// Each cookie that was believed; the last is the one that counts.
    cookies: Vec<Cookie>,
    /// A HELLO has left since: with the newest cookie, or the first without any.
    pub(super) answered: bool,
}

impl Retries {
    /// What the next HELLO has.
    pub(super) fn cookie(&self) -> Cookie {
        self.cookies.last().copied().unwrap_or(NO_COOKIE)
    }

    pub(super) fn count(&self) -> usize {
        self.cookies.len()
    }

    pub(super) fn has(&self, cookie: &Cookie) -> bool {
        self.cookies.contains(cookie)
    }

    /// Whether a RETRY with that cookie is news. It is the answer to a HELLO that has left, and there is one at most
    /// for each flight of HELLOs: copies of it, and those to HELLOs that left before, have nothing new.
    fn is_news(&self, cookie: &Cookie) -> bool {
        self.answered && *cookie != NO_COOKIE && !self.has(cookie)
    }
}

impl Connection {
    /// A RETRY that names our token has come. Its una, wnd and ts say nothing: whoever sent it knows nobody.
    ///
    /// A client that took the peer for a stock one learns otherwise: as before its HELLOs, which now stand in front of
    /// its first segment alone, need the cookie.
    pub(super) fn handle_retry(&mut self, now: Instant, cookie: &Cookie) {
        if self.peering.kind() == PeerKind::Extended || !self.retries.is_news(cookie) {
            self.stats.unbelieved_blocks += 1;
            return;
        }
        let opening = self.dial.is_some();
        if self.retries.count() == MAX_RETRIES {
            if opening {
                let busy = Farewell::new(code::BUSY, "");
                self.end_with(now, Party::Peer, Cause::Refused, busy, Rest::Opening(code::BUSY));
            }
            return;
        }
        self.retries.cookies.push(*cookie);
        self.retries.answered = false;
        self.stats.retries += 1;
        // Somebody is there.
        self.unreachable.first = None;
        if opening {
            self.hello_at_once(now);
        } else {
            self.loss.resend_all(&mut self.ring);
        }
    }
}
