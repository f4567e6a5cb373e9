//! In networks of the tests' own, with routers and filters between: Linux, root, `ip` and `nft`. Elsewhere the tests are
//! skipped, and say so.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod harness;

mod mtu;
