//! Routers that turn datagrams away: what they say ends nothing, for anybody can say it, and it may be over soon.

use crate::{
    common::{failed, read_exactly, until, watched},
    lab::{Host, in_lab, link},
};
use sendoff::{Config, KcpEndpoint, KcpListener};
use std::{io::ErrorKind, sync::mpsc, time::Duration};
use tokio::io::AsyncWriteExt;

/// A client and a server with a router between, which says whatever it has to say as often as there is reason to.
fn network() -> [Host; 3] {
    let [client, router, server] = ["client", "router", "server"].map(Host::new);
    link((client, "eth", "10.9.1.2/24"), (router, "lan", "10.9.1.1/24"));
    link((router, "wan", "10.9.2.1/24"), (server, "eth", "10.9.2.2/24"));
    client.run("ip route add default via 10.9.1.1");
    server.run("ip route add default via 10.9.2.1");
    router.forward();
    router.run("echo 0 > /proc/sys/net/ipv4/icmp_ratelimit");
    [client, router, server]
}

#[test]
fn a_router_that_says_unreachable_or_forbidden_for_a_while_ends_no_connection() {
    let test = "icmp::a_router_that_says_unreachable_or_forbidden_for_a_while_ends_no_connection";
    if !in_lab(test, &["nft"]) {
        return;
    }
    let [client, router, server] = network();
    let (tell_addr, addr) = mpsc::channel();
    let server = server.start(move || async move {
        let listener = KcpListener::bind("10.9.2.2:0").await.expect("a listener");
        tell_addr.send(listener.local_addr()).expect("a test that waits");
        let (stream, _) = listener.accept().await.expect("a client");
        let (mut reader, mut writer) = stream.into_split();
        tokio::io::copy(&mut reader, &mut writer).await.expect("a client that ends in order");
        writer.shutdown().await.expect("a client that hears it");
        listener.endpoint().wait_idle().await;
    });
    let addr = addr.recv().expect("a server");
    client.block_on(move || {
        watched(async move {
            let endpoint = KcpEndpoint::bind("10.9.1.2:0").await.expect("an endpoint");
            let mut stream = endpoint.connect(addr).await.expect("a server");
            for says in ["host-unreachable", "net-unreachable", "admin-prohibited"] {
                router.run(&format!(
                    "nft add table ip shut
                    nft 'add chain ip shut way {{ type filter hook forward priority 0; }}'
                    nft add rule ip shut way ip daddr 10.9.2.2 reject with icmp type {says}"
                ));
                // Were it a port that nobody listens on, the second would be believed.
                let before = endpoint.stats().icmp_errors;
                let opening = Config::new().connect_timeout(Duration::from_secs(1));
                failed(endpoint.connect_with(addr, opening).await, ErrorKind::TimedOut);
                let heard = endpoint.stats().icmp_errors;
                assert!(heard >= before + 2, "{says}: {}", heard - before);
                stream.write_all(b"anyone?").await.expect("a live stream");
                until(|| endpoint.stats().icmp_errors >= heard + 2).await;
                assert_eq!(stream.ending(), None, "{says}");
                router.run("nft delete table ip shut");
                assert_eq!(read_exactly(&mut stream, 7).await, b"anyone?", "{says}");
            }
            stream.finish().expect("a live stream");
            assert!(stream.closed().await.is_clean());
            endpoint.wait_idle().await;
        })
    });
    server.join().expect("a server without complaints");
}
