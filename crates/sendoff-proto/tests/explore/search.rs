//! Breadth first through all states, and from each on to an end.

use super::{
    check::{check, is_settled},
    world::{Action, Scenario, World},
};
use std::{
    collections::{HashSet, VecDeque},
    fmt::Write,
    hash::{BuildHasherDefault, Hasher},
    time::{Duration, Instant},
};

/// A fair network brings every conversation to its end in this time and so many steps.
const FAIR_TIME: Duration = Duration::from_secs(300);
const FAIR_STEPS: usize = 1_000;

/// The keys are hashes already.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are kept")
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

type Fingerprints = HashSet<u64, BuildHasherDefault<Plain>>;

/// How each state was reached first: from which other, and by what.
type Nodes = Vec<(u32, Action)>;

#[derive(Debug)]
pub struct Report {
    pub states: usize,
    pub transitions: u64,
    /// Nothing was cut but by the number of times that the clock goes on.
    pub complete: bool,
    /// The longest of the shortest paths.
    pub depth: usize,
    pub took: Duration,
}

/// Explores up to so many states.
///
/// # Errors
/// The shortest path to a state in which something is broken, in words.
pub fn explore(scenario: &Scenario, limit: usize) -> Result<Report, String> {
    let began = Instant::now();
    let mut seen = Fingerprints::default();
    let mut ends = Fingerprints::default();
    let mut nodes: Nodes = vec![(0, Action::Tick)];
    let mut frontier = VecDeque::from([(0u32, 0usize, World::new(scenario))]);
    seen.insert(World::new(scenario).fingerprint());
    let (mut transitions, mut depth) = (0, 0);
    while let Some((id, length, world)) = frontier.pop_front() {
        depth = length;
        reach_end(scenario, &world, &mut ends)
            .map_err(|why| trace(scenario, &nodes, id, None, &why))?;
        for action in world.actions(scenario, true) {
            transitions += 1;
            let mut next = world.clone();
            let broken = next.step(scenario, action).and_then(|()| check(&next, scenario));
            broken.map_err(|why| trace(scenario, &nodes, id, Some(action), &why))?;
            if nodes.len() < limit && seen.insert(next.fingerprint()) {
                frontier.push_back((nodes.len() as u32, length + 1, next));
                nodes.push((id, action));
            }
        }
    }
    let complete = nodes.len() < limit;
    Ok(Report { states: nodes.len(), transitions, complete, depth, took: began.elapsed() })
}

/// From that state a fair network and applications that mean well reach the end of both sides.
fn reach_end(scenario: &Scenario, world: &World, ends: &mut Fingerprints) -> Result<(), String> {
    let mut world = world.clone();
    let mut passed = vec![world.fingerprint()];
    let until = world.now + FAIR_TIME;
    let mut story = String::new();
    for turn in 0..FAIR_STEPS {
        if is_settled(&world, scenario) || passed.last().is_some_and(|state| ends.contains(state)) {
            ends.extend(passed);
            return Ok(());
        }
        let action = match world.actions(scenario, false).first() {
            Some(&action) => Some(action),
            None => world.oldest(turn).or_else(|| world.next_tick().map(|_| Action::Tick)),
        };
        let Some(action) = action.filter(|_| world.now < until) else { break };
        let _ = writeln!(story, "      {}", world.describe(scenario, action));
        world
            .step(scenario, action)
            .and_then(|()| check(&world, scenario))
            .map_err(|why| format!("{why}, after\n{story}"))?;
        passed.push(world.fingerprint());
    }
    let last: Vec<_> = story.lines().take(40).collect();
    Err(format!("no end on both sides, though the network is fair now:\n{}", last.join("\n")))
}

/// The path to a state, in words.
fn trace(scenario: &Scenario, nodes: &Nodes, mut id: u32, last: Option<Action>, why: &str) -> String {
    let mut path: Vec<_> = last.into_iter().collect();
    while id != 0 {
        let (parent, action) = nodes[id as usize];
        path.push(action);
        id = parent;
    }
    let mut out = format!("{}: {why}\n{} steps:\n", scenario.name, path.len());
    let mut world = World::new(scenario);
    for (n, &action) in path.iter().rev().enumerate() {
        let _ = writeln!(out, "{:3}. {}", n + 1, world.describe(scenario, action));
        let _ = world.step(scenario, action);
    }
    let _ = writeln!(out, "found among {} states", nodes.len());
    out
}
