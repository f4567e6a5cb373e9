//! What lets an endpoint ask a client to come again without remembering it: a cookie that only the endpoint can make,
//! and only the client's address is told.
//!
//! ```text
//! client                                     endpoint under pressure
//!   HELLO, from, no cookie      ──▶            stores nothing
//!                               ◀──  RETRY, cookie = SipHash-2-4-128(key; address, conv, from, time slot)
//!   HELLO, from, cookie, data   ──▶            computes it again: equal, so the address is proven
//! ```

use super::limits::group;
use crate::{seq::Conv, wire::Token};
use siphasher::sip128::{Hash128, Hasher128, SipHasher24};
use std::{
    hash::Hasher,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// A cookie as it stands on the wire; zeros where there is none.
pub(crate) type Cookie = [u8; 16];

/// Who asks: address, conversation, and the token of the HELLO.
pub(super) type Name = (SocketAddr, Conv, Token);

/// What a HELLO has without a cookie.
pub(crate) const NO_COOKIE: Cookie = [0; 16];

/// A cookie is valid in the slot in which it was made, and in the next: for 5 to 10 s.
const SLOT: Duration = Duration::from_secs(5);

/// RETRYs a second to one group of addresses. A host whose address is forged gets no more than these 2 kB.
const RETRIES_PER_SECOND: u8 = 32;

/// Who has just been told to come again isn't told so again for that long, or a little less: each datagram of a flight
/// begins with the same HELLO. Shorter than the time after which a client repeats it.
const REPEAT: Duration = Duration::from_millis(200);

/// Names remembered as just told: a new one takes the place of whichever it falls on.
const NAMES: usize = 1 << 14;

/// Groups of addresses: by their number a flood from everywhere doesn't use up what others are answered.
const GROUPS: usize = 1 << 16;

/// Makes cookies, and knows its own again. A copy makes the same ones.
#[derive(Clone, Debug)]
pub(super) struct Cookies {
    key: [u8; 16],
    /// When the first slot began: at the first use.
    epoch: Option<Instant>,
    told: Told,
    quota: Quota,
}

impl Cookies {
    /// Who can guess `seed` can open from addresses that aren't his.
    pub(super) fn new(seed: u128) -> Self {
        Self { key: seed.to_le_bytes(), epoch: None, told: Told::default(), quota: Quota::new(seed) }
    }

    fn age_of_all(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.epoch.get_or_insert(now))
    }

    fn slot(&mut self, now: Instant) -> u64 {
        self.age_of_all(now).as_secs() / SLOT.as_secs()
    }

    /// The cookie for who has said HELLO in that name.
    pub(super) fn bake(&mut self, now: Instant, name: Name) -> Cookie {
        let slot = self.slot(now);
        u128::from(self.mac(slot, name)).to_le_bytes()
    }

    /// Whether it is one that was made for that name in this slot or the last.
    pub(super) fn knows(&mut self, now: Instant, name: Name, cookie: &Cookie) -> bool {
        self.age(now, name, cookie).is_some()
    }

    /// In how many slots before this one it was made; `None` if it is not valid, whatever the reason.
    pub(super) fn age(&mut self, now: Instant, name: Name, cookie: &Cookie) -> Option<u64> {
        let slot = self.slot(now);
        // Compared in constant time.
        let shown = Hash128::from(u128::from_le_bytes(*cookie));
        (0..=slot.min(1)).find(|age| self.mac(slot - age, name) == shown)
    }

    fn mac(&self, slot: u64, (remote, conv, from): Name) -> Hash128 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        // Each field has a fixed length, so no two names make the same bytes. IPv4 as it is mapped into IPv6.
        let ip = match remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        hasher.write(&ip.octets());
        hasher.write(&remote.port().to_le_bytes());
        hasher.write(&conv.value().to_le_bytes());
        hasher.write(&from.value().to_le_bytes());
        hasher.write(&slot.to_le_bytes());
        hasher.finish128()
    }

    /// The cookie of a RETRY to who has said HELLO in that name; `None` if none may be sent: it was told just now, or its
    /// address has had its share of this second, of `shared` where other drivers answer in the same name.
    pub(super) fn retry(&mut self, now: Instant, name: Name, shared: Option<&mut Quota>) -> Option<Cookie> {
        let cookie = self.bake(now, name);
        let time = self.age_of_all(now).as_millis() / REPEAT.as_millis();
        let entry = Told::entry(&cookie, time);
        let quota = shared.unwrap_or(&mut self.quota);
        if self.told.has(entry) || !quota.take(now, name.0) {
            return None;
        }
        self.told.note(entry);
        Some(cookie)
    }

    /// How long the slot still lasts.
    pub(super) fn slot_left(&mut self, now: Instant) -> Duration {
        let into = self.age_of_all(now).as_millis() as u64 % SLOT.as_millis() as u64;
        SLOT - Duration::from_millis(into)
    }
}

/// Who was told just now: 64 KiB once it is used.
#[derive(Clone, Debug, Default)]
struct Told(Vec<u32>);

