//! Conversations with forward error correction: what is lost is made good, and everything else stays as it is.

mod common;

use common::*;
use sendoff::{Cause, Config, Fec, FecStats, KcpListener, KcpStream, Party, PeerKind, Wire, code};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn fec(data: usize, parity: usize) -> Config {
    Config::new().fec(Fec::new(data, parity).unwrap())
}

/// A transfer each way at once; both are whole.
async fn transfer(client: &mut KcpStream, server: &mut KcpStream, len: usize) {
    let (there, back) = (payload(len, 1), payload(len, 2));
    let (received, answered) = tokio::join!(
        async {
            let (mut reader, mut writer) = tokio::io::split(&mut *client);
            let mut received = vec![0; back.len()];
            let (read, written) =
                tokio::join!(reader.read_exact(&mut received), async { writer.write_all(&there).await });
            written.unwrap();
            read.unwrap();
            received
        },
        async {
            let (mut reader, mut writer) = tokio::io::split(&mut *server);
            let mut received = vec![0; there.len()];
            let (read, written) =
                tokio::join!(reader.read_exact(&mut received), async { writer.write_all(&back).await });
            written.unwrap();
            read.unwrap();
            received
        }
    );
    assert!(received == back && answered == there);
}

async fn stats(client: &KcpStream, listener: &KcpListener) -> (FecStats, FecStats) {
    (client.endpoint().stats().fec, listener.endpoint().stats().fec)
}

