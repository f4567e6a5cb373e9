//! Paths that take less than the MTU that is set: each transfer must arrive, byte for byte.

use crate::{
    common::{payload, watched},
    lab::{Host, in_lab, link},
};
use sendoff::{Config, ConnectionStats, EndpointStats, KcpEndpoint, KcpListener, KcpStream, Wire};
use std::{
    net::{IpAddr, SocketAddr},
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};

const SERVER_V4: &str = "10.7.2.2";
const SERVER_V6: &str = "fd07:2::2";

/// Routers say nothing of a small link.
const NO_ICMP: &str = "nft add table inet quiet
    nft add chain inet quiet out '{ type filter hook output priority 0; }'
    nft add rule inet quiet out icmp type destination-unreachable icmp code frag-needed counter drop
    nft add rule inet quiet out icmpv6 type packet-too-big counter drop";

/// Fragments are dropped when they come.
const NO_FRAGMENTS: &str = "nft add table inet strict
    nft add chain inet strict in '{ type filter hook prerouting priority -450; }'
    nft add rule inet strict in ip frag-off '&' 0x3fff != 0 counter drop
    nft add rule inet strict in exthdr frag exists counter drop";

/// A client, a router, and a server behind a link that may be small.
struct Network {
    client: Host,
    router: Host,
    server: Host,
}

impl Network {
    fn new(far: usize) -> Self {
        let [client, router, server] = ["client", "router", "server"].map(Host::new);
        link((client, "near", "10.7.1.2/24 fd07:1::2/64"), (router, "near", "10.7.1.1/24 fd07:1::1/64"));
        link((router, "far", "10.7.2.1/24 fd07:2::1/64"), (server, "far", "10.7.2.2/24 fd07:2::2/64"));
        for host in [router, server] {
            host.run(&format!("ip link set dev far mtu {far}"));
        }
        router.forward();
        client.run("ip route add default via 10.7.1.1; ip -6 route add default via fd07:1::1");
        server.run("ip route add default via 10.7.2.1; ip -6 route add default via fd07:2::1");
        Self { client, router, server }
    }

    /// How many packets a filter there has dropped.
    fn dropped(host: Host) -> u64 {
        let rules = host.run("nft list ruleset");
        let counts = rules.split("counter packets ").skip(1);
        counts.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// Two hosts on one link.
fn neighbours(mtu: usize) -> (Host, Host) {
    let [client, server] = ["client", "server"].map(Host::new);
    link((client, "link", "10.7.2.1/24 fd07:2::1/64"), (server, "link", "10.7.2.2/24 fd07:2::2/64"));
    for host in [client, server] {
        host.run(&format!("ip link set dev link mtu {mtu}"));
    }
    (client, server)
}

/// Takes what comes behind its length, and answers with two bytes.
struct Server {
    port: u16,
    received: mpsc::Receiver<Vec<u8>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(host: Host, wire: Wire) -> Self {
        let ((addr_known, addr), (sender, received)) = (mpsc::channel(), mpsc::channel());
        let (stop, stopped) = oneshot::channel();
        let thread = host.start(move || async move {
            let listener = KcpListener::bind_with("[::]:0", Config::new().wire(wire)).await.unwrap();
            addr_known.send(listener.local_addr().port()).unwrap();
            let serving = async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(take(stream, sender.clone()));
                }
            };
            tokio::select! {
                () = serving => {}
                _ = stopped => {}
            }
        });
        Self { port: addr.recv().expect("a port"), received, stop: Some(stop), thread: Some(thread) }
    }

