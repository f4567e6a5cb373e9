//! Runs the whole program, short, and looks at what it says.

use std::process::Command;

use serde_json::Value;

/// The peers that need nothing but this program.
const PEERS: &str = "raw,udp,tcp,any-tcp,sendoff,tokio_kcp,quinn";

fn run(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["run", "--json", "--secs=0.2", "--warm-up=0.1", "--regime=same"])
        .args(arguments)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{stderr}"))
}

#[test]
fn every_peer_yields_every_figure_of_every_scenario() {
    let report = run(&["--rounds=1", "--peers", PEERS, "--connections=20", "--idle-secs=0.2"]);
    let seen: Vec<(String, usize)> = report["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .map(|case| (case["scenario"].to_string(), case["peers"].as_array().expect("peers").len()))
        .collect();
    let expected = [("bulk", 6), ("echo", 6), ("ping-pong", 6), ("open", 3), ("idle", 5)];
    assert_eq!(seen, expected.map(|(scenario, peers)| (format!("{scenario:?}"), peers)));
    for case in report["cases"].as_array().expect("cases") {
        for peer in case["peers"].as_array().expect("peers") {
            let figures = peer["median"].as_object().expect("figures");
            for (key, figure) in figures.iter().filter(|(key, _)| *key != "server_cpu_percent") {
                assert!(figure.as_f64().is_some_and(|figure| figure > 0.0), "{key} of {peer}");
            }
        }
    }
}

#[test]
fn a_peer_divided_by_itself_is_one() {
    let report = run(&["--peers=tcp", "--scenario=bulk", "--rounds=2"]);
    assert_eq!(report["cases"][0]["peers"][0]["ratio_to"]["tcp"]["mb_per_s"], 1.0);
}
