//! sendoff in networks of the tests' own, where addresses change, NATs forget, and links and filters are between. Needs
//! Linux, root or namespaces for everybody, and Debian's packages iproute2, nftables and conntrack; without them the
//! tests say that they are skipped.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod icmp;
mod lab;
mod moving;
mod mtu;
mod transfer;
