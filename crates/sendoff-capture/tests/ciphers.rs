//! Every cipher is found by trying, with the secret alone.

use sendoff_capture::{
    Dissector, Follow, LinkType, Options, PacketReader, PcapngWriter,
    conversation::{Detail, Side},
    udp_packet,
};
use sendoff_proto::{
    Cipher, Crypt, SeqNumber, Timestamp,
    wire::{Command, Segment},
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

const SECRET: &str = "it's a secrect";

/// A capture of three PUSHes that are sealed with a cipher.
fn sealed(cipher: Cipher) -> Vec<u8> {
    let crypt = Crypt::kcptun(cipher, SECRET);
    let sealer = crypt.sealer([3; 32]);
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let interface = writer.interface(LinkType::RAW, "any").unwrap();
    let (client, server): (SocketAddr, SocketAddr) =
        (([10, 0, 0, 1], 1_000).into(), ([10, 0, 0, 2], 2_000).into());
    for sn in 0..3 {
        let mut datagram = vec![0; crypt.front()];
        let (timestamp, una) = (Timestamp(sn), SeqNumber(0));
        let command = Command::Push;
        Segment { conv: 7, command, fragment: 0, window: 32, timestamp, sn: SeqNumber(sn), una }
            .encode(format!("piece {sn}, ").as_bytes(), &mut datagram);
        datagram.resize(datagram.len() + crypt.back(), 0);
        let len = datagram.len();
        sealer.seal_batch(&mut datagram, len);
        let mut packet = Vec::new();
        udp_packet(client, server, &datagram, &mut packet).unwrap();
        writer.packet(interface, Duration::from_millis(sn.into()), &packet, &[]).unwrap();
    }
    writer.into_inner()
}

#[test]
fn every_cipher_is_found_by_trying() {
    let mut found = BTreeSet::new();
    let ciphers = Cipher::ALL.iter().copied().filter(|cipher| *cipher != Cipher::Null);
    for cipher in ciphers.clone() {
        let file = sealed(cipher);
        let mut options = Options::default();
        options.keys.secret = Some(SECRET.into());
        options.follow = Some(Follow { side: Side::Client, conversation: None });
        let (mut reader, mut dissector) = (PacketReader::new(&file[..]).unwrap(), Dissector::new(options));
        while let Some(packet) = reader.next_packet().unwrap() {
            dissector.packet(&packet);
        }
        let conversations = dissector.finish();
        let Detail::Kcp(kcp) = &conversations[0].detail else { panic!("{cipher}: not opened") };
        assert_eq!((conversations.len(), kcp.cipher), (1, Some(cipher)));
        let mut bytes = Vec::new();
        dissector.take_followed(&mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), "piece 0, piece 1, piece 2, ", "{cipher}");
        found.insert(cipher.name());
    }
    assert_eq!(found.len(), ciphers.count());
    for name in ["aes-192", "sm4", "twofish", "cast5", "3des", "xtea"] {
        assert!(found.contains(name), "{name} isn't among {found:?}");
    }
}
