//! What a cipher takes of each datagram: the arithmetic of sizes, limits and batches around it.

#![cfg(feature = "crypt")]

use sendoff_proto::{
    Config, ConfigError, Connection, Conv, Crypt, Opening, TransmitBuffer, Wire,
    wire::{Body, Segment, Token, segments},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn gcm() -> Crypt {
    Crypt::aes_128_gcm([7; 16])
}

fn aes() -> Crypt {
    Crypt::aes_256([7; 32])
}

fn connection(config: &Config, opening: Opening, now: Instant) -> Connection {
    Connection::new(Arc::new(config.clone()), Conv::new(1).unwrap(), opening, now, 1)
}

fn buffer(config: &Config) -> TransmitBuffer {
    let mut buffer = TransmitBuffer::new();
    let (front, back) = config.room_around();
    buffer.set_room(front, back);
    buffer
}

#[test]
fn the_mtu_is_that_of_the_wire_and_kcp_gets_what_is_left() {
    for (crypt, overhead) in [(Crypt::null(), 0), (gcm(), 28), (aes(), 20)] {
        let config = Config::new().crypt(crypt);
        assert_eq!((config.mtu_bytes(), config.kcp_mtu()), (1_400, 1_400 - overhead));
        assert_eq!(config.segment_size(), 1_400 - overhead - 24);
        let (front, back) = config.room_around();
        assert_eq!(front + back, overhead);
    }
}

#[test]
fn an_mtu_that_a_cipher_leaves_too_little_of_is_refused_or_raised() {
    let refused = |config: Config, mtu| config.mtu(mtu).unwrap_err();
    let (mtu, least, overhead) = (77, 78, 28);
    let error = refused(Config::new().crypt(gcm()), 77);
    assert_eq!(error, ConfigError::SealedMtu { mtu, least, overhead });
    assert_eq!(error.to_string(), "mtu 77: must be at least 78 bytes, 28 of them for encryption and FEC");
    assert_eq!(Config::new().crypt(gcm()).mtu(78).unwrap().kcp_mtu(), 50);
    assert_eq!(Config::new().mtu(50).unwrap().crypt(aes()).mtu_bytes(), 70);
    let required = Config::new().wire(Wire::Required);
    assert_eq!(
        refused(required.clone().crypt(gcm()), 155).to_string(),
        "mtu 155: must be at least 156 bytes, 28 of them for encryption and FEC"
    );
    assert_eq!(required.mtu(128).unwrap().crypt(gcm()).mtu_bytes(), 156);
    assert_eq!(refused(Config::new().crypt(gcm()), 49), ConfigError::Mtu(49));
}

#[test]
fn blocks_need_128_bytes_besides_what_the_cipher_takes() {
    for (crypt, least) in [(Crypt::null(), 128), (gcm(), 156), (aes(), 148)] {
        let config = Config::new().crypt(crypt);
        assert!(config.clone().mtu(least).unwrap().speaks_blocks());
        assert!(!config.mtu(least - 1).unwrap().speaks_blocks());
    }
}

#[test]
fn a_batch_has_datagrams_of_the_mtu_whose_segments_lie_within_their_room() {
    for crypt in [gcm(), aes()] {
        let now = Instant::now();
        let config = Config::new().wire(Wire::Classic).crypt(crypt.clone());
        let (front, back) = config.room_around();
        let mut client = connection(&config, Opening::Early, now);
        let data: Vec<u8> = (0..40_000).map(|n| (n % 251) as u8).collect();
        let (mut buffer, mut sent) = (buffer(&config), Vec::new());
        // Behind the first segment of all, full ones are copied into the batch as they lie in the ring.
        client.write(b"!");
        assert!(client.poll_batch(now, &mut buffer).is_some());
        assert_eq!(client.write(&data), data.len());
        let sealer = crypt.sealer([1; 32]);
        let mut sizes = Vec::new();
        while client.poll_batch(now, &mut buffer).is_some() {
            let size = buffer.datagram_size();
            assert_eq!(buffer.datagrams().count(), buffer.len());
            for datagram in buffer.datagrams() {
                assert_eq!(datagram[..front], vec![0; front]);
                assert_eq!(datagram[datagram.len() - back..], vec![0; back]);
            }
            sealer.seal_batch(buffer.contents_mut(), size);
            for datagram in buffer.datagrams() {
                let mut datagram = datagram.to_vec();
                sizes.push(datagram.len());
                let opened = crypt.opener().open(&mut datagram).unwrap();
                sent.extend(segments(opened).flat_map(|s| s.unwrap().data().to_vec()));
            }
        }
        let full = config.segment_size();
        assert!(sent == data);
        assert_eq!(sizes.len(), data.len().div_ceil(full));
        let (last, others) = sizes.split_last().unwrap();
        assert!(others.iter().all(|&size| size == 1_400));
        assert_eq!(*last, data.len() % full + 24 + crypt.overhead());
    }
}

#[test]
fn who_has_proven_nothing_gets_three_times_its_bytes_as_they_are_on_the_wire() {
    let now = Instant::now();
    let mut hello = Vec::new();
    let own = Token::new(5).unwrap();
    let header = Segment {
        conv: 1,
        command: sendoff_proto::wire::Command::WindowAsk,
        fragment: 0,
        window: 32,
        timestamp: sendoff_proto::Timestamp(0),
        sn: sendoff_proto::SeqNumber(0),
        una: sendoff_proto::SeqNumber(0),
    };
    let body = Body::Hello { features: 0, cookie: [0; 16] };
    let mut data = Vec::new();
    sendoff_proto::wire::Block { flags: 0, to: None, from: Some(own), body }.encode(&mut data);
    header.encode(&data, &mut hello);
    for crypt in [Crypt::null(), gcm(), aes()] {
        let config = Config::new().crypt(crypt.clone());
        let mut server = connection(&config, Opening::Hello(own), now);
        server.handle_datagram(now, &hello);
        server.write(&[0; 10_000]);
        let (mut buffer, mut sent, mut at) = (buffer(&config), Vec::new(), now);
        while at < now + Duration::from_secs(9) {
            while server.poll_transmit(at, &mut buffer) {
                sent.extend(buffer.datagrams().map(<[u8]>::len));
            }
            at = server.poll_timeout().unwrap().max(at);
            server.handle_timeout(at);
        }
        let (cause, total) = (hello.len() + crypt.overhead(), sent.iter().sum::<usize>());
        assert!(total <= 3 * cause, "{total} for {cause}: {sent:?}");
        assert!(sent.len() >= 3, "WELCOME, and again: {sent:?}");
    }
}
