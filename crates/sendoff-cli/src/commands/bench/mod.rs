//! `bench`: what this machine can do.

pub mod ciphers;
