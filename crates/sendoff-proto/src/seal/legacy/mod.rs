//! Block ciphers that are there for old peers.

mod tea;
mod wide;

pub(super) use tea::{Tea, Xtea};

pub(super) type Sm4 = wide::Wide<::sm4::Sm4>;
pub(super) type Blowfish = wide::Wide<::blowfish::Blowfish>;
pub(super) type Twofish = wide::Wide<::twofish::Twofish>;
pub(super) type Cast5 = wide::Wide<::cast5::Cast5>;
pub(super) type TripleDes = wide::Wide<::des::TdesEde3>;
