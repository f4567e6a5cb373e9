//! Forward error correction as kcp-go has it: parity shards, from which a receiver makes good what was
//! lost, without waiting for it to be sent again.
//!
//! ```text
//!         segments of one datagram ──▶ data shard ─┐            ┌─▶ data shard ──▶ segments, at once
//! Encoder                                          ├─ network ──┤ Decoder
//!         a group of `data` shards ──▶ `parity` ───┘            └─▶ any `data` of a group ──▶ the segments that were lost
//! ```
//!
//! Both work on whole datagrams, inside the encryption, and do no I/O: time is an argument. The state belongs to
//! one remote address. Sending and receiving have nothing to do with each other: each direction has its own ratio.
//!
//! - [`Encoder`] works in place on a [`TransmitBuffer`](crate::TransmitBuffer) and leaves parity in it or in
//!   further ones.
//! - [`Decoder`] says what a datagram is, finds the peer's ratio, and recovers.
//! - [`ParityControl`] says how much parity the loss of a path calls for.
//!
//! `docs/fec.md` tells when it helps and what it costs.

mod control;
mod decoder;
mod encoder;
mod gf;
mod group;
mod kernels;
mod loss;
mod matrix;
mod plan;
mod ratio;
mod setting;
mod shard;
mod stats;

pub use control::ParityControl;
pub use decoder::{Decoder, Received};
pub use encoder::Encoder;
pub use loss::{LossMeter, LossReport};
pub(crate) use plan::{Gap, Plan};
pub use setting::{Fec, FecError};
pub use shard::{FEC_OVERHEAD, MAX_SHARD, OUT_OF_BAND_OVERHEAD, OutOfBand, encode_out_of_band};
pub use stats::FecStats;

#[cfg(test)]
mod tests;
