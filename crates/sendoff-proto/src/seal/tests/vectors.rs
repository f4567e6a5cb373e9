//! Known answers: `tests/vectors/README.md` tells where they are from.

use super::*;
use crate::seal::{Engine, Key, block_mode};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fs, path::Path};

/// A line: its first word, and its fields.
struct Line(String, HashMap<String, String>);

impl Line {
    fn has(&self, field: &str) -> bool {
        self.1.contains_key(field)
    }

    fn text(&self, field: &str) -> &str {
        self.1.get(field).unwrap_or_else(|| panic!("{}: no {field}", self.0))
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        let hex = self.text(field).as_bytes();
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        hex.chunks(2).map(digits).collect()
    }

    /// The cipher with its key, if this build has it.
    fn crypt(&self) -> Option<Crypt> {
        match self.0.parse::<Cipher>() {
            Ok(cipher) => Some(Crypt::new(cipher, &self.bytes("key")).unwrap()),
            Err(CryptError::NotInThisBuild { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

fn lines(file: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.map(|line| {
        let mut words = line.split(' ');
        let name = words.next().unwrap().to_owned();
        let fields = words.map(|word| word.split_once('=').unwrap());
        Line(name, fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    });
    lines.collect()
}

/// Seals with what a sealer would have drawn.
fn seal_with(crypt: &Crypt, first: &[u8], datagram: &mut [u8]) {
    let size = datagram.len();
    match crypt.engine() {
        Engine::Null => unreachable!(),
        Engine::Block(mode) => {
            datagram[..16].copy_from_slice(first);
            block_mode::seal_group(mode.as_ref(), datagram, size);
        }
        Engine::Gcm(gcm) => gcm.seal_one(first.try_into().unwrap(), datagram),
    }
}

#[test]
fn datagrams_are_sealed_as_kcp_go_seals_them() {
    let mut ciphers = HashMap::new();
    for line in lines("kcp-go.txt") {
        let Some(crypt) = (line.0 != "secret").then(|| line.crypt()).flatten() else { continue };
        let plaintext = content(line.text("length").parse().unwrap());
        let mut datagram = with_room(&crypt, &plaintext);
        // A nonce that kcp-go has encrypted is any other nonce to us: it's the ciphertext that is on the wire.
        let expected = line.has("sealed").then(|| line.bytes("sealed"));
        let first = line.bytes("first");
        seal_with(&crypt, &first, &mut datagram);
        match expected {
            Some(expected) => assert_eq!(datagram, expected, "{}, {} bytes", line.0, plaintext.len()),
            None => assert_eq!(Sha256::digest(&datagram)[..], line.bytes("sha256"), "{}", line.0),
        }
        assert_eq!(crypt.opener().open(&mut datagram).unwrap(), plaintext, "{}", line.0);
        *ciphers.entry(crypt.cipher()).or_insert(0) += 1;
    }
    for cipher in Cipher::ALL.iter().filter(|&&cipher| cipher != Cipher::Null) {
        assert_eq!(ciphers.get(cipher), Some(&13), "{cipher}");
    }
}

#[test]
fn secrets_become_keys_as_kcptun_makes_them() {
    let lines: Vec<_> = lines("kcp-go.txt").into_iter().filter(|line| line.0 == "secret").collect();
    assert_eq!(lines.len(), 5);
    for line in lines {
        let (secret, key) = (line.bytes("from"), line.bytes("key"));
        assert_eq!(Key::<32>::kcptun(&secret).bytes()[..], key);
        assert_eq!(Key::<16>::kcptun(&secret).bytes()[..], key[..16]);
        for crypt in sealing() {
            let cipher = crypt.cipher();
            let mut datagram = sealed(&Crypt::kcptun(cipher, &secret), 1, b"hello");
            let opener = Crypt::new(cipher, &key[..cipher.key_len()]).unwrap().opener();
            assert_eq!(opener.open(&mut datagram).unwrap(), b"hello", "{cipher}");
        }
    }
}

#[test]
fn the_published_answers_come_out() {
    let mut seen = 0;
    for line in lines("published.txt") {
        let Some(crypt) = line.crypt() else { continue };
        let (iv, plain, expected) = (line.bytes("iv"), line.bytes("plain"), line.bytes("sealed"));
        let mut datagram = [&iv[..], &plain].concat();
        let size = datagram.len();
        match crypt.engine() {
            Engine::Null => unreachable!(),
            Engine::Block(mode) => {
                mode.encrypt(&mut datagram, size);
                assert_eq!(datagram[16..], expected, "{}", line.0);
                mode.decrypt(&mut datagram);
                assert_eq!(datagram[16..], plain, "{}", line.0);
            }
            Engine::Gcm(gcm) => {
                datagram.extend([0; 16]);
                gcm.seal_one(iv.try_into().unwrap(), &mut datagram);
                assert_eq!(datagram[12..], [expected, line.bytes("tag")].concat(), "{}", line.0);
            }
        }
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}
