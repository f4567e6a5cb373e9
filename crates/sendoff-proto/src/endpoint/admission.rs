//! Who may open a connection, and what an opening has to show first.

use super::{
    DropReason, Endpoint, Route,
    answers::Answer,
    cookie::{Cookie, Cookies, NO_COOKIE, Name},
    group::Place,
    limits::Neighbours,
};
use crate::{
    connection::{Opening, code},
    seq::Conv,
    wire::Token,
};
use std::{net::SocketAddr, time::Instant};

impl<H: Clone> Endpoint<H> {
    /// A HELLO of no connection. Under pressure it must have a cookie, which shows that it can hear us at its address;
    /// where it has a valid one anyway, that counts.
    pub(super) fn admit_hello(
        &mut self,
        now: Instant,
        (remote, conv, from): (SocketAddr, Conv, Token),
        cookie: &Cookie,
    ) -> Route<H> {
        if let Some(reason) = self.reason_to_refuse(remote) {
            if reason == DropReason::NotListening {
                return match self.going_away {
                    true => self.answer(now, Answer::reset(conv, Some(from), code::GOING_AWAY), reason),
                    false => self.drop(reason),
                };
            }
            let route = self.answer(now, Answer::reset(conv, Some(from), code::BUSY), reason);
            if matches!(route, Route::Answer(_)) && reason == DropReason::PerAddress {
                self.count(reason);
            }
            return route;
        }
        let shown = *cookie != NO_COOKIE;
        let vouches = |cookies: &mut Cookies| cookies.knows(now, (remote, conv, from), cookie);
        if shown && self.cookies.as_mut().is_some_and(vouches) {
            self.stats.cookies_accepted += 1;
            return Route::Opens(conv, Opening::HelloWithCookie(from));
        }
        if self.needs_cookie(remote) {
            self.stats.cookies_refused += u64::from(shown);
            return self.retry(now, (remote, conv, from));
        }
        match self.budget.has_room(0) {
            true => Route::Opens(conv, Opening::Hello(from)),
            false => self.drop(DropReason::Unproven),
        }
    }

    /// The first PUSH of a stock client, with so many bytes of data. It can't be asked to come again.
    pub(super) fn admit_stock(&mut self, (remote, conv): (SocketAddr, Conv), bytes: usize) -> Route<H> {
        if let Some(reason) = self.reason_to_refuse(remote) {
            return self.drop(reason);
        }
        match self.budget.has_room(bytes) {
            true => Route::Opens(conv, Opening::Stock),
            false => self.drop(DropReason::Unproven),
        }
    }

    fn reason_to_refuse(&self, remote: SocketAddr) -> Option<DropReason> {
        if !self.listening {
            return Some(DropReason::NotListening);
        }
        if self.is_full() {
            return Some(DropReason::Full);
        }
        let full = self.ask_neighbours(|neighbours| neighbours.are_full(remote.ip()));
        full.then_some(DropReason::PerAddress)
    }

    fn needs_cookie(&self, remote: SocketAddr) -> bool {
        let many = |neighbours: &Neighbours| neighbours.are_many(remote.ip());
        let pressed = self.budget.connections() >= self.pressure || self.ask_neighbours(many);
        pressed && self.cookies.is_some()
    }

    /// "Come again with this": nothing is stored.
    fn retry(&mut self, now: Instant, (remote, conv, from): (SocketAddr, Conv, Token)) -> Route<H> {
        let Some(cookie) = self.cookie_of_retry(now, (remote, conv, from)) else {
            return self.drop(DropReason::Unproven);
        };
        self.stats.retries_sent += 1;
        Route::Answer(Answer::retry(conv, from, cookie))
    }

    fn cookie_of_retry(&mut self, now: Instant, name: Name) -> Option<Cookie> {
        let mut shared = self.place.as_ref().map(Place::quota);
        let shared = shared.as_mut().and_then(|quota| quota.as_mut());
        self.cookies.as_mut()?.retry(now, name, shared)
    }

    /// How many unproven connections there have to be for a HELLO to need a cookie: for tests that want a server
    /// under pressure.
    #[doc(hidden)]
    pub fn set_pressure(&mut self, connections: usize) {
        self.pressure = connections;
    }
}