#[tokio::test]
async fn datagrams_are_data_shards_and_parity_goes_with_them() {
    watched(async {
        for (data, parity) in [(10, 3), (3, 2), (1, 1), (20, 10)] {
            let mut pair = Pair::with(fec(data, parity)).await;
            assert_eq!(pair.client.peer_kind(), PeerKind::Extended);
            transfer(&mut pair.client, &mut pair.server, 300_000).await;
            let (here, there) = stats(&pair.client, &pair.listener).await;
            assert!(here.data_sent >= 200 && there.data_sent >= 200, "{here:?}");
            let groups = here.data_sent / data as u64;
            assert!(here.parity_sent + here.parity_skipped >= (groups - 1) * parity as u64, "{here:?}");
            assert!(here.parity_sent >= groups * parity as u64 / 2, "{here:?}");
            assert_eq!((there.refused, there.refused_groups, there.ratios_found), (0, 0, 1), "{there:?}");
            assert_eq!(there.out_of_band_received, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_bad_link_loses_is_made_good_on_both_sides() {
    watched(async {
        for config in [fec(10, 5), fec(10, 5).wire(Wire::Classic)] {
            let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
            let relay = bad_relay(listener.local_addr(), 7).await;
            let client = KcpStream::connect_with(relay, config).await.unwrap();
            let (mut client, mut server) = greeted(client, &listener).await;
            transfer(&mut client, &mut server, 1_000_000).await;
            let (here, there) = stats(&client, &listener).await;
            assert!(here.recovered > 20 && there.recovered > 20, "{here:?} {there:?}");
            assert_eq!(here.refused_groups + there.refused_groups, 0);
            let made_good = server.stats().datagrams_recovered;
            assert!(made_good > 20 && made_good <= there.recovered, "{made_good} of {}", there.recovered);
        }
    })
    .await;
}

#[tokio::test]
async fn each_side_has_its_own_ratio_or_none() {
    watched(async {
        for (ours, theirs) in
            [(fec(10, 3), fec(3, 2)), (fec(4, 4), Config::new()), (Config::new(), fec(4, 4))]
        {
            let mut pair = Pair::of(ours.clone(), theirs.clone()).await;
            transfer(&mut pair.client, &mut pair.server, 200_000).await;
            let (here, there) = stats(&pair.client, &pair.listener).await;
            assert_eq!(here.data_sent > 0, ours.fec_value().is_some(), "{here:?}");
            assert_eq!(there.data_sent > 0, theirs.fec_value().is_some(), "{there:?}");
            assert_eq!(there.parity_received, here.parity_sent, "{here:?} {there:?}");
            assert_eq!(here.ratios_found, u64::from(theirs.fec_value().is_some()));
        }
    })
    .await;
}

#[tokio::test]
async fn auto_puts_parity_on_where_losses_call_for_it_and_never_towards_a_stock_peer() {
    watched(async {
        // A window that the relay's own sockets hold: only what the relay drops is lost.
        let auto = || Config::fast3().fec_auto(Fec::new(10, 5).unwrap()).send_window(32).unwrap();
        let listener = KcpListener::bind_with("127.0.0.1:0", auto()).await.unwrap();
        let relay = bad_relay(listener.local_addr(), 3).await;
        let client = KcpStream::connect_with(relay, auto()).await.unwrap();
        let (mut client, mut server) = greeted(client, &listener).await;
        transfer(&mut client, &mut server, 3_000_000).await;
        let (here, there) = stats(&client, &listener).await;
        assert!(here.parity_sent > 200 && there.recovered > 50, "{here:?} {there:?}");

        for theirs in [auto().wire(Wire::Classic), Config::new().wire(Wire::Classic)] {
            let mut pair = Pair::of(auto(), theirs).await;
            transfer(&mut pair.client, &mut pair.server, 100_000).await;
            let (here, there) = stats(&pair.client, &pair.listener).await;
            assert_eq!((here.data_sent, there.data_sent), (0, 0));
        }
    })
    .await;
}

#[tokio::test]
async fn endings_pass_through_it() {
    watched(async {
        let mut pair = Pair::with(fec(10, 3)).await;
        pair.client.write_all(b"hello").await.unwrap();
        pair.client.finish_with(17, "enough").unwrap();
        let mut received = Vec::new();
        pair.server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"hello");
        let farewell = pair.server.peer_farewell().unwrap();
        assert_eq!((farewell.code, farewell.reason.as_str()), (17, "enough"));
        pair.server.shutdown().await.unwrap();
        let ending = pair.client.closed().await;
        assert!(ending.is_clean(), "{ending}");

        let mut pair = Pair::with(fec(10, 3)).await;
        pair.server.abort(40);
        let ending = failed(pair.client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
        assert_eq!((ending.cause, ending.by, ending.code), (Cause::Reset, Party::Peer, 40));
    })
    .await;
}

#[tokio::test]
async fn nothing_is_kept_of_a_remote_address_once_its_connection_is_over() {
    watched(async {
        let mut pair = Pair::with(fec(2, 1)).await;
        transfer(&mut pair.client, &mut pair.server, 50_000).await;
        let before = pair.listener.endpoint().stats().fec;
        pair.client.abort(0);
        failed(pair.server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
        until(|| pair.listener.endpoint().stats().connections == 0).await;
        let after = pair.listener.endpoint().stats().fec;
        // Counters never go back, also where what they were taken from is gone.
        assert!(after.data_received >= before.data_received && after.parity_sent >= before.parity_sent);
    })
    .await;
}

#[tokio::test]
async fn a_second_connection_has_a_socket_of_its_own() {
    watched(async {
        let listener = KcpListener::bind_with("127.0.0.1:0", fec(10, 3)).await.unwrap();
        let endpoint = sendoff::KcpEndpoint::bind_with("127.0.0.1:0", fec(10, 3)).await.unwrap();
        let first = endpoint.connect(listener.local_addr()).await.unwrap();
        let second = endpoint.connect(listener.local_addr()).await.unwrap();
        let (mut first, mut first_there) = greeted(first, &listener).await;
        let (mut second, mut second_there) = greeted(second, &listener).await;
        assert_ne!(first_there.peer_addr(), second_there.peer_addr());
        transfer(&mut first, &mut first_there, 100_000).await;
        transfer(&mut second, &mut second_there, 100_000).await;
    })
    .await;
}

#[tokio::test]
async fn datagrams_go_beside_the_stream() {
    watched(async {
        for config in [Config::new(), fec(10, 3)] {
            let pair = Pair::with(config).await;
            pair.client.send_out_of_band("here").unwrap();
            pair.client.send_out_of_band("").unwrap();
            assert_eq!(pair.server.recv_out_of_band().await.unwrap(), "here");
            assert_eq!(pair.server.recv_out_of_band().await.unwrap(), "");
            pair.server.send_out_of_band(vec![7; pair.server.max_out_of_band()]).unwrap();
            assert_eq!(pair.client.recv_out_of_band().await.unwrap().len(), pair.server.max_out_of_band());
            let long = vec![0; pair.client.max_out_of_band() + 1];
            let refused = pair.client.send_out_of_band(long).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
            let Pair { client, server, .. } = pair;
            let waiting = tokio::spawn(async move { server.recv_out_of_band().await });
            settle().await;
            drop(client);
            // The other end has finished; ours is still open until it is told so.
            _ = waiting.is_finished();
            waiting.abort();
        }
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_datagrams_beside_the_stream_learns_of_its_end() {
    watched(async {
        let mut pair = Pair::new().await;
        let early = KcpStream::connect_early("127.0.0.1:9").await.unwrap();
        assert_eq!(early.send_out_of_band("x").unwrap_err().kind(), ErrorKind::NotConnected);
        let server = pair.server;
        let waiting = tokio::spawn(async move { server.recv_out_of_band().await });
        pair.client.abort(code::NONE);
        failed(waiting.await.unwrap(), ErrorKind::ConnectionReset);
        assert!(pair.client.send_out_of_band("x").is_err());
    })
    .await;
}
