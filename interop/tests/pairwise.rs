//! sendoff with kcp-go, client and server, over every pair of settings.

use sendoff_interop::{Peer, ready, runner, table};

/// Rows at a time: most of a slow row is waiting.
const JOBS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_settings_echoes_right_with_both_versions_of_kcp_go() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    let trials: Vec<_> = table::pairwise().iter().map(table::trial).collect();
    let total = trials.len();
    let failures = runner::run(trials, JOBS).await;
    println!("{} of {total} rows passed", total - failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}
