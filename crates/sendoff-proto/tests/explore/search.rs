//! Breadth first through all states, and from each on to an end.

use super::{
    check::check,
    ends::Ends,
    feats::{FEATS, Feat, shows},
    scenario::Scenario,
    world::{Action, Loss, World},
};
use std::{
    collections::{HashSet, VecDeque},
    fmt::{self, Write},
    hash::{BuildHasherDefault, Hasher},
    time::{Duration, Instant},
};

/// The keys are hashes already.
#[derive(Default)]
pub struct Plain(u64);

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
type Nodes = Vec<(u32, Action, Loss)>;

#[derive(Debug)]
pub struct Report {
    pub states: usize,
    pub transitions: u64,
    /// All states are known in which the clock has gone on so many times.
    pub complete: Option<u8>,
    /// The longest of the shortest paths.
    pub depth: usize,
    /// In how many states what has happened.
    pub shown: Vec<(Feat, usize)>,
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        write!(f, "{} states, {} transitions, {} deep, ", self.states, self.transitions, self.depth)?;
        match self.complete {
            Some(ticks) => write!(f, "complete to {ticks} ticks, ")?,
            None => write!(f, "not complete, ")?,
        }
        let shown = self.shown.iter().filter(|(_, states)| *states > 0);
        shown.into_iter().try_for_each(|(feat, states)| write!(f, "{feat:?} in {states}, "))?;
        write!(f, "{seconds:.1} s")
    }
}

impl Report {
    fn note(&mut self, world: &World) {
        for (feat, states) in &mut self.shown {
            *states += usize::from(shows(world, *feat));
        }
    }

    /// In how many states that has happened.
    pub fn states_with(&self, feat: Feat) -> usize {
        self.shown.iter().find(|(other, _)| *other == feat).map_or(0, |(_, states)| *states)
    }
}

/// Explores up to so many states, those first in which the clock has gone on least.
///
/// # Errors
/// The shortest path to a state in which something is broken, in words.
pub fn explore(scenario: &Scenario, limit: usize) -> Result<Report, String> {
    let began = Instant::now();
    let mut seen = Fingerprints::default();
    let mut ends = Ends::default();
    let mut nodes: Nodes = vec![(0, Action::Tick, Loss::Newest)];
    let mut frontiers = vec![VecDeque::new(); scenario.ticks as usize + 1];
    frontiers[0].push_back((0u32, 0usize, World::new(scenario)));
    seen.insert(World::new(scenario).fingerprint());
    let mut report = Report {
        states: 1,
        transitions: 0,
        complete: None,
        depth: 0,
        shown: FEATS.map(|feat| (feat, 0)).to_vec(),
        took: Duration::ZERO,
    };
    for ticks in 0..frontiers.len() {
        while let Some((id, length, world)) = frontiers[ticks].pop_front() {
            report.depth = report.depth.max(length);
            ends.reach(scenario, &world).map_err(|why| trace(scenario, &nodes, id, None, &why))?;
            for action in world.actions(scenario, true) {
                for loss in losses(scenario) {
                    report.transitions += 1;
                    let mut next = world.clone();
                    next.loss = loss;
                    let broken = next.step(scenario, action).and_then(|()| check(&next, scenario));
                    broken.map_err(|why| trace(scenario, &nodes, id, Some((action, loss)), &why))?;
                    let was_full = next.was_full;
                    if nodes.len() < limit && seen.insert(next.fingerprint()) {
                        report.note(&next);
                        let place = &mut frontiers[usize::from(next.ticks)];
                        place.push_back((nodes.len() as u32, length + 1, next));
                        nodes.push((id, action, loss));
                    }
                    if !was_full {
                        break;
                    }
                }
            }
        }
        if nodes.len() < limit {
            report.complete = Some(ticks as u8);
        }
    }
    (report.states, report.took) = (nodes.len(), began.elapsed());
    Ok(report)
}

/// What may be lost if there is no room for all.
fn losses(scenario: &Scenario) -> impl Iterator<Item = Loss> + use<> {
    std::iter::once(Loss::Newest).chain((0..scenario.room as u8).map(Loss::Older))
}

/// The path to a state, in words.
fn trace(scenario: &Scenario, nodes: &Nodes, mut id: u32, last: Option<(Action, Loss)>, why: &str) -> String {
    let mut path: Vec<_> = last.into_iter().collect();
    while id != 0 {
        let (parent, action, loss) = nodes[id as usize];
        path.push((action, loss));
        id = parent;
    }
    let mut out = format!("{}: {why}\n{} steps from {:?}:\n", scenario.name, path.len(), scenario.begins);
    let mut world = World::new(scenario);
    for (n, &(action, loss)) in path.iter().rev().enumerate() {
        let _ = writeln!(out, "{:3}. {}", n + 1, world.describe(scenario, action));
        world.loss = loss;
        let _ = world.step(scenario, action);
    }
    let _ = writeln!(out, "found among {} states", nodes.len());
    out
}