    fn addr(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse::<IpAddr>().unwrap(), self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

async fn take(mut stream: KcpStream, sender: mpsc::Sender<Vec<u8>>) {
    // A connection that is given up is no matter here.
    let Ok(len) = stream.read_u32_le().await else { return };
    let mut bytes = vec![0; len as usize];
    if stream.read_exact(&mut bytes).await.is_ok() {
        _ = sender.send(bytes);
        _ = stream.write_all(b"ok").await;
        // Until the client has it.
        _ = tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await;
    }
}

async fn upload(stream: &mut KcpStream, bytes: &[u8]) {
    stream.write_u32_le(bytes.len() as u32).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ok");
}

/// Sends so many bytes over a new connection, and returns what that has counted.
fn transfer(
    client: Host,
    server: &Server,
    ip: &str,
    (config, bytes): (Config, usize),
) -> (ConnectionStats, EndpointStats) {
    let (to, sent) = (server.addr(ip), payload(bytes, 1));
    let bytes = sent.clone();
    let stats = client.block_on(move || {
        watched(async move {
            let mut stream = KcpStream::connect_with(to, config).await.unwrap();
            upload(&mut stream, &bytes).await;
            (stream.stats(), stream.endpoint().stats())
        })
    });
    let received = server.received.recv_timeout(Duration::from_secs(10)).expect("what was sent");
    assert!(received == sent, "{} other bytes came", received.len());
    stats
}

const BOTH: [Wire; 2] = [Wire::Extended, Wire::Classic];
const MEGABYTES: usize = 3_000_000;

#[test]
fn a_link_that_is_too_small_fragments_and_takes_no_batches() {
    if !in_lab("mtu::a_link_that_is_too_small_fragments_and_takes_no_batches", &[]) {
        return;
    }
    for mtu in [1_420, 1_280] {
        let (client, server) = neighbours(mtu);
        for wire in BOTH {
            let server = Server::start(server, wire);
            for ip in [SERVER_V4, SERVER_V6] {
                let (stats, endpoint) = transfer(client, &server, ip, (Config::new(), MEGABYTES));
                assert_eq!((stats.mtu, stats.mtu_steps), (1_400, 0), "fragments arrive: {mtu} {ip} {wire:?}");
                assert_eq!(endpoint.gso_fallbacks, 1, "{mtu} {ip} {wire:?}");
                assert_eq!(endpoint.send_failures, 0);
                // What fits goes in batches.
                let fits = Config::new().mtu(1_200).unwrap();
                let (_, endpoint) = transfer(client, &server, ip, (fits, MEGABYTES));
                assert_eq!(endpoint.gso_fallbacks, 0);
                assert!(endpoint.send_calls < endpoint.datagrams_sent, "{endpoint:?}");
            }
        }
    }
}

#[test]
fn a_router_fragments_ipv4_and_needs_no_icmp_for_that() {
    if !in_lab("mtu::a_router_fragments_ipv4_and_needs_no_icmp_for_that", &["nft"]) {
        return;
    }
    for far in [1_420, 1_280] {
        let network = Network::new(far);
        network.router.run(NO_ICMP);
        for wire in BOTH {
            let server = Server::start(network.server, wire);
            let (stats, _) = transfer(network.client, &server, SERVER_V4, (Config::new(), MEGABYTES));
            assert_eq!((stats.mtu, stats.mtu_steps), (1_400, 0), "{far} {wire:?}");
        }
        assert_eq!(Network::dropped(network.router), 0, "nothing forbids it to fragment");
    }
}

#[test]
fn a_router_of_ipv6_that_says_what_it_takes_gets_that() {
    if !in_lab("mtu::a_router_of_ipv6_that_says_what_it_takes_gets_that", &[]) {
        return;
    }
    for (far, mtu) in [(1_420, 1_350), (1_280, 1_200)] {
        for wire in BOTH {
            // The system remembers what it is told, so each begins anew.
            let network = Network::new(far);
            let server = Server::start(network.server, wire);
            let (stats, _) = transfer(network.client, &server, SERVER_V6, (Config::new(), MEGABYTES));
            assert_eq!((stats.mtu, stats.mtu_steps), (mtu, 0), "{wire:?}");
        }
    }
}

#[test]
fn where_nothing_larger_gets_through_the_next_connection_fits() {
    if !in_lab("mtu::where_nothing_larger_gets_through_the_next_connection_fits", &["nft"]) {
        return;
    }
    // On IPv6 a router that says nothing is enough; on IPv4 somebody must drop its fragments.
    for (far, mtu, ip) in [(1_280, 1_200, SERVER_V6), (1_280, 1_200, SERVER_V4), (1_420, 1_350, SERVER_V4)] {
        for wire in BOTH {
            let network = Network::new(far);
            network.router.run(NO_ICMP);
            if ip == SERVER_V4 {
                network.router.run(NO_FRAGMENTS);
                network.server.run(NO_FRAGMENTS);
            }
            let server = Server::start(network.server, wire);
            let (to, sent) = (server.addr(ip), payload(MEGABYTES, 2));
            let bytes = sent.clone();
            network.client.block_on(move || watched(learn_and_use(to, mtu, bytes)));
            let received = server.received.recv_timeout(Duration::from_secs(10)).expect("what was sent");
            assert!(received == sent);
            // Who knows it sets it.
            let (stats, _) =
                transfer(network.client, &server, ip, (Config::new().mtu(mtu).unwrap(), MEGABYTES));
            assert_eq!(stats.mtu_steps, 0);
            assert!(Network::dropped(network.router) + Network::dropped(network.server) > 0);
        }
    }
}

/// A connection that gets stuck finds out what the path takes, and the next from the same endpoint gets through.
async fn learn_and_use(to: SocketAddr, mtu: usize, bytes: Vec<u8>) {
    let endpoint = KcpEndpoint::bind("[::]:0").await.unwrap();
    let mut first = endpoint.connect(to).await.unwrap();
    // The length alone would be small, and what follows it more than there is room for.
    let mut written = 0;
    first.write_all(&(bytes.len() as u32).to_le_bytes()).await.unwrap();
    while first.stats().mtu > mtu {
        written += first.try_write(&bytes[written..]).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(first.ending(), None, "{:?}", first.stats());
    }
    assert!(first.stats().bytes_acknowledged < bytes.len() as u64, "{:?}", first.stats());
    first.abort(16);

    let mut second = endpoint.connect(to).await.unwrap();
    assert_eq!(second.stats().mtu, mtu, "what the first has found out");
    upload(&mut second, &bytes).await;
    assert_eq!(second.stats().mtu_steps, 0);
}
