//! sendoff in networks of the tests' own, where addresses change and NATs forget. Needs Linux, root or namespaces for
//! everybody, and Debian's packages iproute2, nftables and conntrack; without them the tests say that they are skipped.
#![cfg(target_os = "linux")]

mod lab;
mod moving;
mod transfer;