impl Told {
    /// Where a name lies, and what stands there: 24 bits of its cookie, and 8 of the time.
    fn entry(cookie: &Cookie, time: u128) -> (usize, u32) {
        let [a, b, c, d, e, ..] = *cookie;
        (usize::from(u16::from_le_bytes([a, b])) % NAMES, u32::from_le_bytes([time as u8, c, d, e]))
    }

    fn has(&self, (place, what): (usize, u32)) -> bool {
        self.0.get(place) == Some(&what)
    }

    fn note(&mut self, (place, what): (usize, u32)) {
        self.0.resize(NAMES, 0);
        self.0[place] = what;
    }
}

/// How many RETRYs each group of addresses has had in this second: 64 KiB once it is used.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    key: [u8; 16],
    since: Option<Instant>,
    used: Vec<u8>,
}

impl Quota {
    /// Who can guess `seed` can find addresses that are counted as one.
    pub(super) fn new(seed: u128) -> Self {
        Self { key: seed.to_le_bytes(), since: None, used: Vec::new() }
    }

    /// Whether one more RETRY may be sent to that address.
    pub(super) fn take(&mut self, now: Instant, remote: SocketAddr) -> bool {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(b"quota");
        hasher.write(&group(remote.ip()).octets());
        let group = u128::from(hasher.finish128()) as usize % GROUPS;
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.used.clear();
            self.used.resize(GROUPS, 0);
        }
        let used = &mut self.used[group];
        let may = *used < RETRIES_PER_SECOND;
        *used += u8::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: u8, port: u16, conv: u32, from: u64) -> Name {
        let remote = SocketAddr::from(([192, 0, 2, host], port));
        (remote, Conv::new(conv).unwrap(), Token::new(from).unwrap())
    }

    #[test]
    fn the_hash_is_siphash_2_4_128() {
        // Of the reference implementation (veorq/SipHash, vectors.h): key 00 01 … 0f, input 00 01 02 … of that length.
        let vectors: [(usize, u128); 5] = [
            (0, 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293),
            (1, 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45),
            (2, 0x8177_228d_a4a4_5dc7_fca3_8bde_f60a_ffe4),
            (3, 0x9c70_b60c_5267_a94e_5f33_b6b0_2985_ed51),
            (4, 0xf881_64c1_2d9c_8faf_7d0f_6e7c_7bcd_5579),
        ];
        let key: [u8; 16] = std::array::from_fn(|n| n as u8);
        for (len, expected) in vectors {
            let input: Vec<u8> = (0..len as u8).collect();
            let mut hasher = SipHasher24::new_with_key(&key);
            hasher.write(&input);
            let cookie: Cookie = u128::from(hasher.finish128()).to_le_bytes();
            assert_eq!(cookie, expected.to_be_bytes(), "{len} bytes");
        }
    }

    #[test]
    fn a_cookie_holds_for_five_to_ten_seconds() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (made, last) in [(0, 9_999), (4_999, 9_999), (5_000, 14_999), (7_000, 14_999)] {
            let mut cookies = Cookies::new(1);
            let name = name(1, 1_000, 7, 9);
            cookies.slot(start);
            let cookie = cookies.bake(at(made), name);
            assert!(cookies.knows(at(made), name, &cookie), "made at {made}");
            assert!(cookies.knows(at(last), name, &cookie), "made at {made}");
            assert!(!cookies.knows(at(last + 1), name, &cookie), "made at {made}");
        }
    }

    #[test]
    fn a_cookie_is_good_for_one_name_and_one_key() {
        let now = Instant::now();
        let mut cookies = Cookies::new(1);
        let own = name(1, 1_000, 7, 9);
        let cookie = cookies.bake(now, own);
        assert!(cookies.knows(now, own, &cookie));
        for other in [name(2, 1_000, 7, 9), name(1, 1_001, 7, 9), name(1, 1_000, 8, 9), name(1, 1_000, 7, 10)]
        {
            assert!(!cookies.knows(now, other, &cookie), "{other:?}");
        }
        assert!(!cookies.knows(now, own, &NO_COOKIE));
        assert!(!Cookies::new(2).knows(now, own, &cookie));
        for bit in 0..128 {
            let mut forged = cookie;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!cookies.knows(now, own, &forged), "bit {bit}");
        }
    }

    #[test]
    fn an_address_is_the_same_in_ipv4_and_mapped_into_ipv6() {
        let now = Instant::now();
        let mut cookies = Cookies::new(1);
        let (remote, conv, from) = name(1, 1_000, 7, 9);
        let mapped = SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], 1_000));
        let cookie = cookies.bake(now, (remote, conv, from));
        assert!(cookies.knows(now, (mapped, conv, from), &cookie));
    }

    #[test]
    fn retries_are_counted_by_address_without_its_port_and_by_second() {
        let now = Instant::now();
        let mut quota = Quota::new(1);
        let of = |host, port| SocketAddr::from(([192, 0, 2, host], port));
        let most = u16::from(RETRIES_PER_SECOND);
        assert!((0..most).all(|port| quota.take(now, of(1, port))));
        assert!(!quota.take(now, of(1, 9_999)), "another port is the same host");
        assert!(quota.take(now, of(2, 1)), "another host has its own");
        assert!(!quota.take(now + Duration::from_millis(999), of(1, 1)));
        assert!(quota.take(now + Duration::from_secs(1), of(1, 1)));
    }
}
