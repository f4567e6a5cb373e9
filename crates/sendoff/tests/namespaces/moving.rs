//! A client whose own address becomes another, and one behind a NAT that forgets.

use super::{
    lab::{Host, in_lab, link},
    transfer::{MEGABYTES, Story, Transfer, Way},
};
use sendoff::{Config, KcpListener, KcpStream};
use std::{sync::mpsc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BYTES: usize = 100 * MEGABYTES;

/// Who has to wait for a keep-alive waits for 20 s: a pause that is shorter than this was not ended by one.
const WITHOUT_KEEP_ALIVE: Duration = Duration::from_secs(15);

fn tell(what: &str, story: &Story) {
    println!(
        "measured: {what}: longest pause {:.2} s, {} moves",
        story.pause.as_secs_f64(),
        story.stats.moves
    );
    assert!(story.pause < WITHOUT_KEEP_ALIVE, "{story:?}");
}

/// So long may the bytes stand still when a busy connection's way changes; 0.05 to 1.4 s were measured.
const BRIEF: Duration = Duration::from_secs(2);

/// The pause of such a story is brief. On a machine that is busy with other things load alone can make it longer: one of
/// three has to be.
fn is_brief(what: &str, story: impl Fn() -> Story) {
    let mut pauses = Vec::new();
    while pauses.len() < 3 {
        let story = story();
        tell(what, &story);
        if story.pause < BRIEF {
            return;
        }
        pauses.push(story.pause);
    }
    panic!("{what}: pauses of {pauses:?}");
}

/// The client has one address, and then another one instead.
fn change_address(way: Way) -> Story {
    let (client, server) = (Host::new("client"), Host::new("server"));
    link((client, "eth", "10.9.0.2/24"), (server, "eth", "10.9.0.1/24"));
    let transfer = Transfer::begin(client, (server, "10.9.0.1"), way, BYTES);
    transfer.wait_for(BYTES / 3);
    client.run("ip addr flush dev eth && ip addr add 10.9.0.3/24 dev eth");
    let story = transfer.finish();
    let [first, last] = story.peers.map(|peer| peer.ip().to_string());
    assert_eq!((&*first, &*last, story.stats.moves), ("10.9.0.2", "10.9.0.3", 1));
    story
}

#[test]
fn an_upload_goes_on_when_the_clients_address_changes() {
    if in_lab("moving::an_upload_goes_on_when_the_clients_address_changes", &[]) {
        is_brief("Up, another address", || change_address(Way::Up));
    }
}

#[test]
fn a_download_goes_on_when_the_clients_address_changes() {
    if in_lab("moving::a_download_goes_on_when_the_clients_address_changes", &[]) {
        is_brief("Down, another address", || change_address(Way::Down));
    }
}

#[test]
fn an_upload_goes_on_when_there_is_no_network_for_a_while() {
    if !in_lab("moving::an_upload_goes_on_when_there_is_no_network_for_a_while", &[]) {
        return;
    }
    let (client, server) = (Host::new("client"), Host::new("server"));
    link((client, "eth", "10.9.0.2/24"), (server, "eth", "10.9.0.1/24"));
    let transfer = Transfer::begin(client, (server, "10.9.0.1"), Way::Up, BYTES);
    transfer.wait_for(BYTES / 3);
    client.run("ip addr flush dev eth && sleep 3 && ip addr add 10.9.0.3/24 dev eth");
    let story = transfer.finish();
    assert_eq!(story.stats.moves, 1);
    tell("Up, 3 s without any address", &story);
}

#[test]
fn an_upload_goes_on_when_another_interface_leads_to_the_server() {
    if !in_lab("moving::an_upload_goes_on_when_another_interface_leads_to_the_server", &[]) {
        return;
    }
    let (client, server) = (Host::new("client"), Host::new("server"));
    link((client, "wifi", "10.9.1.2/24"), (server, "west", "10.9.1.1/24"));
    link((client, "mobile", "10.9.2.2/24"), (server, "east", "10.9.2.1/24"));
    server.run("ip addr add 10.9.9.9/32 dev lo");
    client.run("ip route add 10.9.9.9 via 10.9.1.1");
    let transfer = Transfer::begin(client, (server, "10.9.9.9"), Way::Up, BYTES);
    transfer.wait_for(BYTES / 3);
    // The address stays, but nothing that is sent from it gets there: no send fails.
    server.run("echo 1 > /proc/sys/net/ipv4/conf/east/rp_filter && ip link set dev west down");
    client.run("ip route replace 10.9.9.9 via 10.9.2.1");
    let story = transfer.finish();
    assert_eq!((story.peers[1].ip().to_string(), story.stats.moves), ("10.9.2.2".to_owned(), 1));
    tell("Up, another interface", &story);
}

const NAT_TOOLS: [&str; 2] = ["nft", "conntrack"];

/// A client behind a NAT that gives each new flow a port at random, and a server before it.
fn natted() -> [Host; 3] {
    let [client, router, server] = [Host::new("client"), Host::new("router"), Host::new("server")];
    link((client, "eth", "10.9.1.2/24"), (router, "lan", "10.9.1.1/24"));
    link((router, "wan", "10.9.2.1/24"), (server, "eth", "10.9.2.2/24"));
    client.run("ip route add default via 10.9.1.1");
    router.forward();
    router.run(
        "nft add table ip nat
        nft 'add chain ip nat post { type nat hook postrouting priority 100; }'
        nft add rule ip nat post oifname wan masquerade random",
    );
    [client, router, server]
}

const FORGET: &str = "conntrack -F";

fn forget_while_busy(way: Way) -> Story {
    let [client, router, server] = natted();
    let transfer = Transfer::begin(client, (server, "10.9.2.2"), way, BYTES);
    transfer.wait_for(BYTES / 3);
    router.run(FORGET);
    let story = transfer.finish();
    let [first, last] = story.peers;
    assert!(first.ip() == last.ip() && first.port() != last.port(), "{story:?}");
    assert!(story.stats.moves >= 1);
    story
}

#[test]
fn an_upload_goes_on_when_a_nat_forgets_it() {
    if in_lab("moving::an_upload_goes_on_when_a_nat_forgets_it", &NAT_TOOLS) {
        is_brief("Up, a NAT forgets", || forget_while_busy(Way::Up));
    }
}

#[test]
fn a_download_goes_on_when_a_nat_forgets_it() {
    if in_lab("moving::a_download_goes_on_when_a_nat_forgets_it", &NAT_TOOLS) {
        is_brief("Down, a NAT forgets", || forget_while_busy(Way::Down));
    }
}

#[test]
fn a_conversation_goes_on_when_a_nat_has_forgotten_it_while_it_was_idle() {
    if !in_lab("moving::a_conversation_goes_on_when_a_nat_has_forgotten_it_while_it_was_idle", &NAT_TOOLS) {
        return;
    }
    let [client, router, server] = natted();
    let (tell_addr, addr) = mpsc::channel();
    let server = server.start(move || async move {
        let listener = KcpListener::bind("10.9.2.2:0").await.expect("a listener");
        tell_addr.send(listener.local_addr()).expect("a test that waits");
        let (mut stream, first) = listener.accept().await.expect("a client");
        let mut word = [0; 4];
        for answer in [b"pong", b"yes!"] {
            stream.read_exact(&mut word).await.expect("a word");
            stream.write_all(answer).await.expect("a live stream");
        }
        assert_eq!(stream.read(&mut word).await.expect("the end"), 0);
        stream.finish().expect("a live stream");
        let ending = stream.closed().await;
        listener.endpoint().wait_idle().await;
        (ending, [first, stream.peer_addr()], stream.stats().moves)
    });
    let addr = addr.recv().expect("a server");
    let (forgotten, has_forgotten) = tokio::sync::oneshot::channel::<()>();
    let (idle, is_idle) = mpsc::channel();
    let client = client.start(move || async move {
        let mut stream = KcpStream::connect_with(addr, Config::new()).await.expect("a server");
        let mut word = [0; 4];
        stream.write_all(b"ping").await.expect("a live stream");
        stream.read_exact(&mut word).await.expect("an answer");
        idle.send(()).expect("a test that waits");
        has_forgotten.await.expect("a NAT that forgets");
        stream.write_all(b"well").await.expect("a live stream");
        stream.read_exact(&mut word).await.expect("an answer");
        stream.finish().expect("a live stream");
        let ending = stream.closed().await;
        stream.endpoint().wait_idle().await;
        ending
    });
    is_idle.recv().expect("a client");
    router.run(FORGET);
    forgotten.send(()).expect("a client that waits");
    let ending = client.join().expect("a client without complaints");
    let (theirs, [first, last], moves) = server.join().expect("a server without complaints");
    assert!(ending.is_clean() && theirs.is_clean(), "{ending} / {theirs}");
    assert!(first != last && moves >= 1, "{first} {last} {moves}");
}
