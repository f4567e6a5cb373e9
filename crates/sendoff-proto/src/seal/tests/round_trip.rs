use super::*;

#[test]
fn what_is_sealed_opens_at_every_length() {
    for crypt in sealing() {
        let (sealer, opener) = (crypt.sealer([3; 32]), crypt.opener());
        for len in 0..=1_500 {
            let plaintext = content(len);
            let mut datagram = with_room(&crypt, &plaintext);
            let size = datagram.len();
            sealer.seal_batch(&mut datagram, size);
            assert_eq!(opener.open(&mut datagram).unwrap(), plaintext, "{crypt:?}, {len} bytes");
        }
        assert_eq!(sealer.nonces_used(), 1_501);
    }
}

#[test]
fn a_batch_is_sealed_as_its_datagrams_one_by_one() {
    for crypt in sealing() {
        for (size, count, last) in
            [(60, 1, 60), (64, 8, 33), (77, 9, 77), (1_400, 44, 1_399), (133, 30, 29), (48, 17, 48)]
        {
            let plain: Vec<u8> = content(size * (count - 1) + last);
            let mut batch = plain.clone();
            crypt.sealer([5; 32]).seal_batch(&mut batch, size);
            let sealer = crypt.sealer([5; 32]);
            let mut singly = plain.clone();
            for datagram in singly.chunks_mut(size) {
                let len = datagram.len();
                sealer.seal_batch(datagram, len);
            }
            assert!(batch == singly, "{crypt:?}: {count} × {size}, the last of {last}");
            for (sealed, plain) in batch.chunks_mut(size).zip(plain.chunks(size)) {
                let inner = crypt.front()..plain.len() - crypt.back();
                assert_eq!(crypt.opener().open(sealed).unwrap(), &plain[inner], "{crypt:?}");
            }
        }
    }
}
