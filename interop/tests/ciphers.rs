//! Every cipher of kcp-go, in both roles; and what becomes of those who have another key.

use std::io::ErrorKind;
use std::time::Duration;

use interop_plan::{Event, Options};
use sendoff::{Cause, Cipher, Config, Crypt, KcpListener, KcpStream, Silence};
use sendoff_interop::peer::Client;
use sendoff_interop::talk::WATCHDOG;
use sendoff_interop::{Link, Peer, Server, Settings, Side, Trial, ready, runner};
use tokio::time::timeout;

/// Rows at a time: most of a slow row is waiting.
const JOBS: usize = 8;

fn trials(peer: Peer, ciphers: impl Iterator<Item = Cipher>) -> Vec<Trial> {
    let (ours, theirs) = (Side::Ours, Side::Theirs(peer));
    let trial = |crypt, message, link: Option<Link>, (client, server)| Trial {
        client,
        server,
        settings: Settings { crypt, message, ..Settings::default() },
        link,
        bytes: if link.is_none() { 2 << 20 } else { 256 << 10 },
        dice: 0,
    };
    let mut trials = Vec::new();
    for crypt in ciphers {
        for roles in [(ours, theirs), (theirs, ours)] {
            trials.push(trial(crypt, false, None, roles));
            trials.push(trial(crypt, false, Some(Link::LOSSY), roles));
            // Each message is a segment, up to the very size that both take it to have.
            trials.push(trial(crypt, true, Some(Link::LOSSY), roles));
        }
    }
    trials
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cipher_echoes_right_with_kcp_go_in_both_roles_with_loss_and_without() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    assert_eq!(Cipher::ALL.len(), 17, "this build has them all");
    let trials = trials(Peer::KcpGo5672, Cipher::ALL.iter().copied());
    let total = trials.len();
    let failures = runner::run(trials, JOBS).await;
    println!("{} of {total} rows passed", total - failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cipher_that_the_old_kcp_go_has_echoes_right_with_it_too() {
    if !ready(&[Peer::KcpGo561]) {
        return;
    }
    let trials = trials(Peer::KcpGo561, Cipher::ALL.iter().copied().filter(|cipher| !cipher.is_aead()));
    let total = trials.len();
    let failures = runner::run(trials, JOBS).await;
    println!("{} of {total} rows passed", total - failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}

fn sealed(cipher: Cipher, secret: &str) -> Config {
    Config::fast3().crypt(Crypt::kcptun(cipher, secret))
}

fn theirs(cipher: Cipher, secret: &str) -> Options {
    Options { crypt: Some(cipher.to_string()), secret: secret.into(), bytes: 1_000, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_with_another_key_or_cipher_opens_nothing_there_and_says_what_may_be_wrong() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let (gcm, aes) = (Cipher::Aes128Gcm, Cipher::Aes256);
    for (client, server) in
        [((gcm, "one"), (gcm, "two")), ((aes, "one"), (aes, "two")), ((aes, "one"), (gcm, "one"))]
    {
        let there = Server::start(Peer::KcpGo5672, &theirs(server.0, server.1)).await.unwrap();
        let config = sealed(client.0, client.1).connect_timeout(Duration::from_secs(1));
        let error = KcpStream::connect_with(there.address(), config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let ending = sendoff::Ending::of(&error).unwrap();
        assert_eq!(ending.cause, Cause::TimedOut(Silence::Opening));
        assert!(ending.to_string().contains("another key or cipher"), "{ending}");
        assert_eq!(there.stop().await.unwrap(), [], "not even a phantom");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn their_client_with_another_key_or_cipher_is_counted_here_and_not_accepted() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let (gcm, aes) = (Cipher::Aes128Gcm, Cipher::Aes256);
    for (client, server) in
        [((gcm, "one"), (gcm, "two")), ((aes, "one"), (aes, "two")), ((gcm, "one"), (aes, "one"))]
    {
        let listener = KcpListener::bind_with("127.0.0.1:0", sealed(server.0, server.1)).await.unwrap();
        let (address, deadline) = (listener.local_addr().to_string(), Duration::from_millis(500));
        let options = Options { address, deadline, ..theirs(client.0, client.1) };
        let mut client = Client::start(Peer::KcpGo5672, &options).unwrap();
        let accepting = async {
            tokio::select! {
                accepted = listener.accept() => panic!("accepted: {accepted:?}"),
                event = client.event() => event.unwrap(),
            }
        };
        let event = timeout(WATCHDOG, accepting).await.expect("the client gives up");
        assert!(matches!(event, Event::Result { ok: false, bytes: 0, .. }), "{event:?}");
        let stats = listener.endpoint().stats();
        assert!(stats.failed_to_open > 0, "{stats:?}");
        assert_eq!((stats.failed_to_open, stats.datagrams_sent), (stats.datagrams_received, 0), "{stats:?}");
    }
}
