//! Goodput over loss × round trip × profile, as a table that is checked in.
//!
//! Virtual time and seeds make it exact. When a change moves it, look at the difference, then run
//! `SENDOFF_UPDATE=1 cargo test -p sendoff-proto --test goodput` to accept it. The bounds beside it
//! hold whatever the table says: a snapshot would freeze bad numbers too.

mod sim;

use sendoff_netem::{LinkConfig, Loss, Queue};
use sendoff_proto::{Config, Profile};
use sim::{Pair, ms, payload};
use std::{fmt::Write as _, time::Duration};

const PROFILES: [(&str, Profile); 5] = [
    ("default", Profile::DEFAULT),
    ("normal", Profile::NORMAL),
    ("fast", Profile::FAST),
    ("fast2", Profile::FAST2),
    ("fast3", Profile::FAST3),
];
const LOSSES: [f64; 4] = [0.0, 0.01, 0.05, 0.2];
const ROUND_TRIPS: [u64; 3] = [2, 40, 200];

/// MB/s over a path of 100 Mbit/s with a queue of 1,000 datagrams.
fn goodput(profile: Profile, loss: f64, round_trip: u64) -> f64 {
    let link = LinkConfig::new()
        .delay(ms(round_trip / 2))
        .rate(100_000_000)
        .queue(Queue::Datagrams(1_000))
        .loss(Loss::Bernoulli(loss));
    let mut pair = Pair::new(Config::new().profile(profile), link, 42);
    let bytes = 10_000_000;
    let took = pair.transfer(0, &payload(bytes, 1), Duration::from_secs(600));
    bytes as f64 / 1e6 / took.as_secs_f64()
}

#[test]
fn the_table_of_goodput_is_as_recorded() {
    let mut table = String::from("MB/s over 100 Mbit/s; columns: loss, then round trip in ms\nprofile ");
    for loss in LOSSES {
        for round_trip in ROUND_TRIPS {
            write!(table, " {:>8}", format!("{}%/{round_trip}", loss * 100.0)).unwrap();
        }
    }
    for (name, profile) in PROFILES {
        write!(table, "\n{name:<8}").unwrap();
        for loss in LOSSES {
            for round_trip in ROUND_TRIPS {
                let goodput = goodput(profile, loss, round_trip);
                assert!(goodput < 12.5, "{name}: more than the path carries");
                if name == "default" && round_trip <= 40 {
                    // What is lost must be carried again; some of the path is left for the rest.
                    let bound = 12.5 * (1.0 - loss) * if loss > 0.1 { 0.25 } else { 0.6 };
                    assert!(goodput > bound, "{name} at {loss} loss, {round_trip} ms: {goodput} MB/s");
                }
                write!(table, " {goodput:>8.2}").unwrap();
            }
        }
    }
    table.push('\n');
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goodput.txt");
    if std::env::var_os("SENDOFF_UPDATE").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let recorded = std::fs::read_to_string(path).unwrap();
    assert!(table == recorded, "recorded:\n{recorded}\nnow:\n{table}");
}
