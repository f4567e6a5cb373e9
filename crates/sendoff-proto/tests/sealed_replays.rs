//! A sealed recording, sent again from the client's own address: no cipher here remembers what it has opened.

#![cfg(feature = "crypt")]

mod sim;

use sendoff_proto::{Cause, Config, Crypt, Opening};
use sim::{
    ms,
    net::{Net, Script, addr},
};

/// As the driver seals what a connection sends.
fn seal(crypt: &Crypt, segments: &[u8]) -> Vec<u8> {
    let mut datagram = [&vec![0; crypt.front()], segments, &vec![0; crypt.back()]].concat();
    let size = datagram.len();
    crypt.sealer([1; 32]).seal_batch(&mut datagram, size);
    datagram
}

#[test]
fn a_sealed_hello_with_its_data_opens_again_after_ten_seconds_and_not_before() {
    for crypt in [Crypt::aes_128_gcm([7; 16]), Crypt::aes_256([7; 32])] {
        let config = Config::new().crypt(crypt.clone());
        let mut net = Net::default();
        net.host(1, config.clone(), false, Script::says(b"an order"));
        net.host(2, config, true, Script::echo());
        net.dial(1, 2, Opening::Early);
        net.run_to_the_end(1, 2);
        let recorded: Vec<_> = net.sent_by(1).map(|sent| seal(&crypt, &sent.bytes)).collect();
        let end = net.now;
        // The client's address belongs to nobody now.
        net.nodes.remove(&addr(1));
        let opener = crypt.opener();
        let replay = |net: &mut Net| {
            for datagram in &recorded {
                let mut copy = datagram.clone();
                let opened = opener.open(&mut copy).expect("nobody has changed it").to_vec();
                net.inject(addr(1), 2, opened);
            }
        };
        while net.now < end + ms(9_900) {
            replay(&mut net);
            assert_eq!(net.accepted(2), 1, "{:?} after the end", net.now - end);
            net.run_for(ms(90));
        }
        net.run_for(ms(200));
        replay(&mut net);
        assert_eq!(net.accepted(2), 2);
        let again = &net.at(2).talks[1];
        assert_eq!(again.app.received, b"an order", "as with every first flight without a round trip");
        assert!(!again.connection.is_address_proven() && !again.app.eof);
        net.run_until(ms(60_000), |net| net.at(2).is_over());
        let ending = net.at(2).talks[1].connection.ending().map(|ending| ending.cause);
        assert!(!matches!(ending, None | Some(Cause::Closed)), "{ending:?}");
    }
}
