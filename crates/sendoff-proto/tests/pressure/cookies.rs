//! Which cookies are good: told by a naive list of those that were given.

use super::*;
use proptest::{collection::vec, prelude::*};
use sendoff_proto::{DropReason, Endpoint, Route, wire::SegmentView};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a HELLO shows.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Nothing,
    /// One that was given before, to whomever.
    Given(proptest::sample::Index),
    Guessed([u8; 16]),
}

fn shown() -> impl Strategy<Value = Shown> {
    prop_oneof![
        1 => Just(Shown::Nothing),
        4 => any::<proptest::sample::Index>().prop_map(Shown::Given),
        1 => any::<[u8; 16]>().prop_map(Shown::Guessed),
    ]
}

/// Address, conversation and token.
type Name = (u8, u32, u64);

fn cookie_in(answer: &[u8]) -> Option<[u8; 16]> {
    match Block::parse(&SegmentView::parse(answer).ok()?.0)?.body {
        Body::Retry { cookie } => Some(cookie),
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_cookie_opens_only_for_whom_and_as_long_as_it_was_given(
        steps in vec(((1..3u8, 1..3u32, 1..3u64), shown(), 0..3_000u64), 1..40),
    ) {
        let mut endpoint: Endpoint<()> = Endpoint::new(Arc::new(Config::new()), true).with_cookies(7);
        endpoint.set_pressure(0);
        let start = Instant::now();
        let mut now = Duration::ZERO;
        let mut given: Vec<([u8; 16], Name, u64)> = Vec::new();
        let mut told = HashSet::new();
        let mut began = None;
        for (name, shown, pause) in steps {
            now += Duration::from_millis(pause);
            let (host, conv, token) = name;
            let cookie = match shown {
                Shown::Nothing => [0; 16],
                Shown::Given(_) if given.is_empty() => [0; 16],
                Shown::Given(index) => given[index.index(given.len())].0,
                Shown::Guessed(cookie) => cookie,
            };
            let header = sendoff_proto::wire::Segment { conv, ..segment(Command::WindowAsk, 0) };
            let hello = block(header, 0, token, Body::Hello { features: 0, cookie });
            let age = now - *began.get_or_insert(now);
            let (slot, moment) = (age.as_secs() / 5, age.as_millis() / 200);
            let is_good = given.iter().any(|&(c, n, s)| c == cookie && n == name && slot - s <= 1);
            match endpoint.route(start + now, addr(host), &hello) {
                Route::Opens(_, Opening::HelloWithCookie(from)) => {
                    prop_assert!(is_good);
                    prop_assert_eq!(from.value(), token);
                }
                Route::Answer(answer) => {
                    prop_assert!(!is_good);
                    let cookie = cookie_in(&answer);
                    prop_assert!(cookie.is_some_and(|cookie| cookie != [0; 16]));
                    given.push((cookie.unwrap_or_default(), name, slot));
                    prop_assert!(told.insert((name, moment)), "twice");
                }
                Route::Dropped(DropReason::Unproven) => {
                    prop_assert!(!is_good && told.contains(&(name, moment)), "not told");
                }
                route => prop_assert!(false, "{:?}", route),
            }
        }
    }
}
