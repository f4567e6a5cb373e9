//! From every state a fair network, and applications that mean well, lead to an end of both sides.

use super::{
    check::{check, is_given_up, is_settled, is_upset},
    host::{End, Talk},
    scenario::Scenario,
    search::Plain,
    world::{Action, World},
};
use sendoff_proto::{Cause, code};
use std::{
    collections::HashMap,
    fmt::Write,
    hash::BuildHasherDefault,
    time::{Duration, Instant},
};

/// Any end comes within this time and so many steps.
const FAIR_TIME: Duration = Duration::from_secs(300);
const FAIR_STEPS: usize = 1_000;

/// One that is to be clean comes in its time, if the client has dialled no longer ago than that.
const FRESH: Duration = Duration::from_secs(2);

/// Which ends a fair network must make clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clean {
    /// All of both sides.
    All,
    /// The client's last.
    Last,
    /// None, but each has to come as soon as a clean one.
    Soon,
    /// None, but nobody may end because the other is silent.
    Heard,
    None,
}

/// Where the fair continuation of a state leads, and how long it takes.
#[derive(Clone, Copy)]
struct Outcome {
    clean: bool,
    after: Duration,
}

/// What is known of the states passed so far.
#[derive(Default)]
pub struct Ends(HashMap<u64, Outcome, BuildHasherDefault<Plain>>);

impl Ends {
    /// # Errors
    /// Why it leads to no end, or to a bad one.
    pub fn reach(&mut self, scenario: &Scenario, world: &World) -> Result<(), String> {
        let (outcome, _) = self.follow(scenario, world.clone())?;
        let last = world.client.talks.last();
        let fresh = last.is_some_and(|dial| world.now <= dial.began + FRESH);
        // Who has heard everything may forget it: then only the server's last acknowledgement is missing.
        let heard_all = scenario.writes[1] == 0
            && last.and_then(|dial| dial.end).is_some_and(|end| end.cause == Cause::Closed);
        let (clean, soon) = match scenario.clean {
            Clean::All if is_upset(world) => (false, false),
            Clean::All => (fresh || heard_all, fresh),
            Clean::Last | Clean::Heard => (fresh, fresh),
            Clean::Soon => (false, fresh),
            Clean::None => (false, false),
        };
        if (!clean || outcome.clean) && (!soon || outcome.after <= scenario.within) {
            return Ok(());
        }
        let (_, story) = Self::default().follow(scenario, world.clone())?;
        let kind = if outcome.clean { "clean" } else { "not clean" };
        Err(format!("the end is {kind}, after {:?}, though the network is fair:\n{story}", outcome.after))
    }

    fn follow(&mut self, scenario: &Scenario, mut world: World) -> Result<(Outcome, String), String> {
        let began = world.now;
        let mut passed: Vec<(u64, Instant)> = Vec::new();
        let mut story = String::new();
        for _ in 0..FAIR_STEPS {
            let state = world.fingerprint();
            let known = self.0.get(&state).copied();
            passed.push((state, world.now));
            let outcome = match known {
                None if is_settled(&world, scenario) => {
                    Some(Outcome { clean: is_clean(scenario, &world), after: Duration::ZERO })
                }
                known => known,
            };
            if let Some(outcome) = outcome {
                let end = world.now + outcome.after;
                for (state, at) in passed {
                    self.0.insert(state, Outcome { after: end - at, ..outcome });
                }
                return Ok((Outcome { after: end - began, ..outcome }, story));
            }
            let action = match world.actions(scenario, false).first() {
                Some(&action) => Some(action),
                None => world.oldest().or_else(|| world.next_tick().map(|_| Action::Tick)),
            };
            let Some(action) = action.filter(|_| world.now < began + FAIR_TIME) else { break };
            let _ = writeln!(story, "      {}", world.describe(scenario, action));
            world
                .step_fairly(scenario, action)
                .and_then(|()| check(&world, scenario))
                .map_err(|why| format!("{why}, after\n{story}"))?;
        }
        let first: Vec<_> = story.lines().take(40).collect();
        Err(format!("no end on both sides, though the network is fair now:\n{}", first.join("\n")))
    }
}

/// Who comes to a server that goes away is told so.
fn is_turned_away(end: End) -> bool {
    end.cause == Cause::Refused && end.code == code::GOING_AWAY
}

fn is_clean(scenario: &Scenario, world: &World) -> bool {
    let ours = world.ours().map_or(&[][..], |server| &server.talks);
    let all = || {
        let theirs = ours.iter().filter(|talk| !is_given_up(world, talk));
        world.client.talks.iter().chain(theirs).filter_map(|talk: &Talk| talk.end)
    };
    match scenario.clean {
        Clean::Last => {
            world.client.talks.last().and_then(|talk| talk.end).is_none_or(|e| e.cause == Cause::Closed)
        }
        Clean::Heard => all().all(|end| !matches!(end.cause, Cause::TimedOut(_))),
        _ => all().all(|end| end.cause == Cause::Closed || is_turned_away(end)),
    }
}
