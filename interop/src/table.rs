//! The factors of the kcp-go trials, their full product, and a small table that has every pair of
//! values of two factors in at least one row.

use std::collections::HashSet;

use crate::{Link, Peer, Profile, Settings, Side, Trial};

/// The values of each factor; a row has an index into each.
pub const LEVELS: [usize; FACTORS] =
    [VERSIONS.len(), ROLES.len(), MODES.len(), PROFILES.len(), WINDOWS.len(), MTUS.len(), LINKS.len()];

const FACTORS: usize = 7;
const VERSIONS: [Peer; 2] = Peer::KCP_GO;
const ROLES: [Role; 2] = [Role::Client, Role::Server];
const MODES: [bool; 2] = [false, true];
const PROFILES: [Profile; 5] =
    [Profile::Default, Profile::Normal, Profile::Fast, Profile::Fast2, Profile::Fast3];
const WINDOWS: [u16; 4] = [32, 128, 256, 1_024];
const MTUS: [usize; 2] = [512, 1_400];
const LINKS: [Option<Link>; 2] = [None, Some(Link::LOSSY)];

/// What sendoff is in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// One row: an index into the values of each factor.
pub type Row = [usize; FACTORS];

/// The most rows of the pairwise table.
pub const MOST_ROWS: usize = 40;

/// Values of some factors: one of each in this list of (factor, value).
pub type Combination = Vec<(usize, usize)>;

/// Every row there is, in order.
pub fn full() -> Vec<Row> {
    let mut rows = vec![[0; FACTORS]];
    for (factor, levels) in LEVELS.iter().enumerate() {
        rows = rows
            .into_iter()
            .flat_map(|row| {
                (0..*levels).map(move |level| {
                    let mut row = row;
                    row[factor] = level;
                    row
                })
            })
            .collect();
    }
    rows
}

/// The pairs of values that a row has.
fn pairs(row: &Row) -> impl Iterator<Item = Combination> + '_ {
    (0..FACTORS).flat_map(move |a| (a + 1..FACTORS).map(move |b| vec![(a, row[a]), (b, row[b])]))
}

/// The threes of values that a row has.
fn triples(row: &Row) -> impl Iterator<Item = Combination> + '_ {
    pairs(row).flat_map(move |pair| {
        let last = pair[1].0;
        (last + 1..FACTORS).map(move |c| [&pair[..], &[(c, row[c])]].concat())
    })
}

/// Rows that together have every pair of values of two factors. What room is left in
/// [`MOST_ROWS`] goes to the threes: always the next row is the one with most that is missing.
pub fn pairwise() -> Vec<Row> {
    let all = full();
    let mut missing_pairs: HashSet<Combination> = all.iter().flat_map(pairs).collect();
    let mut missing_triples: HashSet<Combination> = all.iter().flat_map(triples).collect();
    let mut rows = Vec::new();
    while !missing_pairs.is_empty() || rows.len() < MOST_ROWS {
        let gain = |row: &Row| {
            let new_pairs = pairs(row).filter(|pair| missing_pairs.contains(pair)).count();
            (new_pairs, triples(row).filter(|triple| missing_triples.contains(triple)).count())
        };
        // Of equals the first, so that the table is the same every time.
        let best = *all.iter().rev().max_by_key(|row| gain(row)).expect("the product is not empty");
        pairs(&best).for_each(|pair| _ = missing_pairs.remove(&pair));
        triples(&best).for_each(|triple| _ = missing_triples.remove(&triple));
        rows.push(best);
    }
    rows
}

/// The trial that a row stands for.
pub fn trial(row: &Row) -> Trial {
    let [version, role, mode, profile, window, mtu, link] = *row;
    let (ours, theirs) = (Side::Ours, Side::Theirs(VERSIONS[version]));
    let (client, server) = if ROLES[role] == Role::Client { (ours, theirs) } else { (theirs, ours) };
    let settings = Settings {
        message: MODES[mode],
        profile: PROFILES[profile],
        window: WINDOWS[window],
        mtu: MTUS[mtu],
        ..Settings::default()
    };
    let link = LINKS[link];
    let bytes = if settings.window >= 256 && link.is_none() { 16 << 20 } else { 512 << 10 };
    Trial { client, server, settings, link, bytes, dice: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairwise_table_is_small_and_has_every_pair() {
        let rows = pairwise();
        assert!(rows.len() <= MOST_ROWS, "{} rows", rows.len());
        assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len(), "a row is there twice");
        let mut missing = Vec::new();
        for a in 0..FACTORS {
            for b in a + 1..FACTORS {
                for (level_a, level_b) in (0..LEVELS[a]).flat_map(|x| (0..LEVELS[b]).map(move |y| (x, y))) {
                    if !rows.iter().any(|row| row[a] == level_a && row[b] == level_b) {
                        missing.push((a, level_a, b, level_b));
                    }
                }
            }
        }
        assert_eq!(missing, []);
    }

    #[test]
    fn full_product_has_every_row_once() {
        let rows = full();
        assert_eq!(rows.len(), LEVELS.iter().product::<usize>());
        assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len());
    }

    #[test]
    fn every_row_has_sendoff_on_one_side_and_kcp_go_on_the_other() {
        for trial in full().iter().map(trial) {
            let sides = [trial.client, trial.server];
            assert_eq!(sides.iter().filter(|side| **side == Side::Ours).count(), 1, "{trial}");
        }
    }
}
