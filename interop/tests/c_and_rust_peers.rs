//! sendoff with ikcp.c and tokio_kcp, client and server; and messages of many fragments.

use std::time::Duration;

use interop_plan::{Chunks, Options, Payload, Serve, sha256_of};
use sendoff::KcpStream;
use sendoff_interop::{Link, Peer, Profile, Server, Settings, Side, Trial, ours, ready, runner};

const WATCHDOG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_messages_of_up_to_100_fragments_echo_right_with_ikcp_and_tokio_kcp() {
    let peers = [Peer::Ikcp, Peer::TokioKcp];
    if !ready(&peers) {
        return;
    }
    let mut trials = Vec::new();
    for peer in peers.map(Side::Theirs) {
        for (client, server) in [(Side::Ours, peer), (peer, Side::Ours)] {
            for message in [false, true] {
                for (link, bytes) in [(None, 1 << 20), (Some(Link::LOSSY), 256 << 10)] {
                    for (profile, window, mtu) in [
                        (Profile::Default, 256, 1_400),
                        (Profile::Fast3, 256, 1_400),
                        (Profile::Fast, 32, 512),
                    ] {
                        let settings = Settings { message, profile, window, mtu, ..Settings::default() };
                        trials.push(Trial { client, server, settings, link, bytes, dice: 0 });
                    }
                }
            }
        }
    }
    let failures = runner::run(trials, 16).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_up_to_100_fragments_reach_kcp_go_whole() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    let (seed, bytes) = ("fragments", 1_000_000);
    let settings = Settings { message: true, ..Settings::default() };
    let sizes = settings.sizes(100);
    for version in Peer::KCP_GO {
        let window = Some(settings.window);
        let options = Options { serve: Serve::Sink, message: true, bytes, window, ..Options::default() };
        let mut server = Server::start(version, &options).await.unwrap();
        let config = ours::config(&settings).unwrap();
        let stream = KcpStream::connect_with(server.address(), config).await.unwrap();
        let mut source = Payload::new(seed);
        for size in Chunks::new(&sizes, bytes) {
            let sent = tokio::time::timeout(WATCHDOG, stream.send(source.take(size))).await;
            sent.expect("send must not hang").unwrap();
        }
        let messages = Chunks::new(&sizes, bytes).count();
        assert_eq!(server.report().await.unwrap(), (bytes, messages, sha256_of(seed, bytes)), "{version}");
    }
}
