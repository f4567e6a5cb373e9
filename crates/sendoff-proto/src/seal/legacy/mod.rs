//! Block ciphers that are there for old peers.
//!
//! Twofish, 3DES, TEA and XTEA are our own. RustCrypto's Twofish computes its S-boxes anew for every byte, and its DES permutes
//! bit by bit: they reach 3 and 15 MB/s. With tables, made once per key or at compile time, and several blocks in step they are
//! forty and five times as fast. Its XTEA is little-endian where kcp-go's is big-endian, and nobody's TEA has 16 rounds.
//! Their tables, like those of any such implementation, tell something of the key to who can watch the processor's cache.

mod lanes;
mod tea;
mod triple_des;
mod twofish;
mod wide;

pub(super) use tea::{Tea, Xtea};
pub(super) use triple_des::TripleDes;
pub(super) use twofish::Twofish;

pub(super) type Sm4 = wide::Wide<::sm4::Sm4>;
pub(super) type Blowfish = wide::Wide<::blowfish::Blowfish>;
pub(super) type Cast5 = wide::Wide<::cast5::Cast5>;
