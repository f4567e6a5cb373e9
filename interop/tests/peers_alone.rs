//! The harness on its own: peers with each other, so that a failure elsewhere is sendoff's.

use sendoff_interop::{Link, Peer, Settings, Side, Trial, ready, runner};

/// Every peer once as client and once as server, in a circle.
fn circle(settings: Settings, link: Option<Link>) -> Vec<Trial> {
    let side = |number: usize| Side::Theirs(Peer::ALL[number % Peer::ALL.len()]);
    let pairs = (0..Peer::ALL.len()).map(|number| (side(number), side(number + 1)));
    pairs
        .map(|(client, server)| Trial { client, server, settings, link, bytes: 256 << 10, dice: 0 })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_echo_each_other_in_both_modes_with_and_without_loss() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut trials = Vec::new();
    for message in [false, true] {
        for link in [None, Some(Link::LOSSY)] {
            trials.extend(circle(Settings { message, ..Settings::default() }, link));
        }
    }
    let failures = runner::run(trials, 8).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_disagree_on_the_messages_are_caught() {
    if !ready(&[Peer::Ikcp, Peer::KcpGo5672]) {
        return;
    }
    // Messages of 100 fragments, which kcp-go's echo cuts at the segment.
    let settings = Settings { message: true, ..Settings::default() };
    let options = interop_plan::Options {
        message: true,
        bytes: 500_000,
        sizes: settings.sizes(Peer::Ikcp.most_fragments()),
        window: Some(256),
        ..interop_plan::Options::default()
    };
    let server = sendoff_interop::Server::start(Peer::KcpGo5672, &options).await.unwrap();
    let options = interop_plan::Options { address: server.address().to_string(), ..options };
    let error = sendoff_interop::peer::run_client(Peer::Ikcp, &options).await.unwrap_err();
    assert!(error.contains("has 1376 bytes, not 1377"), "{error}");
}
